package port

import (
	"errors"
	"fmt"
	"net"

	"github.com/google/nftables"
	"github.com/google/nftables/binaryutil"
	"github.com/google/nftables/expr"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// What KeepSource makes in the namespace is found under these.
const (
	Table = "proa_ports" // of nftables, family inet
	Mark  = 0x70726f     // of packets that go to a socket with a client's address
	route = 0x7072       // routing table
	order = 0x70         // of the routing rule
)

// KeepSource makes the way back for packets that containers send to clients' addresses: those for which this namespace has
// a socket with such an address are marked, and what is marked is delivered here instead of being routed on. It runs on a
// thread of the containers' namespace, may be called again, and needs CAP_NET_ADMIN there. Where it fails, ports work, and
// containers see an address of this namespace instead of the client's.
//
// A chain that filters input must let through what has Mark.
func KeepSource() error {
	if err := routeMarked(); err != nil {
		return fmt.Errorf("keep clients' addresses: %w", err)
	}
	if err := markReplies(); err != nil {
		return fmt.Errorf("keep clients' addresses: nftables: %w", err)
	}
	return nil
}

// routeMarked is ip rule add fwmark Mark lookup route; ip route add local default dev lo table route.
func routeMarked() error {
	lo, err := netlink.LinkByName("lo")
	if err != nil {
		return fmt.Errorf("find lo: %w", err)
	}
	for _, f := range []struct{ family, bits int }{{unix.AF_INET, 32}, {unix.AF_INET6, 128}} {
		all := &net.IPNet{IP: make(net.IP, f.bits/8), Mask: net.CIDRMask(0, f.bits)}
		err := netlink.RouteReplace(&netlink.Route{LinkIndex: lo.Attrs().Index, Dst: all, Table: route,
			Scope: unix.RT_SCOPE_HOST, Type: unix.RTN_LOCAL, Family: f.family})
		if f.family == unix.AF_INET6 && errors.Is(err, unix.EOPNOTSUPP) {
			continue // no IPv6 here
		}
		if err != nil {
			return fmt.Errorf("add local route: %w", err)
		}
		rule := netlink.NewRule()
		rule.Family, rule.Mark, rule.Table, rule.Priority = f.family, Mark, route, order
		if err := netlink.RuleAdd(rule); err != nil && !errors.Is(err, unix.EEXIST) {
			return fmt.Errorf("add routing rule: %w", err)
		}
	}
	return nil
}

// markReplies is, in a chain before routing: meta l4proto {tcp, udp} socket transparent 1 meta mark set Mark.
func markReplies() error {
	c, err := nftables.New()
	if err != nil {
		return err
	}
	table := &nftables.Table{Family: nftables.TableFamilyINet, Name: Table}
	c.AddTable(table)
	c.DelTable(table) // what a former call made; the first line keeps this one from failing
	c.AddTable(table)
	chain := c.AddChain(&nftables.Chain{Table: table, Name: "replies", Type: nftables.ChainTypeFilter,
		Hooknum: nftables.ChainHookPrerouting, Priority: nftables.ChainPriorityMangle})
	for _, protocol := range []byte{unix.IPPROTO_TCP, unix.IPPROTO_UDP} {
		c.AddRule(&nftables.Rule{Table: table, Chain: chain, Exprs: []expr.Any{
			&expr.Meta{Key: expr.MetaKeyL4PROTO, Register: 1},
			&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: []byte{protocol}},
			&expr.Socket{Key: expr.SocketKeyTransparent, Register: 1},
			&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: []byte{1}},
			&expr.Immediate{Register: 1, Data: binaryutil.NativeEndian.PutUint32(Mark)},
			&expr.Meta{Key: expr.MetaKeyMARK, SourceRegister: true, Register: 1},
		}})
	}
	return c.Flush()
}
