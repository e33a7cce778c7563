package netlab

import (
	"encoding/json"
	"fmt"
	"net"
	"os/exec"
	"testing"
	"time"
)

// Iperf runs iperf3 from one place to another, each a function that runs another one on a thread of a namespace, and
// reports what arrived in Gbit/s. The server listens at listen, the client connects to host and port.
func Iperf(b *testing.B, server, client func(func() error) error, listen, host, port string, args ...string) {
	b.Helper()
	path, err := exec.LookPath("iperf3")
	if err != nil {
		b.Skip("iperf3 is not installed; 'hack/setup.sh --tests' installs it")
	}
	s := exec.Command(path, "-s", "-p", listen)
	if err := server(s.Start); err != nil {
		b.Fatal(err)
	}
	defer func() { s.Process.Kill(); s.Wait() }()
	for up := false; !up; time.Sleep(10 * time.Millisecond) {
		if err := server(func() error {
			c, err := net.Dial("tcp", net.JoinHostPort("127.0.0.1", listen))
			if err == nil {
				up = true
				c.Close()
			}
			return nil
		}); err != nil {
			b.Fatal(err)
		}
	}
	var sum float64
	runs := 0
	for b.Loop() {
		var c *exec.Cmd
		var out []byte
		c = exec.Command(path, append([]string{"-J", "-t", "3", "-O", "1", "-c", host, "-p", port}, args...)...)
		if err := client(func() (err error) { out, err = c.Output(); return err }); err != nil {
			b.Fatalf("%v: %v: %s", c.Args, err, out)
		}
		var result struct {
			End struct {
				Received struct {
					Rate float64 `json:"bits_per_second"`
				} `json:"sum_received"`
			}
		}
		if err := json.Unmarshal(out, &result); err != nil {
			b.Fatal(fmt.Errorf("read what iperf3 says: %w", err))
		}
		sum += result.End.Received.Rate
		runs++
	}
	b.ReportMetric(sum/float64(runs)/1e9, "Gbit/s")
	b.ReportMetric(0, "ns/op")
}
