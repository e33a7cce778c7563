package serve

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"

	"github.com/proa-containers/proa/libpod/network"
	"github.com/proa-containers/proa/libpod/network/link"
	"github.com/proa-containers/proa/libpod/network/netd"
)

// change puts a running container on a network or takes it off one.
func (s *server) change(_ context.Context, kind byte, ch netd.Change, netns *os.File) (netd.Answer, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.containers[ch.ID]
	if c == nil {
		return netd.Answer{}, fmt.Errorf("container %.12s is on no network of proa's", ch.ID)
	}
	do := s.connect
	if kind == netd.Disconnect {
		do = s.disconnect
	}
	if err := do(c, ch, netns); err != nil {
		return netd.Answer{}, err
	}
	s.ports.Retarget(c.ID, targets(c)...)
	if err := errors.Join(s.restrict(c, true), s.introduce(c)); err != nil {
		return netd.Answer{}, err
	}
	if c.hasWayOut() {
		go s.needUplink()
	}
	return netd.Answer{Leases: c.Leases, Ports: c.Bound, Host: s.host(c)}, s.save(c)
}

func (s *server) connect(c *container, ch netd.Change, netns *os.File) error {
	if slices.ContainsFunc(c.Leases, func(l network.Lease) bool { return l.Network == ch.Network.Name }) {
		return fmt.Errorf("container %q is on network %q already", c.who(), ch.Network.Name)
	}
	if err := s.attach(c, ch.Attachment, []network.Network{ch.Network}); err != nil {
		return err
	}
	last := len(c.Leases) - 1
	err := s.restrict(c, true) // before there is a way to go
	if err == nil {
		err = s.ns.Insert(s.plug(c, last, netns))
	}
	if err != nil {
		s.detach(c, last)
		return errors.Join(err, s.restrict(c, true))
	}
	c.Attachments = append(c.Attachments, ch.Attachment)
	if !slices.ContainsFunc(c.Networks, func(n network.Network) bool { return n.Name == ch.Network.Name }) {
		c.Networks = append(c.Networks, ch.Network)
	}
	return nil
}

func (s *server) disconnect(c *container, ch netd.Change, netns *os.File) error {
	i := slices.IndexFunc(c.Leases, func(l network.Lease) bool { return l.Network == ch.Network.Name })
	if i < 0 {
		return fmt.Errorf("container %q is not on network %q", c.who(), ch.Network.Name)
	}
	if err := s.ns.Remove(portName(c.ID, ch.Network.Name)); err != nil {
		return err
	}
	s.detach(c, i)
	c.Attachments = slices.DeleteFunc(c.Attachments, func(a network.Attachment) bool { return a.Network == ch.Network.Name })
	c.Networks = slices.DeleteFunc(c.Networks, func(n network.Network) bool { return n.Name == ch.Network.Name })
	return rerouted(c, netns)
}

// detach forgets the i-th lease.
func (s *server) detach(c *container, i int) {
	c.nets[i].pool.release(c.Leases[i].Addresses)
	s.release(c.nets[i])
	c.Leases, c.nets = slices.Delete(c.Leases, i, i+1), slices.Delete(c.nets, i, i+1)
}

// rerouted gives the container a way out by the networks it has left.
func rerouted(c *container, netns *os.File) error {
	for i, l := range c.Leases {
		var routes []link.Route
		for _, gw := range l.Gateways {
			if wayOut(c.Leases, gw) == i {
				routes = append(routes, link.Default(gw))
			}
		}
		if len(routes) == 0 {
			continue
		}
		if err := link.Reroute(netns, l.Interface, routes); err != nil {
			return err
		}
	}
	return nil
}
