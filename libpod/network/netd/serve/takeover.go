package serve

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"

	"github.com/proa-containers/proa/libpod/network"
	"github.com/proa-containers/proa/libpod/network/netd"
)

// takeOver goes on with the containers that a netd which was killed has left, and removes what belongs to none.
func (s *server) takeOver(_ context.Context) error {
	records, err := netd.List(s.dir)
	if err != nil {
		return err
	}
	for _, r := range records {
		c := &container{Record: *r}
		c.proc, err = watchInit(r.Init)
		if err != nil {
			c.late, c.proc = true, successor(r.RunDir)
		}
		// Without its names it is one whose client will ask again, if it lives.
		if c.proc == nil || !r.Named {
			s.forget(r.ID)
			s.unplug(r.ID, r.Leases)
			continue
		}
		if err := s.adopt(c); err != nil {
			s.log.Error("taking over a container", "container", r.ID, "error", err)
		}
		s.containers[c.ID] = c
		if c.hasWayOut() {
			s.needUplink()
		}
		go s.watch(c, c.proc)
	}
	s.sweepPins()
	return s.sweepBridges()
}

// sweepPins unmounts the network namespaces of containers that are no more.
func (s *server) sweepPins() {
	pins, _ := os.ReadDir(filepath.Join(s.dir, netd.PinsDir))
	for _, p := range pins {
		if s.containers[p.Name()] == nil {
			s.unpin(p.Name())
		}
	}
}

// adopt has c stay on the networks that it is on.
func (s *server) adopt(c *container) error {
	leases := c.Leases
	c.Leases = nil
	for _, l := range leases {
		i := slices.IndexFunc(c.Networks, func(n network.Network) bool { return n.Name == l.Network })
		if i < 0 {
			continue
		}
		n, err := s.use(c.Networks[i])
		if err != nil {
			return err
		}
		n.pool.take(c.who(), l.Addresses)
		c.Leases, c.nets = append(c.Leases, l), append(c.nets, n)
	}
	return errors.Join(s.restrict(c, true), s.introduce(c), s.republish(c))
}

// sweepBridges removes the bridges that no container is on: all of a namespace of our own, and in the host's those that a
// netd has made.
func (s *server) sweepBridges() (err error) {
	names := s.notedBridges()
	if s.ns.Own() {
		if names, err = s.ns.Bridges(); err != nil {
			return err
		}
	}
	for _, name := range names {
		if !slices.ContainsFunc(s.bridgeList(), func(b string) bool { return b == name }) {
			if err := s.ns.Remove(name); err != nil {
				return err
			}
		}
	}
	return nil
}

func (s *server) bridgeList() (names []string) {
	for _, n := range s.networks {
		names = append(names, n.bridge.Name)
	}
	return names
}
