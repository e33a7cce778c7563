package network

import (
	"crypto/rand"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// pools are where subnets are taken from for who names none: Podman's, then others for hosts whose routes have 10.0.0.0/8.
// Each is cut into subnets of 256 addresses.
var pools = []netip.Prefix{
	netip.MustParsePrefix("10.89.0.0/16"), netip.MustParsePrefix("10.90.0.0/15"), netip.MustParsePrefix("10.92.0.0/14"),
	netip.MustParsePrefix("10.96.0.0/11"), netip.MustParsePrefix("10.128.0.0/9"),
	netip.MustParsePrefix("172.20.0.0/14"), netip.MustParsePrefix("192.168.0.0/16"),
}

// first and last are the ends of a prefix's addresses; an interface can have neither with IPv4, and not first with IPv6.
func first(p netip.Prefix) netip.Addr { return p.Masked().Addr() }

func last(p netip.Prefix) netip.Addr {
	b := p.Addr().AsSlice()
	for bit := p.Bits(); bit < len(b)*8; bit++ {
		b[bit/8] |= 1 << (7 - bit%8)
	}
	a, _ := netip.AddrFromSlice(b)
	return a
}

// Range is the first and the last address that a container can get in a subnet without asking for one.
func (s Subnet) Range() (from, to netip.Addr) {
	from, to = first(s.Subnet).Next(), last(s.Subnet)
	if s.Subnet.Addr().Is4() {
		to = to.Prev() // the broadcast address
	}
	if r := s.LeaseRange; r != nil {
		if r.Start.IsValid() && from.Less(r.Start) {
			from = r.Start
		}
		if r.End.IsValid() && r.End.Less(to) {
			to = r.End
		}
	}
	return from, to
}

// freeIPv4 is a subnet that overlaps none of taken.
func freeIPv4(taken []netip.Prefix) (netip.Prefix, error) {
	for _, pool := range pools {
		for a := pool.Addr(); pool.Contains(a); {
			p := netip.PrefixFrom(a, 24)
			i := slices.IndexFunc(taken, p.Overlaps)
			if i < 0 {
				return p, nil
			}
			// What overlaps is the candidate, something in it, or something larger, behind which to go on.
			a = last(netip.PrefixFrom(a, min(24, taken[i].Bits()))).Next()
		}
	}
	return netip.Prefix{}, errors.New("no free subnet: every one of 10.89.0.0 to 10.255.255.0, 172.20.0.0/14 and 192.168.0.0/16 overlaps another network or a route of the host; give one with --subnet")
}

// freeIPv6 is a random subnet of fd00::/8 (RFC 4193, section 3.1).
func freeIPv6(taken []netip.Prefix) netip.Prefix {
	for {
		var b [16]byte
		rand.Read(b[:8])
		b[0] = 0xfd
		if p := netip.PrefixFrom(netip.AddrFrom16(b), 64); !slices.ContainsFunc(taken, p.Overlaps) {
			return p
		}
	}
}

// ParseSubnets pairs the values of --subnet, --gateway and --ip-range: each gateway and each range is of the subnet that
// it is in, whatever their order.
func ParseSubnets(subnets, gateways, ranges []string) ([]Subnet, error) {
	var out []Subnet
	for _, s := range subnets {
		p, err := netip.ParsePrefix(s)
		if err != nil {
			return nil, fmt.Errorf("invalid --subnet %q: want ADDRESS/BITS, as 10.90.0.0/24", s)
		}
		out = append(out, Subnet{Subnet: p})
	}
	for _, s := range gateways {
		a, err := netip.ParseAddr(s)
		if err != nil {
			return nil, fmt.Errorf("invalid --gateway %q: want an IP address", s)
		}
		sub, err := subnetOf(out, a)
		if err != nil {
			return nil, fmt.Errorf("invalid --gateway %q: %w", s, err)
		}
		if sub.Gateway.IsValid() {
			return nil, fmt.Errorf("invalid --gateway %q: the subnet %v has the gateway %v already", s, sub.Subnet, sub.Gateway)
		}
		sub.Gateway = a
	}
	for _, s := range ranges {
		r, err := parseRange(s)
		if err != nil {
			return nil, fmt.Errorf("invalid --ip-range %q: %w", s, err)
		}
		sub, err := subnetOf(out, r.Start)
		if err != nil {
			return nil, fmt.Errorf("invalid --ip-range %q: %w", s, err)
		}
		if sub.LeaseRange != nil {
			return nil, fmt.Errorf("invalid --ip-range %q: the subnet %v has a range already", s, sub.Subnet)
		}
		if !sub.Subnet.Contains(r.End) {
			return nil, fmt.Errorf("invalid --ip-range %q: it goes beyond the subnet %v", s, sub.Subnet)
		}
		r.Start, r.End = (Subnet{Subnet: sub.Subnet, LeaseRange: &r}).Range()
		sub.LeaseRange = &r
	}
	for _, s := range out {
		if err := s.check(); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func subnetOf(list []Subnet, a netip.Addr) (*Subnet, error) {
	for i := range list {
		if list[i].Subnet.Contains(a) {
			return &list[i], nil
		}
	}
	if len(list) == 0 {
		return nil, errors.New("it needs --subnet")
	}
	return nil, errors.New("it is in no --subnet")
}

// parseRange takes Docker's form, a prefix, and Podman's, START-END.
func parseRange(s string) (LeaseRange, error) {
	if from, to, ok := strings.Cut(s, "-"); ok {
		a, err := netip.ParseAddr(from)
		b, err2 := netip.ParseAddr(to)
		if err != nil || err2 != nil || a.Is4() != b.Is4() || b.Less(a) {
			return LeaseRange{}, errors.New("want ADDRESS/BITS or START-END, two addresses in order")
		}
		return LeaseRange{a, b}, nil
	}
	p, err := netip.ParsePrefix(s)
	if err != nil {
		return LeaseRange{}, errors.New("want ADDRESS/BITS or START-END")
	}
	if p != p.Masked() {
		return LeaseRange{}, fmt.Errorf("the range is %v", p.Masked())
	}
	return LeaseRange{p.Addr(), last(p)}, nil
}

// ParseRoute reads a --route: DESTINATION,GATEWAY[,METRIC].
func ParseRoute(s string) (Route, error) {
	f := strings.Split(s, ",")
	var r Route
	var err error
	if len(f) == 2 || len(f) == 3 {
		if r.Destination, err = netip.ParsePrefix(f[0]); err == nil {
			r.Gateway, err = netip.ParseAddr(f[1])
		}
	} else {
		err = errors.New("")
	}
	if err == nil && len(f) == 3 {
		r.Metric, err = parseMetric(f[2])
	}
	if err != nil {
		return r, fmt.Errorf("invalid --route %q: want DESTINATION/BITS,GATEWAY[,METRIC], as 10.1.0.0/16,10.89.0.2", s)
	}
	if err := r.check(); err != nil {
		return r, fmt.Errorf("invalid --route %q: %w", s, err)
	}
	return r, nil
}

func parseMetric(s string) (*uint32, error) {
	n, err := strconv.ParseUint(s, 10, 32)
	m := uint32(n)
	return &m, err
}

// RangeText is the lease range as --ip-range takes it; empty without one.
func (s Subnet) RangeText() string {
	r := s.LeaseRange
	if r == nil {
		return ""
	}
	from, to := s.Range()
	for bits := s.Subnet.Bits(); bits <= from.BitLen(); bits++ {
		p := netip.PrefixFrom(from, bits).Masked()
		if a, b := (Subnet{Subnet: s.Subnet, LeaseRange: &LeaseRange{first(p), last(p)}}).Range(); b == to && (a == from || a.Next() == from) { // Podman leaves the first out
			return p.String()
		}
	}
	return from.String() + "-" + to.String()
}

// Admits tells whether a container can be on the network as it asks: whether its addresses are of the network's.
func (n *Network) Admits(a Attachment) error {
	seen := map[netip.Prefix]netip.Addr{}
	for _, ip := range a.Addresses {
		i := slices.IndexFunc(n.Subnets, func(s Subnet) bool { return s.Subnet.Contains(ip) })
		if i < 0 {
			var list []string
			for _, s := range n.Subnets {
				list = append(list, s.Subnet.String())
			}
			return fmt.Errorf("address %v is not in network %q, which has %s", ip, n.Name, strings.Join(list, " and "))
		}
		s := n.Subnets[i]
		if err := usableIn("address", ip, s.Subnet); err != nil {
			return err
		}
		if ip == s.Gateway {
			return fmt.Errorf("address %v is the gateway of network %q; choose another", ip, n.Name)
		}
		if other, twice := seen[s.Subnet]; twice {
			return fmt.Errorf("addresses %v and %v are of one subnet of network %q: a container has one of each", other, ip, n.Name)
		}
		seen[s.Subnet] = ip
	}
	if len(a.Aliases) > 0 && !n.DNSEnabled {
		return fmt.Errorf("alias %q: network %q was made without DNS, and knows no names", a.Aliases[0], n.Name)
	}
	return nil
}
