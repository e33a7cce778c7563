// Package egress owns what a container under a policy may reach outside of its networks. Names and packets are one: a
// container may ask for the names that its policy lists and no other, and when it is told addresses, packets to these
// pass for as long as it may use them. All else is refused, also addresses that it knows from elsewhere.
//
// It is pure: what lets packets pass is a Gate, and package resolver asks a Policy before it asks upstream and before it
// answers. It runs in proa-netd.
package egress

import (
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/proa-containers/proa/libpod/network"
)

const (
	// grace is for how long an address may be used after its time: between the answer and the last connection made with
	// it lie programs that keep addresses for half a minute. Connections that are made stay.
	grace = time.Minute
	// least is how long packets pass at least, since many names live for seconds only.
	least = 2 * time.Minute
	// maxOpen is how many addresses and ports, that names stand for, are open to one container at once.
	maxOpen = 4096
)

// Gate lets the packets of containers pass or refuses them. Its methods return when that is in force, and may be called
// at once from many goroutines.
type Gate interface {
	// Hold refuses what comes from addresses and goes out, but for fixed and what Open let pass. It replaces what an
	// earlier Hold had fixed for them, in one step.
	Hold(addresses []netip.Addr, fixed []Opening) error
	// Open adds openings with a timeout; for one that is there the time starts anew.
	Open(openings []Opening) error
	// Release ends Hold and removes all openings of addresses, also those that a predecessor of this process made.
	Release(addresses []netip.Addr) error
}

// Opening lets packets of a container pass.
type Opening struct {
	From    netip.Addr
	To      netip.Prefix  // of the same family; one address where there is a timeout
	Port    uint16        // of TCP and UDP; 0: every port and every protocol
	Own     bool          // To is a network of the container: to other containers, and to the resolver of the gateway
	Timeout time.Duration // 0: of Hold
}

// Place is where a container is in the networks.
type Place struct {
	Addresses []netip.Addr
	Subnets   []netip.Prefix // of its own networks: to go there is not to go out
	// Hosts are the names that its networks define, as host.docker.internal: the resolver answers these without a Policy.
	Hosts map[string][]netip.Addr
}

// Policy is the policy of one container in force. It is a resolver.Policy.
type Policy struct {
	gate  Gate
	log   *slog.Logger
	rules []network.EgressRule
	// ours tells whether an address is of any network of the user: no name outside may lead to one.
	ours func(netip.Addr) bool
	now  func() time.Time

	mu    sync.Mutex
	place Place
	open  map[opened]time.Time // until when
}

// opened is an opening of all of the container's addresses of a family.
type opened struct {
	to   netip.Addr
	port uint16
}

// New is the policy of a container that is nowhere yet. ours is asked about each address that a name stands for.
func New(gate Gate, log *slog.Logger, e network.Egress, ours func(netip.Addr) bool) *Policy {
	return &Policy{gate: gate, log: log, rules: e.Allow, ours: ours, now: time.Now, open: map[opened]time.Time{}}
}

// Start puts the policy in force before the container's first program runs. What was open to its addresses before, by
// another container's policy, is closed.
func (p *Policy) Start(at Place) error {
	if err := p.gate.Release(at.Addresses); err != nil {
		return fmt.Errorf("closing the way out: %w", err)
	}
	return p.Move(at)
}

// Move puts the policy in force at a place beside what is in force there: after a change of the container's networks,
// or where a predecessor of this process had put it in force.
func (p *Policy) Move(at Place) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	gone := slices.DeleteFunc(slices.Clone(p.place.Addresses), func(a netip.Addr) bool { return slices.Contains(at.Addresses, a) })
	p.place = at
	clear(p.open)
	if err := p.gate.Hold(at.Addresses, p.fixed()); err != nil {
		return fmt.Errorf("closing the way out: %w", err)
	}
	if len(gone) == 0 {
		return nil
	}
	if err := p.gate.Release(gone); err != nil {
		return fmt.Errorf("ending an egress policy at %v: %w", gone, err)
	}
	return nil
}

// End takes the policy out of force, after the container's last program has ended.
func (p *Policy) End() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	clear(p.open)
	addresses := p.place.Addresses
	p.place = Place{} // an answer that comes late opens nothing to who has the addresses next
	if err := p.gate.Release(addresses); err != nil {
		return fmt.Errorf("ending an egress policy: %w", err)
	}
	return nil
}

// fixed are the openings that need no name from outside, none of which is part of another one. The caller holds mu.
func (p *Policy) fixed() []Opening {
	type way struct {
		to   netip.Prefix
		port uint16
		own  bool
	}
	var ways []way
	part := func(of, w way) bool {
		return of.port == w.port && of.own == w.own && of.to.Bits() <= w.to.Bits() && of.to.Contains(w.to.Addr())
	}
	add := func(w way) {
		w.to = w.to.Masked()
		if slices.ContainsFunc(ways, func(old way) bool { return part(old, w) }) {
			return
		}
		ways = append(slices.DeleteFunc(ways, func(old way) bool { return part(w, old) }), w)
	}
	for _, s := range p.place.Subnets {
		add(way{s, 0, true})
	}
	for _, r := range p.rules {
		if r.Host == "" {
			add(way{r.Prefix, r.Port, false})
			continue
		}
		for name, addresses := range p.place.Hosts {
			if !matches(r.Host, name) {
				continue
			}
			for _, a := range addresses {
				add(way{netip.PrefixFrom(a, a.BitLen()), r.Port, false})
			}
		}
	}
	var all []Opening
	for _, w := range ways {
		all = append(all, p.from(Opening{To: w.to, Port: w.port, Own: w.own})...)
	}
	return all
}

// from is an opening from each of the container's addresses of to's family.
func (p *Policy) from(o Opening) []Opening {
	var all []Opening
	for _, a := range p.place.Addresses {
		if a.Is4() == o.To.Addr().Is4() {
			o.From = a
			all = append(all, o)
		}
	}
	return all
}

// matches tells whether a rule's host is name, or with *. before it a domain that name is below of.
func matches(host, name string) bool {
	if domain, ok := strings.CutPrefix(host, "*"); ok {
		return strings.HasSuffix(name, domain) && len(name) > len(domain)
	}
	return host == name
}

// Ask tells whether the container may ask for a name: a question carries data out as well as an answer does in.
func (p *Policy) Ask(name string, _ uint16) bool {
	return slices.ContainsFunc(p.rules, func(r network.EgressRule) bool { return r.Host != "" && matches(r.Host, name) })
}

// Answer opens the way to addresses of name, on the ports of the rules that list it, and returns when it is open. It is
// false, and nothing is open, for a name that leads to where no outside is: to networks of the user, this host or its link.
func (p *Policy) Answer(name string, addresses []netip.Addr, ttl time.Duration) bool {
	for _, a := range addresses {
		if a.IsUnspecified() || a.IsLoopback() || a.IsMulticast() || a.IsLinkLocalUnicast() || p.ours(a) {
			return false
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	now := p.now()
	timeout := max(ttl+grace, least)
	until := now.Add(timeout)
	var wanted []Opening
	var fresh []opened
	for _, r := range p.rules {
		if r.Host == "" || !matches(r.Host, name) {
			continue
		}
		for _, a := range addresses {
			o := opened{a, r.Port}
			// Half of the grace is for not asking the kernel at each of a name's lookups.
			if p.open[o].Before(until.Add(-grace / 2)) {
				fresh = append(fresh, o)
				wanted = append(wanted, p.from(Opening{To: netip.PrefixFrom(a, a.BitLen()), Port: r.Port, Timeout: timeout})...)
			}
		}
	}
	if len(p.open)+len(fresh) > maxOpen {
		p.prune(now)
	}
	if len(p.open)+len(fresh) > maxOpen {
		p.log.Warn("an egress policy has too many addresses open", "name", name, "open", len(p.open), "limit", maxOpen)
		return false
	}
	if len(wanted) > 0 {
		if err := p.gate.Open(wanted); err != nil {
			p.log.Error("opening the way out", "name", name, "error", err)
			return false
		}
	}
	for _, o := range fresh {
		p.open[o] = until
	}
	return true
}

// prune forgets what the gate has closed by itself. The caller holds mu.
func (p *Policy) prune(now time.Time) {
	for o, until := range p.open {
		if !now.Before(until) {
			delete(p.open, o)
		}
	}
}
