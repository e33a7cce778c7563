package resolver

import (
	"net/netip"
	"slices"
	"strings"
)

// finding is what the tables say about a question.
type finding struct {
	container *container // who asks; nil: nobody we know, all else is unset
	verdict   verdict
	addresses []netip.Addr
	pointer   string
	route     route
}

type verdict int

const (
	foreign verdict = iota // not ours: route says where to ask
	found                  // addresses or pointer
	missing                // ours, and there is no such name
)

// route is where names that are not ours are asked.
type route struct {
	host    bool // the host's servers; servers is unset
	servers []server
	closed  bool // the networks are internal
}

// server is an upstream name server; inside is one that is a container or otherwise in the containers' namespace.
type server struct {
	address netip.AddrPort
	inside  bool
}

// ownZones are not asked upstream: only the tables know names in them.
var ownZones = []string{"docker.internal", "containers.internal"}

// loopbacks are what localhost is, whatever an upstream server says (RFC 6761, 6.3).
var loopbacks = []netip.Addr{netip.AddrFrom4([4]byte{127, 0, 0, 1}), netip.IPv6Loopback()}

// find looks up name, which is canonical, for the container that has an address. The networks are searched in the
// container's order and the first that has the name answers, as in Docker.
func (t *table) find(client netip.Addr, name string) finding {
	t.mu.RLock()
	defer t.mu.RUnlock()
	c := t.clients[client]
	if c == nil {
		return finding{}
	}
	f := finding{container: c}
	zones := t.zones(c)
	switch address, reverse := reversed(name); {
	case reverse:
		f.verdict, f.pointer = pointer(zones, address)
	case name == "localhost" || strings.HasSuffix(name, ".localhost"):
		f.verdict, f.addresses = found, loopbacks
	default:
		f.verdict, f.addresses = lookup(c, zones, name)
	}
	if f.verdict == foreign {
		f.route = t.route(c, zones)
	}
	return f
}

func (t *table) zones(c *container) []*zone {
	zones := make([]*zone, 0, len(c.Endpoints))
	for _, e := range c.Endpoints {
		if z := t.networks[e.Network]; z != nil {
			zones = append(zones, z)
		}
	}
	return zones
}

func lookup(c *container, zones []*zone, name string) (verdict, []netip.Addr) {
	if a, ok := c.hosts[name]; ok {
		return found, a
	}
	target, linked := c.links[name]
	for _, z := range zones {
		if linked {
			if r := z.names[target]; r != nil {
				return found, r.addresses()
			}
		}
		if addresses, ok := z.lookup(name); ok {
			return found, addresses
		}
	}
	below := func(domain string) bool { return strings.HasSuffix(name, "."+domain) }
	for _, z := range zones {
		switch {
		case slices.Contains(z.Domains, name):
			return found, nil
		case slices.ContainsFunc(z.Domains, below):
			return missing, nil
		}
	}
	switch {
	case slices.Contains(ownZones, name):
		return found, nil
	case slices.ContainsFunc(ownZones, below):
		return missing, nil
	}
	return foreign, nil
}

// lookup finds name as it stands, below a search domain of the network, or with the network's name behind it.
func (z *zone) lookup(name string) ([]netip.Addr, bool) {
	for _, suffix := range z.suffixes {
		short, ok := strings.CutSuffix(name, suffix)
		if !ok {
			continue
		}
		if r := z.names[short]; r != nil && z.Names {
			return r.addresses(), true
		}
	}
	return nil, false
}

// pointer names the owner of an address as Docker does, with the network behind it. Addresses of a network that
// nobody has are not for others to know of.
func pointer(zones []*zone, address netip.Addr) (verdict, string) {
	for _, z := range zones {
		if owner, ok := z.owner[address]; ok && z.Names {
			return found, owner + "." + z.Name
		}
	}
	for _, z := range zones {
		if z.contains(address) {
			return missing, ""
		}
	}
	if address.IsLoopback() {
		return found, "localhost"
	}
	return foreign, ""
}

func (z *zone) contains(a netip.Addr) bool {
	return slices.ContainsFunc(z.Subnets, func(p netip.Prefix) bool { return p.Contains(a) })
}

// route is where c's names from outside come from. A container on internal networks only reaches servers on those, and
// no container reaches one on a network that it is not on, though this process could.
func (t *table) route(c *container, zones []*zone) route {
	r := route{closed: !slices.ContainsFunc(zones, func(z *zone) bool { return !z.Internal })}
	wanted := c.Servers
	for _, z := range zones {
		if len(c.Servers) == 0 {
			wanted = append(wanted[:len(wanted):len(wanted)], z.Servers...)
		}
	}
	if len(wanted) == 0 {
		r.host = !r.closed
		return r
	}
	for _, address := range wanted {
		holds := func(z *zone) bool { return z.contains(address.Addr()) }
		switch {
		case slices.ContainsFunc(zones, holds):
			r.servers = append(r.servers, server{address, true})
		case !r.closed && !t.isOurs(address.Addr()):
			r.servers = append(r.servers, server{address, false})
		}
	}
	r.closed = r.closed && len(r.servers) == 0
	return r
}

func (t *table) isOurs(a netip.Addr) bool {
	for _, z := range t.networks {
		if z.contains(a) {
			return true
		}
	}
	return false
}
