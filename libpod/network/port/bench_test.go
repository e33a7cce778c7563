package port

import (
	"testing"

	"github.com/proa-containers/proa/internal/netlab"
)

// BenchmarkPublished is what a client on the host and a container exchange through a published port.
func BenchmarkPublished(b *testing.B) {
	bed := newBed(b)
	bed.publish(b, tcp(5201, 5201), udp(5201, 5201))
	here := func(f func() error) error { return f() }
	for _, c := range []struct {
		name, host string
		args       []string
	}{
		{"kept", netlab.Host4.String(), nil},
		{"kept/back", netlab.Host4.String(), []string{"-R"}},
		{"kept/8", netlab.Host4.String(), []string{"-P8"}},
		{"loopback", "127.0.0.1", nil},
		{"udp", netlab.Host4.String(), []string{"-u", "-b0", "-l1400"}},
	} {
		b.Run(c.name, func(b *testing.B) {
			netlab.Iperf(b, bed.container.In, here, "5201", c.host, "5201", c.args...)
		})
	}
}

// BenchmarkEcho is the time of a short connection through a published port.
func BenchmarkEcho(b *testing.B) {
	bed := newBed(b)
	bed.serve(b, 80, echoBack)
	bed.publish(b, tcp(8080, 80))
	for b.Loop() {
		if err := echo("x"); err != nil {
			b.Fatal(err)
		}
	}
}
