package link

import (
	"fmt"
	"net/netip"
	"slices"

	"github.com/google/nftables"
	"github.com/google/nftables/binaryutil"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"
)

// tableName of the rules. In the host's namespace there are others' tables beside it: its chains let through what they do
// not know, and drop nothing that has to do with no bridge of these.
const tableName = "proa"

// The rules, with BRIDGES for the names of all bridges and INTERNAL for those without a way out:
//
//	forward
//	  iifname B oifname B accept                     within one network; drop where its containers are isolated
//	  iifname OPEN oifname OPEN accept               between two networks that are open to each other
//	  iifname BRIDGES oifname BRIDGES drop           between two others
//	  iifname INTERNAL drop, oifname INTERNAL drop   no way out, and none in
//	  oifname BRIDGES ct state established,related accept
//	  oifname BRIDGES drop                           what was not asked for
//	input, in a namespace of our own
//	  iifname BRIDGES ct state established,related accept
//	  iifname BRIDGES icmp, icmpv6, port 53 accept   the gateway answers a ping and has the resolver
//	  iifname BRIDGES drop
//	postrouting
//	  ip saddr SUBNET oifname != B masquerade        for each subnet of a network with a way out, unless it has none of it
//
// Published ports come from this namespace itself, and so by none of the chains.

// SetRules makes the rules those for bridges, all at once: no packet sees a part of them.
func (n *Namespace) SetRules(bridges []Bridge) error {
	var c *nftables.Conn
	err := n.Do(func() (err error) { // see handle
		c, err = nftables.New(nftables.AsLasting())
		return err
	})
	if err != nil {
		return fmt.Errorf("setting the rules between networks: %w", err)
	}
	defer c.CloseLasting()
	t := &nftables.Table{Family: nftables.TableFamilyINet, Name: tableName}
	c.AddTable(t) // or there may be nothing to delete
	c.DelTable(t)
	if len(bridges) > 0 {
		c.AddTable(t)
		f := firewall{c, t, nil}
		f.forward(bridges)
		if n.own {
			f.input(bridges)
		}
		f.postrouting(bridges)
		if f.err != nil {
			return fmt.Errorf("setting the rules between networks: %w", f.err)
		}
	}
	if err := c.Flush(); err != nil {
		return fmt.Errorf("setting the rules between networks: %w; they need nftables in the kernel (nf_tables, nft_ct, nft_masq)", err)
	}
	return nil
}

type firewall struct {
	c     *nftables.Conn
	table *nftables.Table
	err   error
}

func (f *firewall) chain(name string, kind nftables.ChainType, hook *nftables.ChainHook, priority *nftables.ChainPriority) func(...[]expr.Any) {
	accept := nftables.ChainPolicyAccept
	chain := f.c.AddChain(&nftables.Chain{Name: name, Table: f.table, Type: kind, Hooknum: hook, Priority: priority, Policy: &accept})
	return func(parts ...[]expr.Any) {
		f.c.AddRule(&nftables.Rule{Table: f.table, Chain: chain, Exprs: slices.Concat(parts...)})
	}
}

// names is a set of the names of those bridges that want takes.
func (f *firewall) names(name string, bridges []Bridge, want func(Bridge) bool) *nftables.Set {
	set := &nftables.Set{Table: f.table, Name: name, KeyType: nftables.TypeIFName, KeyByteOrder: binaryutil.NativeEndian}
	var elements []nftables.SetElement
	for _, b := range bridges {
		if want(b) {
			elements = append(elements, nftables.SetElement{Key: ifname(b.Name)})
		}
	}
	if err := f.c.AddSet(set, elements); err != nil && f.err == nil {
		f.err = err
	}
	return set
}

func (f *firewall) forward(bridges []Bridge) {
	all := f.names("bridges", bridges, func(Bridge) bool { return true })
	internal := f.names("internal", bridges, func(b Bridge) bool { return b.Internal })
	rule := f.chain("forward", nftables.ChainTypeFilter, nftables.ChainHookForward, nftables.ChainPriorityFilter)
	for _, b := range bridges {
		verdict := expr.VerdictAccept
		if b.Isolated {
			verdict = expr.VerdictDrop
		}
		rule(is(expr.MetaKeyIIFNAME, ifname(b.Name)), is(expr.MetaKeyOIFNAME, ifname(b.Name)), end(verdict))
	}
	open := f.names("open", bridges, func(b Bridge) bool { return b.Open && !b.Internal && !b.Isolated })
	rule(in(expr.MetaKeyIIFNAME, open), in(expr.MetaKeyOIFNAME, open), end(expr.VerdictAccept))
	rule(in(expr.MetaKeyIIFNAME, all), in(expr.MetaKeyOIFNAME, all), end(expr.VerdictDrop))
	rule(in(expr.MetaKeyIIFNAME, internal), end(expr.VerdictDrop))
	rule(in(expr.MetaKeyOIFNAME, internal), end(expr.VerdictDrop))
	rule(in(expr.MetaKeyOIFNAME, all), answers(), end(expr.VerdictAccept))
	rule(in(expr.MetaKeyOIFNAME, all), end(expr.VerdictDrop))
}

func (f *firewall) input(bridges []Bridge) {
	all := f.names("inputs", bridges, func(Bridge) bool { return true })
	rule := f.chain("input", nftables.ChainTypeFilter, nftables.ChainHookInput, nftables.ChainPriorityFilter)
	from := in(expr.MetaKeyIIFNAME, all)
	rule(from, answers(), end(expr.VerdictAccept))
	for _, protocol := range []byte{unix.IPPROTO_ICMP, unix.IPPROTO_ICMPV6} {
		rule(from, is(expr.MetaKeyL4PROTO, []byte{protocol}), end(expr.VerdictAccept))
	}
	for _, protocol := range []byte{unix.IPPROTO_UDP, unix.IPPROTO_TCP} {
		port := []expr.Any{
			&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseTransportHeader, Offset: 2, Len: 2},
			&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: binaryutil.BigEndian.PutUint16(53)},
		}
		rule(from, is(expr.MetaKeyL4PROTO, []byte{protocol}), port, end(expr.VerdictAccept))
	}
	rule(from, end(expr.VerdictDrop))
}

func (f *firewall) postrouting(bridges []Bridge) {
	rule := f.chain("postrouting", nftables.ChainTypeNAT, nftables.ChainHookPostrouting, nftables.ChainPriorityNATSource)
	for _, b := range bridges {
		if b.Internal || b.Unmasked {
			continue
		}
		for _, gw := range b.Gateways {
			rule(source(gw.Masked()), not(expr.MetaKeyOIFNAME, ifname(b.Name)), []expr.Any{&expr.Masq{}})
		}
	}
}

// ifname is an interface's name as the kernel compares it.
func ifname(name string) []byte {
	b := make([]byte, unix.IFNAMSIZ)
	copy(b, name)
	return b
}

func is(key expr.MetaKey, value []byte) []expr.Any {
	return []expr.Any{&expr.Meta{Key: key, Register: 1}, &expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: value}}
}

func not(key expr.MetaKey, value []byte) []expr.Any {
	return []expr.Any{&expr.Meta{Key: key, Register: 1}, &expr.Cmp{Op: expr.CmpOpNeq, Register: 1, Data: value}}
}

func in(key expr.MetaKey, set *nftables.Set) []expr.Any {
	return []expr.Any{&expr.Meta{Key: key, Register: 1}, &expr.Lookup{SourceRegister: 1, SetName: set.Name, SetID: set.ID}}
}

// answers are packets of connections that were let through before.
func answers() []expr.Any {
	state := binaryutil.NativeEndian.PutUint32(expr.CtStateBitESTABLISHED | expr.CtStateBitRELATED)
	return []expr.Any{
		&expr.Ct{Key: expr.CtKeySTATE, Register: 1},
		&expr.Bitwise{SourceRegister: 1, DestRegister: 1, Len: 4, Mask: state, Xor: make([]byte, 4)},
		&expr.Cmp{Op: expr.CmpOpNeq, Register: 1, Data: make([]byte, 4)},
	}
}

// source are packets from an address in p.
func source(p netip.Prefix) []expr.Any {
	family, offset, size := byte(unix.NFPROTO_IPV4), uint32(12), 4
	if p.Addr().Is6() {
		family, offset, size = unix.NFPROTO_IPV6, 8, 16
	}
	mask := make([]byte, size)
	for i := range p.Bits() {
		mask[i/8] |= 0x80 >> (i % 8)
	}
	return append(is(expr.MetaKeyNFPROTO, []byte{family}),
		&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseNetworkHeader, Offset: offset, Len: uint32(size)},
		&expr.Bitwise{SourceRegister: 1, DestRegister: 1, Len: uint32(size), Mask: mask, Xor: make([]byte, size)},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: p.Masked().Addr().AsSlice()})
}

func end(kind expr.VerdictKind) []expr.Any { return []expr.Any{&expr.Verdict{Kind: kind}} }
