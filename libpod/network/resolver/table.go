package resolver

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
)

// Network is what the server knows of a network.
type Network struct {
	Name     string
	Subnets  []netip.Prefix // whose reverse names are answered here
	Names    bool           // containers find each other by name; false: as on Docker's default bridge
	Internal bool           // a container on internal networks only gets no answer from outside
	Domains  []string       // search domains below which the names stand as well, such as dns.podman; never asked upstream
	// Servers are asked in place of the host's, for containers without servers of their own.
	Servers []netip.AddrPort
}

// Container is what the server knows of a container.
type Container struct {
	ID        string
	Name      string
	Endpoints []Endpoint              // in the order in which networks are searched
	Servers   []netip.AddrPort        // asked in place of the networks' and the host's
	Links     map[string]string       // names that only this container uses, to a name of another one
	Hosts     map[string][]netip.Addr // names that only this container uses, as host.docker.internal
	Policy    Policy                  // nil: it may learn every name
}

// Endpoint is a container's place on a network.
type Endpoint struct {
	Network   string
	Addresses []netip.Addr
	Aliases   []string // names beside the container's name and short id; several containers may have the same
}

// shortID is how many digits of an id are a name; all of them are one more than a label holds.
const shortID = 12

// table is who has which names. Queries read it, changes are seen whole.
type table struct {
	mu         sync.RWMutex
	networks   map[string]*zone
	containers map[string]*container
	clients    map[netip.Addr]*container
}

// zone is a network and the names on it.
type zone struct {
	Network
	suffixes []string // that may stand behind a name, "" first
	names    map[string]*record
	owner    map[netip.Addr]string // name of the container that has an address
}

// record is those who share a name, in order of their coming.
type record struct {
	holders []holder
	turn    atomic.Uint32 // answers start with another holder each time
}

type holder struct {
	id        string
	addresses []netip.Addr
}

type container struct {
	Container
	links map[string]string
	hosts map[string][]netip.Addr
	load  *load
}

func (t *table) init() {
	t.networks = map[string]*zone{}
	t.containers = map[string]*container{}
	t.clients = map[netip.Addr]*container{}
}

// canonical is how names are compared: lower case, without the last dot.
func canonical(name string) string {
	return strings.ToLower(strings.TrimSuffix(name, "."))
}

func (t *table) setNetwork(n Network) {
	z := &zone{Network: n, suffixes: []string{""}}
	z.Domains = make([]string, len(n.Domains))
	network := "." + canonical(n.Name)
	for i, d := range n.Domains {
		z.Domains[i] = canonical(d)
		z.suffixes = append(z.suffixes, "."+z.Domains[i], network+"."+z.Domains[i])
	}
	z.suffixes = append(z.suffixes, network)
	t.mu.Lock()
	defer t.mu.Unlock()
	if old := t.networks[n.Name]; old != nil {
		z.names, z.owner = old.names, old.owner
	} else {
		z.names, z.owner = map[string]*record{}, map[netip.Addr]string{}
		for _, c := range t.containers {
			z.add(c)
		}
	}
	t.networks[n.Name] = z
}

func (t *table) removeNetwork(name string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.networks, name)
}

func (t *table) setContainer(config Container) error {
	c := &container{Container: config, links: map[string]string{}, hosts: map[string][]netip.Addr{}, load: newLoad(maxWaitingPerOne, maxResolvingPerOne)}
	c.Endpoints = slices.Clone(config.Endpoints)
	for name, target := range config.Links {
		c.links[canonical(name)] = canonical(target)
	}
	for name, addresses := range config.Hosts {
		c.hosts[canonical(name)] = unmapped(addresses)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	for i, e := range c.Endpoints {
		c.Endpoints[i].Addresses = unmapped(e.Addresses)
		for _, a := range c.Endpoints[i].Addresses {
			if other := t.clients[a]; other != nil && other.ID != c.ID {
				return fmt.Errorf("address %s is that of container %s", a, other.Name)
			}
		}
	}
	if old := t.containers[c.ID]; old != nil {
		c.load = old.load
		t.remove(old)
	}
	t.containers[c.ID] = c
	for _, e := range c.Endpoints {
		for _, a := range e.Addresses {
			t.clients[a] = c
		}
	}
	for _, z := range t.networks {
		z.add(c)
	}
	return nil
}

// knows tells whether a container has the address.
func (t *table) knows(client netip.Addr) bool {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return t.clients[client] != nil
}

func (t *table) removeContainer(id string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if c := t.containers[id]; c != nil {
		t.remove(c)
	}
}

func (t *table) remove(c *container) {
	delete(t.containers, c.ID)
	for _, e := range c.Endpoints {
		for _, a := range e.Addresses {
			delete(t.clients, a)
		}
	}
	for _, z := range t.networks {
		z.remove(c)
	}
}

// names are all names of a container at an endpoint, each once.
func (c *container) names(e Endpoint) map[string]bool {
	names := map[string]bool{}
	for _, name := range append([]string{c.Name, c.ID[:min(len(c.ID), shortID)]}, e.Aliases...) {
		if name = canonical(name); name != "" {
			names[name] = true
		}
	}
	return names
}

func (z *zone) add(c *container) {
	for _, e := range c.Endpoints {
		if e.Network != z.Name {
			continue
		}
		for name := range c.names(e) {
			r := z.names[name]
			if r == nil {
				r = new(record)
				z.names[name] = r
			}
			r.holders = append(r.holders, holder{c.ID, e.Addresses})
		}
		for _, a := range e.Addresses {
			z.owner[a] = canonical(c.Name)
		}
	}
}

func (z *zone) remove(c *container) {
	for _, e := range c.Endpoints {
		if e.Network != z.Name {
			continue
		}
		for name := range c.names(e) {
			r := z.names[name]
			if r == nil {
				continue
			}
			kept := r.holders[:0:0]
			for _, h := range r.holders {
				if h.id != c.ID {
					kept = append(kept, h)
				}
			}
			if r.holders = kept; len(kept) == 0 {
				delete(z.names, name)
			}
		}
		for _, a := range e.Addresses {
			delete(z.owner, a)
		}
	}
}

// addresses are those of all holders, starting with another one at each call.
func (r *record) addresses() []netip.Addr {
	n := len(r.holders)
	if n == 1 {
		return r.holders[0].addresses
	}
	first := int(r.turn.Add(1)-1) % n
	var all []netip.Addr
	for i := range n {
		all = append(all, r.holders[(first+i)%n].addresses...)
	}
	return all
}

// unmapped is a copy of addresses without IPv4 addresses in IPv6 form and zones, as queries' sources are compared.
func unmapped(addresses []netip.Addr) []netip.Addr {
	plain := make([]netip.Addr, len(addresses))
	for i, a := range addresses {
		plain[i] = a.Unmap().WithZone("")
	}
	return plain
}
