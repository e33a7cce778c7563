package serve

import (
	"errors"
	"net/netip"
	"slices"

	"github.com/proa-containers/proa/libpod/network"
	"github.com/proa-containers/proa/libpod/network/port"
)

// publish makes the container's ports ports of the host.
func (s *server) publish(c *container) error {
	if len(c.Ports) == 0 {
		return nil
	}
	to := targets(c)
	if len(to) == 0 {
		return errors.New("ports can't be published: every network that the container is on is internal, and has no way in")
	}
	s.keepSource()
	var err error
	c.Bound, err = s.ports.Publish(port.Owner{ID: c.ID, Name: c.who()}, hostBound(c), to...)
	return err
}

// hostBound are the container's ports, with the host's address that its networks say for those without one.
func hostBound(c *container) []network.Port {
	out := slices.Clone(c.Ports)
	for _, n := range c.nets {
		ip, err := netip.ParseAddr(n.Options[network.OptionHostBinding])
		if err != nil {
			continue
		}
		for i := range out {
			if !out[i].HostIP.IsValid() {
				out[i].HostIP = ip
			}
		}
		break
	}
	return out
}

// republish is publish for a container that has its ports already, by a netd that was killed.
func (s *server) republish(c *container) error {
	if len(c.Bound) == 0 {
		return nil
	}
	s.keepSource()
	_, err := s.ports.Publish(port.Owner{ID: c.ID, Name: c.who()}, c.Bound, targets(c)...)
	return err
}

// keepSource has containers see the addresses of those who come by published ports.
func (s *server) keepSource() {
	s.source.Do(func() {
		if err := s.ns.Do(port.KeepSource); err != nil {
			s.log.Warn("containers see the gateway in place of their clients", "error", err)
		}
	})
}

// targets are the addresses that published ports lead to: of each family, that of the first network with a way in.
func targets(c *container) (out []netip.Addr) {
	var v4, v6 bool
	for _, l := range c.Leases {
		if len(l.Gateways) == 0 {
			continue
		}
		for _, p := range l.Addresses {
			a := p.Addr()
			switch {
			case a.Is4() && !v4:
				v4 = true
			case a.Is6() && !v6:
				v6 = true
			default:
				continue
			}
			out = append(out, a)
		}
	}
	return out
}
