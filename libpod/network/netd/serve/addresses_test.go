package serve

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/proa-containers/proa/libpod/network"
)

func subnet(s string) network.Subnet {
	p := netip.MustParsePrefix(s)
	return network.Subnet{Subnet: p, Gateway: p.Addr().Next()}
}

func TestPoolGivesEachOnce(t *testing.T) {
	for _, s := range []string{"10.0.0.0/24", "10.0.0.0/29", "fd00::/120", "192.168.3.0/30"} {
		p := newPool(network.Network{Name: "n", Subnets: []network.Subnet{subnet(s)}})
		first, last := hosts(p.subnets[0].Subnet)
		seen := map[netip.Addr]bool{}
		for {
			got, err := p.give("c", nil)
			if err != nil {
				if !strings.Contains(err.Error(), s) || !strings.Contains(err.Error(), `"n"`) {
					t.Errorf("%s is exhausted: %v", s, err)
				}
				break
			}
			a := got[0].Addr()
			if seen[a] || a == p.subnets[0].Gateway || a.Less(first) || last.Less(a) || !p.subnets[0].Subnet.Contains(a) {
				t.Fatalf("%s gives %v after %d others", s, a, len(seen))
			}
			seen[a] = true
		}
		if bits := p.subnets[0].Subnet.Addr().BitLen() - p.subnets[0].Subnet.Bits(); len(seen) != 1<<bits-3 && !(first.Is6() && len(seen) == 1<<bits-2) {
			t.Errorf("%s has %d addresses for containers", s, len(seen))
		}
		// What is given back is given again, and nothing else.
		var one netip.Addr
		for one = range seen {
			break
		}
		p.release([]netip.Prefix{netip.PrefixFrom(one, 24)})
		if got, err := p.give("d", nil); err != nil || got[0].Addr() != one {
			t.Errorf("%s: %v was given back, then came %v, %v", s, one, got, err)
		}
	}
}

// TestPoolRests: an address that was given back is not the next to be given: neighbours remember whose it was.
func TestPoolRests(t *testing.T) {
	p := newPool(network.Network{Name: "n", Subnets: []network.Subnet{subnet("10.0.0.0/24")}})
	a, _ := p.give("a", nil)
	p.release(a)
	if b, err := p.give("b", nil); err != nil || b[0] == a[0] {
		t.Errorf("after %v came %v, %v", a, b, err)
	}
}

func TestPoolKeepsToTheRange(t *testing.T) {
	s := subnet("10.0.0.0/24")
	s.LeaseRange = &network.LeaseRange{Start: netip.MustParseAddr("10.0.0.100"), End: netip.MustParseAddr("10.0.0.101")}
	p := newPool(network.Network{Name: "n", Subnets: []network.Subnet{s, subnet("fd00::/64")}})
	for _, want := range []string{"10.0.0.100/24 fd00::2/64", "10.0.0.101/24 fd00::3/64"} {
		got, err := p.give("c", nil)
		if err != nil || got[0].String()+" "+got[1].String() != want {
			t.Errorf("given %v, %v, want %s", got, err, want)
		}
	}
	if _, err := p.give("c", nil); err == nil || !strings.Contains(err.Error(), "10.0.0.100 to 10.0.0.101") {
		t.Errorf("the range is exhausted: %v", err)
	}
	// Of the subnet that was not exhausted nothing is kept.
	if len(p.taken) != 4 {
		t.Errorf("%d addresses are taken: %v", len(p.taken), p.taken)
	}
	if got, err := p.give("c", []netip.Addr{netip.MustParseAddr("10.0.0.7")}); err != nil || got[0].Addr().String() != "10.0.0.7" {
		t.Errorf("a static address beside the range: %v, %v", got, err)
	}
}

func TestPoolRefuses(t *testing.T) {
	p := newPool(network.Network{Name: "n", Subnets: []network.Subnet{subnet("10.0.0.0/24")}})
	p.take("web", []netip.Prefix{netip.MustParsePrefix("10.0.0.9/24")})
	for a, want := range map[string]string{
		"10.0.0.9": `taken by container "web"`, "10.0.0.1": "gateway", "10.0.0.0": "first or the last", "10.0.0.255": "first or the last", "10.0.1.2": "10.0.0.0/24",
	} {
		if _, err := p.give("c", []netip.Addr{netip.MustParseAddr(a)}); err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), a) {
			t.Errorf("%s: %v, want %q", a, err, want)
		}
	}
	if len(p.taken) != 1 {
		t.Errorf("taken: %v", p.taken)
	}
}

func TestHardware(t *testing.T) {
	for wanted, want := range map[string]string{"": "02:42:0a:58:00:02", "02:11:22:33:44:55": "02:11:22:33:44:55"} {
		if mac, err := hardware(wanted, []netip.Prefix{netip.MustParsePrefix("10.88.0.2/16")}); err != nil || mac.String() != want {
			t.Errorf("%q: %v, %v", wanted, mac, err)
		}
	}
	for _, bad := range []string{"x", "01:11:22:33:44:55", "02:11:22:33:44:55:66:77"} {
		if mac, err := hardware(bad, nil); err == nil || !strings.Contains(err.Error(), bad) {
			t.Errorf("%q: %v, %v", bad, mac, err)
		}
	}
	if a, b := portName("0123456789abcdef", "one"), portName("0123456789abcdef", "two"); a == b || len(a) > 15 {
		t.Errorf("ports %q and %q", a, b)
	}
}
