// Package port owns the published ports: the sockets that listen on the host, and what carries their traffic to the
// containers with the client's address kept. It links into proa-netd alone and runs there, in the host's network
// namespace as the user, with the rights of the user's namespace over the containers' one.
//
//	client ──▶ listener (host's namespace) ──▶ socket bound to the client's address (containers' namespace) ──▶ container
//
// A socket keeps the namespace it was made in, so one process serves both ends. The way back for a packet that a container
// sends to a client's address is made by KeepSource.
package port

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/proa-containers/proa/libpod/network"
)

// Owner is the container that ports are published for.
type Owner struct{ ID, Name string }

// Ports is what is published. Its methods may be called at the same time.
type Ports struct {
	log *slog.Logger
	far *sockets

	mu     sync.Mutex
	owners map[string]*publication
}

// publication is what one container has published.
type publication struct {
	owner Owner
	to    *target

	mu     sync.Mutex
	closed bool
	bound  []network.Port
	open   map[io.Closer]struct{} // listeners, connections and flows
}

// New makes a Ports that publishes nothing yet. The function in runs another on a thread of the containers' network
// namespace; the sockets of the far side are made there.
func New(in func(func() error) error, log *slog.Logger) *Ports {
	return &Ports{log: log, far: newSockets(in), owners: map[string]*publication{}}
}

// Publish makes every one of ports listen on the host and lead to the container's addresses, at most one of each family,
// or none of them and says why: a *ConflictError where a port is taken. What it returns is ports with the numbers that the
// kernel chose where none was asked for. Called again for the same owner it adds to what is published.
func (p *Ports) Publish(o Owner, ports []network.Port, to ...netip.Addr) ([]network.Port, error) {
	pub := p.publication(o)
	var made []listener
	var bound []network.Port
	fail := func(err error) ([]network.Port, error) {
		for _, l := range slices.Backward(made) {
			l.Close()
			pub.remove(l)
		}
		p.forget(pub)
		return nil, err
	}
	for _, asked := range ports {
		ls, got, err := p.listen(o, asked, bound)
		made = append(made, ls...)
		if err != nil {
			return fail(err)
		}
		bound = append(bound, got...)
	}
	if len(to) > 0 {
		pub.to.set(to)
	}
	for _, l := range made {
		if !pub.add(l) {
			return fail(fmt.Errorf("publish ports of %q: they were withdrawn meanwhile", o.Name))
		}
	}
	pub.mu.Lock()
	pub.bound = append(pub.bound, bound...)
	pub.mu.Unlock()
	for _, l := range made {
		go l.serve(p, pub)
	}
	return bound, nil
}

// Retarget leads the ports of the container id to other addresses from now on. Connections that are open stay, flows of
// datagrams end.
func (p *Ports) Retarget(id string, to ...netip.Addr) {
	p.mu.Lock()
	pub := p.owners[id]
	p.mu.Unlock()
	if pub == nil {
		return
	}
	pub.to.set(to)
	pub.mu.Lock()
	defer pub.mu.Unlock()
	for c := range pub.open {
		if f, ok := c.(*flow); ok {
			f.Close()
		}
	}
}

// Withdraw closes the ports of the container id and every connection through them. Unknown ids are no error.
func (p *Ports) Withdraw(id string) {
	p.mu.Lock()
	pub := p.owners[id]
	delete(p.owners, id)
	p.mu.Unlock()
	if pub != nil {
		pub.close()
	}
}

// Published tells what the container id has published, nil for none.
func (p *Ports) Published(id string) []network.Port {
	p.mu.Lock()
	pub := p.owners[id]
	p.mu.Unlock()
	if pub == nil {
		return nil
	}
	pub.mu.Lock()
	defer pub.mu.Unlock()
	return slices.Clone(pub.bound)
}

// Close withdraws everything.
func (p *Ports) Close() error {
	p.mu.Lock()
	pubs := p.owners
	p.owners = map[string]*publication{}
	p.mu.Unlock()
	for _, pub := range pubs {
		pub.close()
	}
	return p.far.Close()
}

func (p *Ports) publication(o Owner) *publication {
	p.mu.Lock()
	defer p.mu.Unlock()
	pub := p.owners[o.ID]
	if pub == nil {
		pub = &publication{owner: o, to: &target{}, open: map[io.Closer]struct{}{}}
		p.owners[o.ID] = pub
	}
	return pub
}

// forget drops a publication that has nothing published.
func (p *Ports) forget(pub *publication) {
	p.mu.Lock()
	defer p.mu.Unlock()
	pub.mu.Lock()
	defer pub.mu.Unlock()
	if len(pub.bound) == 0 && p.owners[pub.owner.ID] == pub {
		delete(p.owners, pub.owner.ID)
		pub.closed = true
	}
}

// add notes what is to be closed with the publication, and tells whether it still stands.
func (b *publication) add(c io.Closer) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.closed {
		b.open[c] = struct{}{}
	}
	return !b.closed
}

func (b *publication) remove(c io.Closer) {
	b.mu.Lock()
	delete(b.open, c)
	b.mu.Unlock()
}

func (b *publication) close() {
	b.mu.Lock()
	b.closed = true
	open := b.open
	b.open, b.bound = map[io.Closer]struct{}{}, nil
	b.mu.Unlock()
	for c := range open {
		c.Close()
	}
}

// target is where a publication leads, and whether that place is known to answer a client's own address.
type target struct {
	mu     sync.Mutex
	v4, v6 netip.Addr
	kept   map[netip.Addr]bool      // an answer to a client's own address came from there
	lost   map[netip.Addr]time.Time // none came, and the next is to be tried then
}

func (t *target) set(to []netip.Addr) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.v4, t.v6, t.kept, t.lost = netip.Addr{}, netip.Addr{}, map[netip.Addr]bool{}, map[netip.Addr]time.Time{}
	for _, a := range to {
		if a = a.Unmap(); a.Is4() {
			t.v4 = a
		} else if a.IsValid() {
			t.v6 = a
		}
	}
}

var errNoTarget = errors.New("the container has no address")

// choose gives the address for a client: one of its own family, so that its address can be kept, else the other one.
// from is the client's address where it can be kept, else the zero one.
func (t *target) choose(client netip.AddrPort) (to netip.Addr, from netip.AddrPort, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	to, other := t.v4, t.v6
	if client.Addr().Is6() {
		to, other = t.v6, t.v4
	}
	if !to.IsValid() {
		if other.IsValid() {
			return other, netip.AddrPort{}, nil
		}
		return netip.Addr{}, netip.AddrPort{}, errNoTarget
	}
	if !keepable(client.Addr()) || time.Now().Before(t.lost[to]) {
		return to, netip.AddrPort{}, nil
	}
	return to, client, nil
}

// learn notes whether an answer came to a client's own address. Once one did, none is no sign of a missing way but of a
// slow server.
func (t *target) learn(to netip.Addr, kept bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case t.kept == nil:
	case kept:
		t.kept[to] = true
		delete(t.lost, to)
	case !t.kept[to]:
		t.lost[to] = time.Now().Add(lostTime)
	}
}

// keepable tells whether a packet with this source can cross to a container: the kernel takes loopback addresses for
// forged on any other interface, and those of a link mean nothing on another link.
func keepable(a netip.Addr) bool {
	return !a.IsLoopback() && !a.IsLinkLocalUnicast() && a.Zone() == "" && a.IsGlobalUnicast()
}
