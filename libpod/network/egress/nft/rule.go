package nft

import (
	"slices"

	"github.com/google/nftables"
	"github.com/google/nftables/binaryutil"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"
)

const (
	// priority is before that of other filters, of link's and others' on the host: it refuses, and lets on what it passes.
	priority = -10
	// logGroup is where refused packets are told of; ulogd has 0 and 1.
	logGroup = 0x7072
	logSize  = 64 // of a packet: both headers
	// More refusals than that in a second are not told of.
	logRate, logBurst = 20, 200
)

// chain makes a chain anew, of a hook or to be called, and returns what adds rules to it.
func (t *Table) chain(name string, hook *nftables.ChainHook) func(...[]expr.Any) {
	c := &nftables.Chain{Name: name, Table: t.table}
	if hook != nil {
		c.Type, c.Hooknum, c.Priority = nftables.ChainTypeFilter, hook, nftables.ChainPriorityRef(priority)
		policy := nftables.ChainPolicyAccept
		c.Policy = &policy
	}
	t.c.AddChain(c)
	t.c.FlushChain(c)
	return func(parts ...[]expr.Any) {
		t.c.AddRule(&nftables.Rule{Table: t.table, Chain: c, Exprs: slices.Concat(parts...)})
	}
}

// The registers of a key's parts: addresses of IPv4 and ports have one of 4 bytes each, those of IPv6 one of 16.
const (
	first    = unix.NFT_REG_1
	second4  = unix.NFT_REG32_01
	third4   = unix.NFT_REG32_02
	second6  = unix.NFT_REG_2
	third6   = unix.NFT_REG_3
	portSize = 2
)

func (f *family) from() []expr.Any {
	return append(compare(expr.MetaKeyNFPROTO, f.protocol), f.load(first, f.source))
}

// addresses loads source and destination.
func (f *family) addresses() []expr.Any {
	second := uint32(second4)
	if f.size == 16 {
		second = second6
	}
	return []expr.Any{f.load(first, f.source), f.load(second, f.source+f.size)}
}

func (f *family) load(register, offset uint32) expr.Any {
	return &expr.Payload{DestRegister: register, Base: expr.PayloadBaseNetworkHeader, Offset: offset, Len: f.size}
}

// port loads the destination port.
func (f *family) port() []expr.Any {
	third := uint32(third4)
	if f.size == 16 {
		third = third6
	}
	return []expr.Any{destination(third)}
}

func destination(register uint32) expr.Any {
	return &expr.Payload{DestRegister: register, Base: expr.PayloadBaseTransportHeader, Offset: portSize, Len: portSize}
}

func toPort(port uint16) []expr.Any {
	return []expr.Any{destination(first), &expr.Cmp{Op: expr.CmpOpEq, Register: first, Data: binaryutil.BigEndian.PutUint16(port)}}
}

func compare(key expr.MetaKey, value byte) []expr.Any {
	return []expr.Any{&expr.Meta{Key: key, Register: first}, &expr.Cmp{Op: expr.CmpOpEq, Register: first, Data: []byte{value}}}
}

func transport(protocol byte) []expr.Any { return compare(expr.MetaKeyL4PROTO, protocol) }

func lookup(s *nftables.Set) []expr.Any {
	return []expr.Any{&expr.Lookup{SourceRegister: first, SetName: s.Name, SetID: s.ID}}
}

// established are packets of connections that were let through before.
func established() []expr.Any {
	state := binaryutil.NativeEndian.PutUint32(expr.CtStateBitESTABLISHED | expr.CtStateBitRELATED)
	return []expr.Any{
		&expr.Ct{Key: expr.CtKeySTATE, Register: first},
		&expr.Bitwise{SourceRegister: first, DestRegister: first, Len: 4, Mask: state, Xor: make([]byte, 4)},
		&expr.Cmp{Op: expr.CmpOpNeq, Register: first, Data: make([]byte, 4)},
	}
}

func accept() []expr.Any { return []expr.Any{&expr.Verdict{Kind: expr.VerdictAccept}} }

func jump(chain string) []expr.Any {
	return []expr.Any{&expr.Verdict{Kind: expr.VerdictJump, Chain: chain}}
}

func then(chain string) []expr.Any {
	return []expr.Any{&expr.Verdict{Kind: expr.VerdictGoto, Chain: chain}}
}

func limited() []expr.Any {
	return []expr.Any{&expr.Limit{Type: expr.LimitTypePkts, Rate: logRate, Unit: expr.LimitTimeSecond, Burst: logBurst}}
}

func logged() []expr.Any {
	return []expr.Any{&expr.Log{Group: logGroup, Snaplen: logSize, Key: 1<<unix.NFTA_LOG_GROUP | 1<<unix.NFTA_LOG_SNAPLEN}}
}
