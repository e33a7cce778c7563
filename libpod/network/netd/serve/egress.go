package serve

import (
	"context"
	"net/netip"
	"slices"

	"github.com/proa-containers/proa/libpod/network/egress"
	"github.com/proa-containers/proa/libpod/network/egress/nft"
	"github.com/proa-containers/proa/libpod/network/netd"
	"github.com/proa-containers/proa/libpod/network/resolver"
)

// openGate makes the rules of egress policies, with the first container under one. The caller holds mu.
func (s *server) openGate() error {
	if s.gate != nil {
		return nil
	}
	gate, err := nft.Open(s.ns.Do)
	if err != nil {
		return err
	}
	s.gate = gate
	ctx, cancel := context.WithCancel(context.Background())
	s.unwatch = cancel
	go func() {
		if err := gate.Watch(ctx, s.sayPacket); err != nil {
			s.log.Error("refused packets are not told of", "error", err)
		}
	}()
	return nil
}

// closeGate ends what openGate began, where the namespace stays.
func (s *server) closeGate() {
	if s.gate == nil {
		return
	}
	s.unwatch()
	if err := s.gate.Remove(); err != nil {
		s.log.Error("ending", "error", err)
	}
	s.gate.Close()
}

// restrict puts the container's egress policy in force, if it has one: before its first program runs, or, with move,
// beside what is in force. The caller holds mu.
func (s *server) restrict(c *container, move bool) error {
	if !c.Egress.Deny {
		return nil
	}
	if err := s.openGate(); err != nil {
		return err
	}
	if c.policy == nil {
		c.policy = egress.New(s.gate, s.log, c.Egress, s.isOurs)
	}
	if move {
		return c.policy.Move(s.place(c))
	}
	return c.policy.Start(s.place(c))
}

func (s *server) place(c *container) (p egress.Place) {
	for i, l := range c.Leases {
		for _, a := range l.Addresses {
			p.Addresses = append(p.Addresses, a.Addr())
		}
		for _, sub := range c.nets[i].Subnets {
			p.Subnets = append(p.Subnets, sub.Subnet)
		}
	}
	if host := s.host(c); len(host) > 0 {
		p.Hosts = map[string][]netip.Addr{}
		for _, name := range netd.HostNames {
			p.Hosts[name] = host
		}
	}
	return p
}

// isOurs tells whether an address is of one of the user's networks, or leads to the host.
func (s *server) isOurs(a netip.Addr) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, n := range s.networks {
		for _, sub := range n.Subnets {
			if sub.Subnet.Contains(a) {
				return true
			}
		}
	}
	for _, c := range s.containers {
		if slices.Contains(s.host(c), a) {
			return true
		}
	}
	return false
}

// unrestrict ends the container's policy. The caller holds mu.
func (s *server) unrestrict(c *container) {
	if c.policy == nil {
		return
	}
	if err := c.policy.End(); err != nil {
		s.log.Error("ending an egress policy", "container", c.ID, "error", err)
	}
	c.policy = nil
}

// refusedEvent is the event of a name or a packet that an egress policy refused.
const refusedEvent = "egress_refused"

// sayPacket tells of a packet that was refused.
func (s *server) sayPacket(r nft.Refused) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range s.containers {
		if c.policy != nil && slices.ContainsFunc(s.place(c).Addresses, func(a netip.Addr) bool { return a == r.From }) {
			to := r.To.Addr().String()
			if r.To.Port() != 0 {
				to = r.To.String()
			}
			s.say(c, "to", to, "protocol", protocolName(r.Protocol))
			return
		}
	}
}

// sayName tells of a name that was refused.
func (s *server) sayName(r resolver.Refusal) {
	go func() { // it must not block
		s.mu.Lock()
		defer s.mu.Unlock()
		if c := s.containers[r.Container]; c != nil {
			s.say(c, "lookup", r.Name, "type", r.Type)
		}
	}()
}

func (s *server) say(c *container, pairs ...string) {
	if c.Names.Events.Dir == "" {
		return
	}
	if err := c.Names.Events.Say(refusedEvent, pairs...); err != nil {
		s.log.Error("telling of what was refused", "error", err)
	}
}

func protocolName(p uint8) string {
	switch p {
	case 1, 58:
		return "icmp"
	case 6:
		return "tcp"
	case 17:
		return "udp"
	}
	return "other"
}
