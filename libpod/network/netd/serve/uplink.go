package serve

import (
	"context"
	"net"
	"net/netip"
	"path/filepath"
	"slices"
	"sync"
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
	for _, n := range c.nets {
		if !n.Internal {
			return s.hostFrom(n)
		}
	}
	return nil
}

// hostFrom are the addresses by which the containers of a network reach the host.
func (s *server) hostFrom(n *served) (out []netip.Addr) {
	if n.Internal {
		return nil
	}
	if !s.ns.Own() {
		for _, gw := range n.bridge.Gateways {
			out = append(out, gw.Addr())
		}
		return out
	}
	if s.uplink == nil {
		return nil
	}
	if _, err := s.uplink.Info(); err != nil {
		return nil
	}
	return s.outward.get()
}

// hostAddresses are outward's, looked up once a second at most.
type hostAddresses struct {
	mu   sync.Mutex
	at   time.Time
	list []netip.Addr
}

func (h *hostAddresses) get() []netip.Addr {
	h.mu.Lock()
	defer h.mu.Unlock()
	if time.Since(h.at) > time.Second {
		h.list, h.at = outward(), time.Now()
	}
	return h.list
}

// outward are the addresses that the host calls others from: its services that listen beyond its loopback are there. Those
// of the loopback alone are closed to containers.
func outward() (out []netip.Addr) {
	for _, beyond := range []string{"192.0.2.1:9", "[2001:db8::1]:9"} { // of nobody (RFC 5737, RFC 3849), and nothing is sent
		if c, err := net.Dial("udp", beyond); err == nil {
			out = append(out, c.LocalAddr().(*net.UDPAddr).AddrPort().Addr().Unmap())
			c.Close()
		}
	}
	if len(out) > 0 {
		return out
	}
	all, _ := net.InterfaceAddrs() // without a route to everywhere
	var v4, v6 bool
	for _, a := range all {
		p, err := netip.ParsePrefix(a.String())
		if err != nil || p.Addr().IsLoopback() || p.Addr().IsLinkLocalUnicast() || p.Addr().Is4() && v4 || p.Addr().Is6() && v6 {
			continue
		}
		v4, v6 = v4 || p.Addr().Is4(), v6 || p.Addr().Is6()
		out = append(out, p.Addr())
	}
	return out
}
