// Package nft is egress.Gate by nftables. It owns the table "proa-egress" of the containers' network namespace, beside
// the table of package link, which is made anew with each network. It runs in proa-netd, with the rights of package link.
package nft

import (
	"fmt"
	"net/netip"
	"sync"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"github.com/proa-containers/proa/libpod/network/egress"
	"golang.org/x/sys/unix"
)

const tableName = "proa-egress"

// The rules, once for each family N. What opens and closes is in the sets, so that they are the same for any number of
// containers, and what is open stays so when netd is killed.
//
//	set heldN      address of a container under a policy
//	set ownN       its address . network of its own
//	set fixedN     its address . network             set fixedportN   its address . network . port
//	set namedN     its address . address, timeout    set namedportN   its address . address . port, timeout
//
//	forward   ct state established,related accept; saddr @heldN jump outN
//	input     ct state established,related accept; saddr @heldN jump inN
//	outN      saddr . daddr @ownN accept; jump listedN; goto refuse
//	inN       saddr . daddr @ownN, port 53 accept; jump listedN; goto refuse
//	listedN   saddr . daddr @fixedN accept, @namedN accept; tcp, udp: saddr . daddr . dport @fixedportN accept, @namedportN accept
//	refuse    limit rate, log group; tcp reject with reset; reject with admin-prohibited

// Table is the Gate. It has a connection to the kernel; the rules stay when it is closed.
type Table struct {
	in func(func() error) error

	mu       sync.Mutex
	c        *nftables.Conn
	table    *nftables.Table
	families []*family
}

var _ egress.Gate = (*Table)(nil)

// Open makes the table, or goes on with that of a predecessor. in calls a function on a thread in the containers'
// network namespace.
func Open(in func(func() error) error) (*Table, error) {
	t := &Table{in: in, table: &nftables.Table{Family: nftables.TableFamilyINet, Name: tableName}}
	err := in(func() (err error) {
		t.c, err = nftables.New(nftables.AsLasting())
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("opening nftables for egress policies: %w", err)
	}
	if err := t.make(); err != nil {
		t.c.CloseLasting()
		return nil, fmt.Errorf("making the rules of egress policies: %w; they need nftables in the kernel, with nft_reject and nfnetlink_log", err)
	}
	return t, nil
}

// Close lets go of the connection.
func (t *Table) Close() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.c.CloseLasting()
}

// Remove removes the table with all that it holds and lets through, where no container is left and the namespace stays.
func (t *Table) Remove() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.c.DelTable(t.table)
	if err := t.c.Flush(); err != nil {
		return fmt.Errorf("removing the rules of egress policies: %w", err)
	}
	return nil
}

func (t *Table) Hold(addresses []netip.Addr, fixed []egress.Opening) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	b := batch{t: t}
	for _, a := range addresses {
		f := t.family(a)
		b.add(f.held, element{key: f.key(a)})
		for _, s := range []*nftables.Set{f.own, f.fixed, f.fixedPort} {
			b.removeOf(s, f, a)
		}
	}
	for _, o := range fixed {
		f := t.family(o.From)
		first, last := bounds(o.To)
		switch {
		case o.Own:
			b.add(f.own, element{key: f.key(o.From, first), end: f.key(o.From, last)})
		case o.Port == 0:
			b.add(f.fixed, element{key: f.key(o.From, first), end: f.key(o.From, last)})
		default:
			b.add(f.fixedPort, element{key: f.portKey(o.From, first, o.Port), end: f.portKey(o.From, last, o.Port)})
		}
	}
	return b.flush()
}

func (t *Table) Open(openings []egress.Opening) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	b := batch{t: t}
	for _, o := range openings {
		f := t.family(o.From)
		s, e := f.named, element{key: f.key(o.From, o.To.Addr()), timeout: o.Timeout}
		if o.Port != 0 {
			s, e.key = f.namedPort, f.portKey(o.From, o.To.Addr(), o.Port)
		}
		// The time of an element that is there changes by making it anew, which no packet sees. It may be there or not:
		// after the first line it is.
		b.add(s, e)
		b.remove(s, e)
		b.add(s, e)
	}
	return b.flush()
}

func (t *Table) Release(addresses []netip.Addr) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	b := batch{t: t}
	for _, a := range addresses {
		f := t.family(a)
		for _, s := range f.all() {
			b.removeOf(s, f, a)
		}
	}
	return b.flush()
}

func (t *Table) family(a netip.Addr) *family {
	if a.Is4() {
		return t.families[0]
	}
	return t.families[1]
}

// bounds are the first and the last address of a network.
func bounds(p netip.Prefix) (first, last netip.Addr) {
	first = p.Masked().Addr()
	b := first.AsSlice()
	for i := p.Bits(); i < len(b)*8; i++ {
		b[i/8] |= 0x80 >> (i % 8)
	}
	last, _ = netip.AddrFromSlice(b)
	return first, last
}

// make makes what is not there, and the chains anew, in one step.
func (t *Table) make() error {
	t.c.AddTable(t.table)
	refuse := t.chain("refuse", nil)
	refuse(limited(), logged())
	// The kernel sends a destination one ICMP error in a second, and TCP would try again without one.
	refuse(transport(unix.IPPROTO_TCP), []expr.Any{&expr.Reject{Type: unix.NFT_REJECT_TCP_RST}})
	refuse([]expr.Any{&expr.Reject{Type: unix.NFT_REJECT_ICMPX_UNREACH, Code: unix.NFT_REJECT_ICMPX_ADMIN_PROHIBITED}})
	forward, input := t.chain("forward", nftables.ChainHookForward), t.chain("input", nftables.ChainHookInput)
	forward(established(), accept())
	input(established(), accept())
	for _, f := range []*family{
		{number: "4", protocol: unix.NFPROTO_IPV4, kind: nftables.TypeIPAddr, source: 12, size: 4},
		{number: "6", protocol: unix.NFPROTO_IPV6, kind: nftables.TypeIP6Addr, source: 8, size: 16},
	} {
		t.families = append(t.families, f)
		if err := f.makeSets(t); err != nil {
			return err
		}
		listed := t.chain("listed"+f.number, nil)
		listed(f.addresses(), lookup(f.fixed), accept())
		listed(f.addresses(), lookup(f.named), accept())
		for _, protocol := range []byte{unix.IPPROTO_TCP, unix.IPPROTO_UDP} {
			listed(transport(protocol), f.addresses(), f.port(), lookup(f.fixedPort), accept())
			listed(transport(protocol), f.addresses(), f.port(), lookup(f.namedPort), accept())
		}
		out := t.chain("out"+f.number, nil)
		out(f.addresses(), lookup(f.own), accept())
		in := t.chain("in"+f.number, nil)
		for _, protocol := range []byte{unix.IPPROTO_TCP, unix.IPPROTO_UDP} {
			in(f.addresses(), lookup(f.own), transport(protocol), toPort(53), accept())
		}
		for _, rule := range []func(...[]expr.Any){out, in} {
			rule(jump("listed" + f.number))
			rule(then("refuse"))
		}
		forward(f.from(), lookup(f.held), jump("out"+f.number))
		input(f.from(), lookup(f.held), jump("in"+f.number))
	}
	return t.c.Flush()
}
