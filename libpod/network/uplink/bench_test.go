package uplink

import (
	"fmt"
	"testing"

	"github.com/proa-containers/proa/internal/netlab"
)

func here(f func() error) error { return f() }

// BenchmarkUplink is what a container and its host exchange through each uplink: up and down, one stream and eight.
func BenchmarkUplink(b *testing.B) {
	for _, name := range programs(b) {
		b.Run(name, func(b *testing.B) {
			ns := netlab.New(b)
			start(b, ns, Options{Use: name})
			for _, way := range []struct {
				name string
				args []string
			}{{"up", nil}, {"down", []string{"-R"}}, {"up8", []string{"-P8"}}, {"down8", []string{"-R", "-P8"}}} {
				b.Run(way.name, func(b *testing.B) {
					netlab.Iperf(b, here, ns.In, "5201", netlab.Host4.String(), "5201", way.args...)
				})
			}
		})
	}
}

// BenchmarkConnect is the time of a short connection.
func BenchmarkConnect(b *testing.B) {
	outer(b, at(netlab.Far4, 8000))
	for _, name := range programs(b) {
		b.Run(name, func(b *testing.B) {
			ns := netlab.New(b)
			start(b, ns, Options{Use: name})
			for b.Loop() {
				c, err := dial(ns, "tcp", at(netlab.Far4, 8000))
				if err != nil {
					b.Fatal(err)
				}
				fmt.Fprint(c, "x")
				if _, err := c.Read(make([]byte, 1)); err != nil {
					b.Fatal(err)
				}
				c.Close()
			}
		})
	}
}
