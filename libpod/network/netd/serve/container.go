package serve

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strconv"

	"github.com/proa-containers/proa/libpod/network"
	"github.com/proa-containers/proa/libpod/network/egress"
	"github.com/proa-containers/proa/libpod/network/link"
	"github.com/proa-containers/proa/libpod/network/netd"
	"github.com/proa-containers/proa/oci/monitor"
)

// container is one that has addresses. Its Leases are in the order of its Attachments.
type container struct {
	netd.Record
	nets   []*served      // of each lease
	proc   *process       // while it lives, the container is on its networks
	policy *egress.Policy // nil: it reaches everything
	late   bool           // proc is no longer the one that was named at first, but a successor
	gone   bool           // it was dropped
}

// who names a container in errors.
func (c *container) who() string {
	if name := cmp.Or(c.Names.Name, c.Request.Name); name != "" {
		return name
	}
	return c.ID[:min(12, len(c.ID))]
}

// setUp carries a Setup: it makes everything, and then waits to be told the container's names. The client that goes away
// before that takes all back.
func (s *server) setUp(ctx context.Context, conn *monitor.Conn, r netd.Request, netns *os.File) {
	c, err := s.begin(r, netns)
	if err == nil {
		err = s.plugAll(ctx, c, netns)
	}
	names, hearErr := hearNames(conn)
	if hearErr == nil && err == nil {
		err = s.name(c, names)
	}
	if c != nil && (err != nil || hearErr != nil) {
		s.drop(c)
	}
	if hearErr != nil {
		return
	}
	if err != nil {
		s.answer(conn, netd.Answer{Error: err.Error()})
		return
	}
	s.answer(conn, netd.Answer{Leases: c.Leases, Ports: c.Bound, Host: s.host(c)})
}

func hearNames(conn *monitor.Conn) (n netd.Names, err error) {
	buf := make([]byte, monitor.MaxPayload+1)
	kind, payload, err := conn.Receive(buf)
	if err == nil && kind != netd.Name {
		err = fmt.Errorf("unknown request %q", kind)
	}
	if err == nil {
		err = json.Unmarshal(payload, &n)
	}
	return n, err
}

// begin gives the container its addresses and starts to watch it.
func (s *server) begin(r netd.Request, netns *os.File) (*container, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.reap()
	if old := s.containers[r.ID]; old != nil { // of its last run, or of a client that asks again
		s.dropLocked(old)
	}
	c := &container{Record: netd.Record{Request: r}}
	proc, err := watchInit(r.Init)
	if err != nil {
		return nil, fmt.Errorf("the container's init %d: %w", r.Init.PID, err)
	}
	c.proc = proc
	s.containers[r.ID] = c
	if r.Pin {
		if err := link.Pin(netd.PinFile(s.dir, r.ID), netns); err != nil {
			s.dropLocked(c)
			return nil, err
		}
	}
	for _, a := range r.Attachments {
		if err := s.attach(c, a, r.Networks); err != nil {
			s.dropLocked(c)
			return nil, err
		}
	}
	if err := errors.Join(s.restrict(c, false), s.save(c)); err != nil {
		s.dropLocked(c)
		return nil, err
	}
	go s.watch(c, proc)
	return c, nil
}

// attach gives c an address of every subnet of one network. The caller holds mu.
func (s *server) attach(c *container, a network.Attachment, known []network.Network) error {
	i := slices.IndexFunc(known, func(n network.Network) bool { return n.Name == a.Network })
	if i < 0 {
		return fmt.Errorf("the configuration of network %q was not sent", a.Network)
	}
	name, err := freeInterface(c, a.Interface, cmp.Or(known[i].Options[network.OptionIfacePrefix], "eth"))
	if err != nil {
		return err
	}
	n, err := s.use(known[i])
	if err != nil {
		return err
	}
	addresses, err := n.pool.give(c.who(), a.Addresses)
	if err != nil {
		s.release(n)
		return err
	}
	mac, err := hardware(a.MAC, addresses)
	if err != nil {
		n.pool.release(addresses)
		s.release(n)
		return err
	}
	l := network.Lease{Network: n.Name, Interface: name, MAC: mac.String(), Addresses: addresses}
	for _, gw := range n.bridge.Gateways {
		if !n.Internal {
			l.Gateways = append(l.Gateways, gw.Addr())
		}
		if hasResolver(n.Network) {
			l.DNSServers = append(l.DNSServers, gw.Addr())
		}
	}
	c.Leases, c.nets = append(c.Leases, l), append(c.nets, n)
	return nil
}

// freeInterface is the name that was asked for, or the next of eth0, eth1, ..., with prefix eth, that the container has not.
func freeInterface(c *container, wanted, prefix string) (string, error) {
	has := func(name string) bool {
		return slices.ContainsFunc(c.Leases, func(l network.Lease) bool { return l.Interface == name })
	}
	if wanted != "" {
		if has(wanted) {
			return "", fmt.Errorf("the container has an interface %q already", wanted)
		}
		return wanted, nil
	}
	asked := func(name string) bool {
		return slices.ContainsFunc(c.Attachments, func(a network.Attachment) bool { return a.Interface == name })
	}
	for i := 0; ; i++ {
		if name := prefix + strconv.Itoa(i); !has(name) && !asked(name) {
			return name, nil
		}
	}
}

// plugAll makes the interfaces of c and publishes its ports.
func (s *server) plugAll(ctx context.Context, c *container, netns *os.File) error {
	if c.hasWayOut() {
		s.needUplink()
	}
	for i := range c.Leases {
		if err := s.ns.Insert(s.plug(c, i, netns)); err != nil {
			return err
		}
	}
	if err := s.publish(c); err != nil {
		return err
	}
	if c.hasWayOut() {
		s.awaitUplink(ctx)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if c.gone { // what was just published is not to stay
		s.ports.Withdraw(c.ID)
		return errEnded
	}
	return nil
}

// errEnded says that a container ended before it was whole.
var errEnded = errors.New("the container ended before it was on its networks")

// plug is the veth pair of the i-th lease.
func (s *server) plug(c *container, i int, netns *os.File) link.Plug {
	l, n := c.Leases[i], c.nets[i]
	mac, _ := hardware(l.MAC, nil)
	p := link.Plug{
		Bridge: n.bridge.Name, Port: portName(c.ID, l.Network), NetNS: netns, Interface: l.Interface, MAC: mac, MTU: n.bridge.MTU,
		Isolated: n.bridge.Isolated, VLAN: n.bridge.VLAN,
		Addresses: l.Addresses, IPv6: slices.ContainsFunc(l.Addresses, func(a netip.Prefix) bool { return a.Addr().Is6() }),
	}
	for _, r := range n.Routes {
		p.Routes = append(p.Routes, link.Route{To: r.Destination, By: r.Gateway, Metric: r.Metric})
	}
	for _, gw := range l.Gateways {
		if wayOut(c.Leases, gw) == i {
			p.Routes = append(p.Routes, link.Default(gw))
		}
	}
	return p
}

// wayOut is the lease that a container's default route of gw's family goes by: the first that has one.
func wayOut(leases []network.Lease, gw netip.Addr) int {
	return slices.IndexFunc(leases, func(l network.Lease) bool {
		return slices.ContainsFunc(l.Gateways, func(a netip.Addr) bool { return a.Is4() == gw.Is4() })
	})
}

// name makes the container known to the others.
func (s *server) name(c *container, n netd.Names) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if c.gone {
		return errEnded
	}
	c.Names, c.Named = n, true
	for i, l := range c.Leases {
		c.nets[i].pool.take(c.who(), l.Addresses)
	}
	// The host's addresses, which the policy may speak of, are known when the uplink is there.
	if err := errors.Join(s.restrict(c, true), s.introduce(c)); err != nil {
		return err
	}
	return s.save(c)
}

// watch drops the container when it has ended.
func (s *server) watch(c *container, proc *process) {
	for {
		proc.wait()
		s.mu.Lock()
		if c.gone {
			s.mu.Unlock()
			return
		}
		next := successor(c.RunDir)
		if next == nil {
			s.dropLocked(c)
			s.mu.Unlock()
			return
		}
		proc.close()
		proc, c.proc, c.late = next, next, true
		s.mu.Unlock()
	}
}

// reap drops the containers that have ended and of which nobody has told yet: the next of two runs, one after the other,
// finds the port of the first free. A monitor has said its last word before its process has ended. The caller holds mu.
func (s *server) reap() {
	for _, c := range s.containers {
		if !c.late && !c.proc.ended() {
			continue
		}
		next := successor(c.RunDir)
		if next == nil {
			s.dropLocked(c)
			continue
		}
		next.close()
	}
}

func (s *server) drop(c *container) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.dropLocked(c)
}

// dropLocked takes back what a container was given. Its interfaces go with its network namespace, or at once where a
// process still has that. The caller holds mu.
func (s *server) dropLocked(c *container) {
	if c.gone {
		return
	}
	c.gone = true
	c.proc.close()
	s.names.RemoveContainer(c.ID)
	s.unrestrict(c)
	s.ports.Withdraw(c.ID)
	for i, n := range c.nets {
		n.pool.release(c.Leases[i].Addresses)
		s.release(n)
	}
	if s.containers[c.ID] == c {
		delete(s.containers, c.ID)
		s.forget(c.ID)
		s.unpin(c.ID)
	}
	s.stir()
	go s.unplug(c.ID, c.Leases)
}

func (s *server) unpin(id string) {
	if err := link.Unpin(netd.PinFile(s.dir, id)); err != nil {
		s.log.Error("letting go of a container's network namespace", "container", id, "error", err)
	}
}

func (s *server) unplug(id string, leases []network.Lease) {
	for _, l := range leases {
		if err := s.ns.Remove(portName(id, l.Network)); err != nil {
			s.log.Error("unplugging a container", "container", id, "error", err)
		}
	}
}
