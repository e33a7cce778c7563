package resolver

import (
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// The benchmark's network, on loopback: its name server, 200 containers, and the upstream server of all.
const (
	benchServer   = "127.7.0.1"
	benchUpstream = "127.7.0.53"
	benchPort     = 15353
	benchHosts    = 200
	benchVariable = "PROA_RESOLVER_BENCH" // set where this program is to be the server
	aardvark      = "/usr/lib/podman/aardvark-dns"
)

func benchAddress(i int) string { return fmt.Sprintf("127.7.1.%d", i) }

func TestMain(m *testing.M) {
	if os.Getenv(benchVariable) != "" {
		benchServe()
		return
	}
	os.Exit(m.Run())
}

// benchServe serves the benchmark's network until its input ends.
func benchServe() {
	s := New(Options{Conf: "/nonexistent"})
	s.SetNetwork(Network{Name: "bench", Names: true})
	for i := range benchHosts {
		c := on(fmt.Sprintf("c%d", i), "bench:"+benchAddress(i))
		c.Servers = []netip.AddrPort{netip.AddrPortFrom(addr(benchUpstream), 53)}
		if err := s.SetContainer(c); err != nil {
			panic(err)
		}
	}
	at := netip.AddrPortFrom(addr(benchServer), benchPort)
	u, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(at))
	if err != nil {
		panic(err)
	}
	if err := s.Serve("bench", []*net.UDPConn{u}, nil); err != nil {
		panic(err)
	}
	io.Copy(io.Discard, os.Stdin)
}

// startOurs starts the server in a process of its own, as it runs in netd's.
func startOurs(b *testing.B) (pid int) {
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), benchVariable+"=1")
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		b.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { in.Close(); cmd.Wait() })
	return cmd.Process.Pid
}

// startAardvark starts Podman's server with the same network; it goes into the background by itself.
func startAardvark(b *testing.B) (pid int) {
	if _, err := os.Stat(aardvark); err != nil {
		b.Skip(err)
	}
	dir := b.TempDir()
	text := benchServer + "\n"
	for i := range benchHosts {
		name := fmt.Sprintf("c%d", i)
		text += fmt.Sprintf("%s %s  %s %s\n", on(name).ID, benchAddress(i), name, benchUpstream)
	}
	if err := os.WriteFile(filepath.Join(dir, "bench"), []byte(text), 0o644); err != nil {
		b.Fatal(err)
	}
	if err := exec.Command(aardvark, "-c", dir, "-p", strconv.Itoa(benchPort), "run").Run(); err != nil {
		b.Fatal(err)
	}
	for range 100 {
		data, _ := os.ReadFile(filepath.Join(dir, "aardvark.pid"))
		if pid, _ = strconv.Atoi(strings.TrimSpace(string(data))); pid > 0 {
			break
		}
		time.Sleep(20 * time.Millisecond)
	}
	p, err := os.FindProcess(pid)
	if err != nil || pid == 0 {
		b.Fatalf("aardvark-dns wrote no pid: %v", err)
	}
	b.Cleanup(func() { p.Kill() })
	return pid
}

// cpu is the processor time and resident memory of a process.
func cpu(b *testing.B, pid int) (time.Duration, int) {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		b.Fatal(err)
	}
	f := strings.Fields(string(data[strings.LastIndexByte(string(data), ')')+1:]))
	ticks := func(i int) time.Duration { n, _ := strconv.Atoi(f[i]); return time.Duration(n) * 10 * time.Millisecond }
	pages, _ := strconv.Atoi(f[21])
	return ticks(11) + ticks(12), pages * os.Getpagesize()
}

// lookups asks b.N times from n containers at once, and reports the rate, the latency and what the server used.
func lookups(b *testing.B, pid, n int, name func(i int) string) {
	at := netip.AddrPortFrom(addr(benchServer), benchPort).String()
	conns := make([]net.Conn, n)
	for i := range conns {
		c, err := (&net.Dialer{LocalAddr: &net.UDPAddr{IP: net.ParseIP(benchAddress(i))}}).Dial("udp", at)
		if err != nil {
			b.Fatal(err)
		}
		defer c.Close()
		conns[i] = c
	}
	ask := func(c net.Conn, name string, buf []byte, within time.Duration) error {
		packet := packed(b, name, dns.TypeA)
		if _, err := c.Write(packet); err != nil {
			return err
		}
		c.SetReadDeadline(time.Now().Add(within))
		for {
			size, err := c.Read(buf)
			if err != nil {
				return err
			}
			if size > headerSize && buf[0] == packet[0] && buf[1] == packet[1] {
				if buf[3]&0xf != dns.RcodeSuccess || buf[7] == 0 {
					return fmt.Errorf("no address of %s: %x", name, buf[:size])
				}
				return nil
			}
		}
	}
	for i := 0; ask(conns[0], name(0), make([]byte, 4096), 100*time.Millisecond) != nil; i++ {
		if i == 100 {
			b.Fatal("the server does not answer")
		}
		time.Sleep(20 * time.Millisecond)
	}
	var next, lost atomic.Int64
	times := make([]time.Duration, b.N)
	before, _ := cpu(b, pid)
	b.ResetTimer()
	var wg sync.WaitGroup
	for _, c := range conns {
		wg.Go(func() {
			buf := make([]byte, 4096)
			for i := next.Add(1); i <= int64(b.N); i = next.Add(1) {
				start := time.Now()
				if err := ask(c, name(int(i)), buf, 5*time.Second); err != nil {
					lost.Add(1)
				}
				times[i-1] = time.Since(start)
			}
		})
	}
	wg.Wait()
	b.StopTimer()
	after, memory := cpu(b, pid)
	slices.Sort(times)
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "lookups/s")
	b.ReportMetric(float64(times[b.N/2].Microseconds()), "p50-µs")
	b.ReportMetric(float64(times[b.N*99/100].Microseconds()), "p99-µs")
	b.ReportMetric(float64((after-before).Microseconds())/float64(b.N), "cpu-µs/op")
	b.ReportMetric(float64(memory)/(1<<20), "MiB")
	b.ReportMetric(float64(lost.Load()), "lost")
}

// BenchmarkLookup is one name server beside the other, each in a process of its own. Names outside need port 53 of an
// address for the upstream server, so root.
func BenchmarkLookup(b *testing.B) {
	var servers []*dns.Server
	if c, err := net.ListenPacket("udp", benchUpstream+":53"); err == nil {
		s := &dns.Server{PacketConn: c, Handler: dns.HandlerFunc(says(dns.RcodeSuccess, "@ 300 IN A 192.0.2.1"))}
		go s.ActivateAndServe()
		defer s.Shutdown()
		servers = append(servers, s)
	}
	local := func(i int) string { return fmt.Sprintf("c%d", i%benchHosts) }
	same := func(int) string { return "www.example.com" }
	other := func(i int) string { return fmt.Sprintf("%d.example.com", i) }
	for _, server := range []struct {
		name  string
		start func(*testing.B) int
	}{{"proa", startOurs}, {"aardvark", startAardvark}} {
		for _, c := range []struct {
			what    string
			clients int
			name    func(int) string
		}{
			{"container", 1, local}, {"container", 64, local},
			{"outside-same", 1, same}, {"outside-same", 64, same},
			{"outside-other", 1, other}, {"outside-other", 64, other},
		} {
			b.Run(fmt.Sprintf("%s/%s/clients=%d", server.name, c.what, c.clients), func(b *testing.B) {
				if len(servers) == 0 && c.what != "container" {
					b.Skip("no port 53 for an upstream server")
				}
				lookups(b, server.start(b), c.clients, c.name)
			})
		}
	}
}
