// Package uplink owns the way from the containers' network namespace to the outside: the program that carries packets
// over the user's own sockets, the interface it serves, and its restarts. Programs for that are pasta, slirp4netns and the
// embedded one of package gvisor, which needs nothing installed. It links into proa-netd alone and runs there, in the
// host's network namespace as the user, with the rights of the user's namespace over the containers' one.
//
// What an uplink does not do: it forwards no port (package port does), answers no name, and leaves masquerading to the
// filters of package link.
package uplink

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"os/exec"
	"slices"
)

// Interface is the uplink's interface in the containers' namespace.
const Interface = "uplink"

// The uplinks by name, as Options.Use takes them.
const (
	Pasta    = "pasta"
	Slirp    = "slirp4netns"
	Embedded = "embedded"
	None     = "none"
)

// DefaultMTU is what an interface takes that no wire limits: every program here ends the connections that pass through it,
// so that large packets cost less and meet no smaller MTU further on.
const DefaultMTU = 65520

// Namespace is the containers' network namespace.
type Namespace struct {
	In   func(func() error) error // runs a function on a thread of the namespace
	Path string                   // names the namespace for another process of the user, such as /proc/PID/fd/N
}

// Options is what is asked of an uplink. The zero value asks for the best there is, with the host's loopback closed.
type Options struct {
	Use          string   `json:",omitempty"` // one uplink and no other; "" chooses
	MTU          int      `json:",omitempty"` // 0: DefaultMTU
	HostLoopback bool     `json:",omitempty"` // the gateways' addresses lead to the host's loopback
	Serve        []string `json:"-"`          // the command line of the embedded uplink, whose further arguments gvisor.Main reads
}

// Info tells which uplink there is, or why there is none.
type Info struct {
	Name      string         `json:",omitempty"` // "" where there is none
	Version   string         `json:",omitempty"`
	Interface string         `json:",omitempty"`
	Addresses []netip.Prefix `json:",omitempty"`
	Gateways  []netip.Addr   `json:",omitempty"` // see Holder.Host
	MTU       int            `json:",omitempty"`
	Restarts  int            `json:",omitempty"`
	Refused   []string       `json:",omitempty"` // why better ones are not used
}

// uplink is one program that can be one.
type uplink interface {
	name() string
	// look finds the program and its version, or says what is missing and what to do.
	look(context.Context) (version string, err error)
	// command is what to start: it makes or takes the interface, and ends with this process.
	command(Namespace, Options, link) (*exec.Cmd, error)
}

// ErrNone says that Options.Use asks for no uplink.
var ErrNone = errors.New("no uplink was asked for")

// link is what the interface is given.
type link struct {
	mtu       int
	addresses []netip.Prefix
	gateways  []netip.Addr // of the same order
}

// Ranges are the networks that an uplink may take for itself; no other network here should have one of them. The first of
// each family that is none of the host's is taken; slirp4netns has no other IPv6 one than the first.
var Ranges = []netip.Prefix{
	netip.MustParsePrefix("10.0.2.0/24"),
	netip.MustParsePrefix("172.31.253.0/24"),
	netip.MustParsePrefix("192.168.253.0/24"),
	netip.MustParsePrefix("fd00::/64"),
	netip.MustParsePrefix("fd70:726f:61::/64"),
}

// first is the first range of a family that meets none of taken.
func first(is4 bool, taken []netip.Prefix) netip.Prefix {
	var any netip.Prefix
	for _, r := range Ranges {
		if r.Addr().Is4() != is4 {
			continue
		}
		if !slices.ContainsFunc(taken, r.Overlaps) {
			return r
		}
		if !any.IsValid() {
			any = r
		}
	}
	return any
}

// newLink chooses addresses. slirp4netns takes the hundredth of a network and makes the second its gateway; the others
// do as they are told.
func newLink(mtu int, host []netip.Prefix, u uplink) link {
	v4, v6 := first(true, host), first(false, host)
	if u == (slirp{}) {
		v6 = first(false, nil)
	}
	nth := func(p netip.Prefix, n byte) netip.Addr {
		b := p.Addr().AsSlice()
		b[len(b)-1] = n
		a, _ := netip.AddrFromSlice(b)
		return a
	}
	return link{mtu: mtu,
		addresses: []netip.Prefix{netip.PrefixFrom(nth(v4, 100), v4.Bits()), netip.PrefixFrom(nth(v6, 100), v6.Bits())},
		gateways:  []netip.Addr{nth(v4, 2), nth(v6, 2)}}
}

// hostAddresses are those that the host would call from, one of each family that leads anywhere. A datagram socket that is
// connected asks the routing table and sends nothing; the destinations are of documentation (RFC 5737, RFC 3849).
func hostAddresses() []netip.Addr {
	var list []netip.Addr
	for _, to := range []string{"203.0.113.1:9", "[2001:db8::9]:9"} {
		c, err := net.Dial("udp", to)
		if err != nil {
			continue
		}
		if a := c.LocalAddr().(*net.UDPAddr).AddrPort().Addr().Unmap(); a.IsGlobalUnicast() {
			list = append(list, a)
		}
		c.Close()
	}
	return list
}

// hostNetworks are those that the host has addresses of.
func hostNetworks() []netip.Prefix {
	var list []netip.Prefix
	addresses, _ := net.InterfaceAddrs()
	for _, a := range addresses {
		if p, err := netip.ParsePrefix(a.String()); err == nil {
			list = append(list, p.Masked())
		}
	}
	return list
}

func (o Options) mtu() int {
	if o.MTU == 0 {
		return DefaultMTU
	}
	return o.MTU
}
