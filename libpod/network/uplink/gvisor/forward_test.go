package gvisor

import (
	"net/netip"
	"testing"

	"gvisor.dev/gvisor/pkg/tcpip"
)

func TestTarget(t *testing.T) {
	gateways := []netip.Prefix{netip.MustParsePrefix("10.0.2.2/24"), netip.MustParsePrefix("fd00::2/64")}
	for _, c := range []struct {
		address      string
		closed, open string // where it leads without and with the host's loopback; "" is nowhere
	}{
		{"203.0.113.7", "203.0.113.7:80", "203.0.113.7:80"},
		{"2001:db8::7", "[2001:db8::7]:80", "[2001:db8::7]:80"},
		{"169.254.169.254", "169.254.169.254:80", "169.254.169.254:80"},
		{"10.0.2.2", "", "127.0.0.1:80"},
		{"fd00::2", "", "[::1]:80"},
		{"10.0.2.3", "", ""},
		{"fd00::3", "", ""},
		{"127.0.0.1", "", ""},
		{"127.1.2.3", "", ""},
		{"0.0.0.0", "", ""},
		{"0.0.0.1", "", ""},
		{"::", "", ""},
		{"::1", "", ""},
		{"::127.0.0.1", "", ""},
		{"::ffff:127.0.0.1", "", ""},
		{"::ffff:203.0.113.7", "", ""},
		{"fe80::1", "", ""},
		{"224.0.0.1", "", ""},
		{"ff02::1", "", ""},
		{"255.255.255.255", "", ""},
	} {
		for open, want := range map[bool]string{false: c.closed, true: c.open} {
			f := &forwarder{Config: Config{Gateways: gateways, HostLoopback: open}}
			to, ok := f.target(tcpip.AddrFromSlice(netip.MustParseAddr(c.address).AsSlice()), 80)
			got := ""
			if ok {
				got = to.String()
			}
			if got != want {
				t.Errorf("%s, loopback open %v: leads to %q, want %q", c.address, open, got, want)
			}
		}
	}
}
