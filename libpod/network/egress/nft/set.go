package nft

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"net/netip"
	"time"

	"github.com/google/nftables"
)

// family is what there is of each for IPv4 and IPv6.
type family struct {
	number   string
	protocol byte
	kind     nftables.SetDatatype
	source   uint32 // where the source address is in the header; the destination follows it
	size     uint32 // of an address

	held, own, fixed, fixedPort, named, namedPort *nftables.Set
}

func (f *family) all() []*nftables.Set {
	return []*nftables.Set{f.held, f.own, f.fixed, f.fixedPort, f.named, f.namedPort}
}

func (f *family) makeSets(t *Table) error {
	pair := nftables.MustConcatSetType(f.kind, f.kind)
	triple := nftables.MustConcatSetType(f.kind, f.kind, nftables.TypeInetService)
	f.held = &nftables.Set{Name: "held", KeyType: f.kind}
	f.own = &nftables.Set{Name: "own", KeyType: pair, Concatenation: true, Interval: true}
	f.fixed = &nftables.Set{Name: "fixed", KeyType: pair, Concatenation: true, Interval: true}
	f.fixedPort = &nftables.Set{Name: "fixedport", KeyType: triple, Concatenation: true, Interval: true}
	f.named = &nftables.Set{Name: "named", KeyType: pair, Concatenation: true, HasTimeout: true}
	f.namedPort = &nftables.Set{Name: "namedport", KeyType: triple, Concatenation: true, HasTimeout: true}
	for _, s := range f.all() {
		s.Table, s.Name = t.table, s.Name+f.number
		if err := t.c.AddSet(s, nil); err != nil {
			return err
		}
	}
	return nil
}

// key is addresses one after another.
func (f *family) key(addresses ...netip.Addr) []byte {
	var b []byte
	for _, a := range addresses {
		b = append(b, a.AsSlice()...)
	}
	return b
}

// portKey is a key with a port, in a whole register.
func (f *family) portKey(from, to netip.Addr, port uint16) []byte {
	return append(binary.BigEndian.AppendUint16(f.key(from, to), port), 0, 0)
}

// element is one of a set; end is the last of a range.
type element struct {
	key, end []byte
	timeout  time.Duration
}

func (e element) nft() []nftables.SetElement {
	return []nftables.SetElement{{Key: e.key, KeyEnd: e.end, Timeout: e.timeout}}
}

// batch is changes that are made in one step. The caller holds the table's mu.
type batch struct {
	t   *Table
	n   int
	err error
}

func (b *batch) add(s *nftables.Set, e element) {
	b.note(b.t.c.SetAddElements(s, e.nft()))
}

func (b *batch) remove(s *nftables.Set, e element) {
	b.note(b.t.c.SetDeleteElements(s, e.nft()))
}

func (b *batch) note(err error) {
	if b.n++; err != nil && b.err == nil {
		b.err = err
	}
}

// removeOf removes all elements of a container's address.
func (b *batch) removeOf(s *nftables.Set, f *family, a netip.Addr) {
	elements, err := b.t.c.GetSetElements(s)
	if err != nil {
		b.note(fmt.Errorf("reading set %s: %w", s.Name, err))
	}
	for _, e := range elements {
		if bytes.HasPrefix(e.Key, f.key(a)) {
			e := element{key: e.Key, end: e.KeyEnd, timeout: e.Timeout}
			if s.HasTimeout { // it may go by itself before this comes to it
				b.add(s, e)
			}
			b.remove(s, e)
		}
	}
}

func (b *batch) flush() error {
	if b.n == 0 {
		return nil
	}
	if err := b.t.c.Flush(); err != nil && b.err == nil {
		b.err = err
	}
	if b.err != nil {
		return fmt.Errorf("changing an egress policy's nftables sets: %w", b.err)
	}
	return nil
}
