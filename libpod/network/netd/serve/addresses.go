package serve

import (
	"encoding/hex"
	"fmt"
	"net"
	"net/netip"
	"strings"

	"github.com/proa-containers/proa/libpod/network"
)

// pool is the addresses of one network, and who has them.
type pool struct {
	network string
	subnets []network.Subnet
	taken   map[netip.Addr]string // the name or the id of who has it
	next    []netip.Addr          // where the search begins, by subnet: an address that was given back rests for a while
}

func newPool(n network.Network) *pool {
	return &pool{network: n.Name, subnets: n.Subnets, taken: map[netip.Addr]string{}, next: make([]netip.Addr, len(n.Subnets))}
}

// give takes an address of every subnet for the container who: the one it wants, or a free one. On an error none is taken.
func (p *pool) give(who string, wanted []netip.Addr) ([]netip.Prefix, error) {
	for _, a := range wanted {
		if err := p.check(a); err != nil {
			return nil, err
		}
	}
	var out []netip.Prefix
	for i, s := range p.subnets {
		a, ok := find(wanted, s.Subnet)
		if !ok {
			if a, ok = p.free(i); !ok {
				p.release(out)
				return nil, fmt.Errorf("network %q has no free address left in %s: %d are taken; remove containers that are on it, or make a network with a larger --subnet", p.network, span(s), len(p.taken))
			}
			p.next[i] = a.Next()
		}
		p.taken[a] = who
		out = append(out, netip.PrefixFrom(a, s.Subnet.Bits()))
	}
	return out, nil
}

// take is give for addresses that a container has already.
func (p *pool) take(who string, addresses []netip.Prefix) {
	for _, a := range addresses {
		p.taken[a.Addr()] = who
		for i, s := range p.subnets {
			if s.Subnet.Contains(a.Addr()) && (!p.next[i].IsValid() || p.next[i].Compare(a.Addr()) <= 0) {
				p.next[i] = a.Addr().Next()
			}
		}
	}
}

func (p *pool) release(addresses []netip.Prefix) {
	for _, a := range addresses {
		delete(p.taken, a.Addr())
	}
}

// check tells whether a container may have the address a.
func (p *pool) check(a netip.Addr) error {
	for _, s := range p.subnets {
		if !s.Subnet.Contains(a) {
			continue
		}
		first, last := hosts(s.Subnet)
		switch who, taken := p.taken[a]; {
		case taken:
			return fmt.Errorf("address %v of network %q is taken by container %q; choose another", a, p.network, who)
		case a == s.Gateway:
			return fmt.Errorf("address %v is the gateway of network %q; choose another", a, p.network)
		case a.Less(first) || last.Less(a):
			return fmt.Errorf("address %v can't be a container's: it is the first or the last of subnet %v of network %q", a, s.Subnet, p.network)
		}
		return nil
	}
	var all []string
	for _, s := range p.subnets {
		all = append(all, s.Subnet.String())
	}
	return fmt.Errorf("address %v is in no subnet of network %q, which has %s", a, p.network, strings.Join(all, " and "))
}

// free is an address of the i-th subnet that nobody has.
func (p *pool) free(i int) (netip.Addr, bool) {
	s := p.subnets[i]
	first, last := hosts(s.Subnet)
	if r := s.LeaseRange; r != nil {
		if r.Start.IsValid() && first.Less(r.Start) {
			first = r.Start
		}
		if r.End.IsValid() && r.End.Less(last) {
			last = r.End
		}
	}
	if last.Less(first) {
		return netip.Addr{}, false
	}
	a := p.next[i]
	// Those that are taken and the gateway, one more, and the wrap: among so many there is a free one if there is any.
	for range len(p.taken) + 3 {
		if !a.IsValid() || a.Less(first) || last.Less(a) {
			a = first
		}
		if _, taken := p.taken[a]; !taken && a != s.Gateway {
			return a, true
		}
		a = a.Next()
	}
	return netip.Addr{}, false
}

// hosts are the first and the last address that a host may have: not the subnet's own, nor an IPv4 subnet's broadcast
// address (RFC 3021 leaves out both for a point-to-point link).
func hosts(p netip.Prefix) (first, last netip.Addr) {
	p = p.Masked()
	b := p.Addr().AsSlice()
	for i := p.Bits(); i < len(b)*8; i++ {
		b[i/8] |= 0x80 >> (i % 8)
	}
	last, _ = netip.AddrFromSlice(b)
	first = p.Addr()
	if p.Addr().BitLen()-p.Bits() < 2 {
		return first, last
	}
	if first = first.Next(); last.Is4() {
		last = last.Prev()
	}
	return first, last
}

func find(list []netip.Addr, p netip.Prefix) (netip.Addr, bool) {
	for _, a := range list {
		if p.Contains(a) {
			return a, true
		}
	}
	return netip.Addr{}, false
}

// span says where a subnet's free addresses are looked for.
func span(s network.Subnet) string {
	if r := s.LeaseRange; r != nil && (r.Start.IsValid() || r.End.IsValid()) {
		return fmt.Sprintf("%v to %v of %v", r.Start, r.End, s.Subnet)
	}
	return s.Subnet.String()
}

// hardware is the MAC address of an interface: the one that was asked for, or one made of its address, so that
// neighbours who remember an address do not have to learn it anew.
func hardware(wanted string, addresses []netip.Prefix) (net.HardwareAddr, error) {
	if wanted != "" {
		mac, err := net.ParseMAC(wanted)
		if err != nil || len(mac) != 6 || mac[0]&1 != 0 {
			return nil, fmt.Errorf("invalid MAC address %q: six hexadecimal bytes as 02:42:0a:58:00:02, the first an even one", wanted)
		}
		return mac, nil
	}
	mac := net.HardwareAddr{0x02, 0x42, 0, 0, 0, 0}
	if len(addresses) > 0 {
		b := addresses[0].Addr().AsSlice()
		copy(mac[2:], b[len(b)-4:])
	}
	return mac, nil
}

// portName is the bridge's end of a container's i-th veth pair.
func portName(id string, network string) string {
	h := uint32(2166136261)
	for _, c := range []byte(network) { // FNV-1a
		h = (h ^ uint32(c)) * 16777619
	}
	return "v" + id[:min(8, len(id))] + hex.EncodeToString([]byte{byte(h >> 16), byte(h >> 8), byte(h)})
}
