package serve

import (
	"context"
	"net/netip"
	"path/filepath"
	"slices"
	"time"

	"github.com/proa-containers/proa/libpod/network/netd"
	"github.com/proa-containers/proa/libpod/network/uplink"
)

// uplinkTime is how long a container waits for the way out: without one it starts and reaches its neighbours.
const uplinkTime = 5 * time.Second

// needUplink starts the way out of the namespace, if it is not there. The host's own namespace needs none.
func (s *server) needUplink() {
	if !s.ns.Own() {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.uplink == nil {
		ns := uplink.Namespace{In: s.ns.Do, Path: filepath.Join(s.dir, netd.NamespaceFile)}
		s.uplink = uplink.Start(ns, uplink.Options{Serve: s.uplinkProgram}, s.log)
	}
}

// awaitUplink waits for the way out of a container that has one.
func (s *server) awaitUplink(ctx context.Context) {
	if s.uplink == nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, uplinkTime)
	defer cancel()
	s.uplink.Wait(ctx) // why there is none, it has logged
}

// hasWayOut tells whether a network of the container is not internal.
func (c *container) hasWayOut() bool {
	return slices.ContainsFunc(c.nets, func(n *served) bool { return !n.Internal })
}

// host are the addresses by which containers reach the host.
func (s *server) host(c *container) []netip.Addr {
	if !c.hasWayOut() {
		return nil
	}
	if s.ns.Own() {
		if s.uplink == nil {
			return nil
		}
		info, _ := s.uplink.Info()
		return info.Gateways
	}
	return c.Leases[0].Gateways
}
