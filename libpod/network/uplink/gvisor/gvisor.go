// Package gvisor owns the embedded uplink: gVisor's network stack on an interface, whose connections and datagrams it
// carries over sockets of its own. It runs in a process of its own, which proa-netd starts in the host's network namespace
// and which gives up what rights it has over the user's namespaces.
//
// gvisor-tap-vsock, which RootlessKit wraps, is made of the same stack for virtual machines: a switch between several of
// them, an HTTP service at the gateway by which any guest publishes ports on the host, ten connection attempts at a time,
// and IPv4 alone. Here the stack reads the interface itself and knows both families.
package gvisor

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"strconv"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/link/fdbased"
	"gvisor.dev/gvisor/pkg/tcpip/network/arp"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv4"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv6"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
	"gvisor.dev/gvisor/pkg/tcpip/transport/icmp"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
	"gvisor.dev/gvisor/pkg/tcpip/transport/udp"
)

// Config is what Serve needs to know.
type Config struct {
	MTU          int
	Gateways     []netip.Prefix // addresses of this side
	HostLoopback bool           // connections to them lead to the host's loopback, else nowhere
}

// Main is the program that package uplink starts: descriptor 3 is the interface, the arguments are the MTU and whether
// the gateways lead to the host's loopback, then the gateways.
func Main(args []string) error {
	if len(args) < 3 {
		return errors.New("the embedded uplink is started by proa-netd and by nobody else")
	}
	if err := confine(); err != nil {
		return err
	}
	c := Config{}
	var err error
	if c.MTU, err = strconv.Atoi(args[0]); err != nil {
		return fmt.Errorf("read the MTU: %w", err)
	}
	if c.HostLoopback, err = strconv.ParseBool(args[1]); err != nil {
		return fmt.Errorf("read whether the loopback is open: %w", err)
	}
	for _, arg := range args[2:] {
		p, err := netip.ParsePrefix(arg)
		if err != nil {
			return fmt.Errorf("read a gateway: %w", err)
		}
		c.Gateways = append(c.Gateways, p)
	}
	return Serve(os.NewFile(3, "interface"), c)
}

// nic is the number of the only interface.
const nic = 1

// mac is the gateways' address on the link: locally administered.
const mac = tcpip.LinkAddress("\x5a\x70\x72\x6f\x61\x01")

// Buffers of a connection. Packets of nearly 64 KiB want more than the few hundred that are usual.
const (
	usualBuffer = 1 << 20
	mostBuffer  = 4 << 20
)

// Serve carries what comes through a TAP interface until that is gone, and closes it.
func Serve(tap *os.File, c Config) error {
	defer tap.Close()
	s := stack.New(stack.Options{
		NetworkProtocols:   []stack.NetworkProtocolFactory{ipv4.NewProtocol, ipv6.NewProtocol, arp.NewProtocol},
		TransportProtocols: []stack.TransportProtocolFactory{tcp.NewProtocol, udp.NewProtocol, icmp.NewProtocol4, icmp.NewProtocol6},
	})
	sack, moderate := tcpip.TCPSACKEnabled(true), tcpip.TCPModerateReceiveBufferOption(true)
	receive := tcpip.TCPReceiveBufferSizeRangeOption{Min: 4 << 10, Default: usualBuffer, Max: mostBuffer}
	send := tcpip.TCPSendBufferSizeRangeOption{Min: 4 << 10, Default: usualBuffer, Max: mostBuffer}
	for _, option := range []tcpip.SettableTransportProtocolOption{&sack, &moderate, &receive, &send} {
		if err := s.SetTransportProtocolOption(tcp.ProtocolNumber, option); err != nil {
			return fmt.Errorf("set up TCP: %s", err)
		}
	}
	gone := make(chan tcpip.Error, 1)
	link, err := fdbased.New(&fdbased.Options{
		FDs: []int{int(tap.Fd())}, MTU: uint32(c.MTU), EthernetHeader: true, Address: mac,
		RXChecksumOffload: true, // this host's kernel made the packets
		ClosedFunc:        func(err tcpip.Error) { gone <- err },
	})
	if err != nil {
		return fmt.Errorf("read the interface: %w", err)
	}
	f := &forwarder{Config: c, flows: make(chan struct{}, maxFlows)}
	if err := f.attach(s, link); err != nil {
		return err
	}
	if err := <-gone; err != nil {
		return fmt.Errorf("read the interface: %s", err)
	}
	return nil
}

// attach gives the stack its interface, on which it answers for every address, and the two forwarders.
func (f *forwarder) attach(s *stack.Stack, link stack.LinkEndpoint) error {
	if err := s.CreateNIC(nic, newEchoes(link, f.Gateways)); err != nil {
		return fmt.Errorf("make the interface: %s", err)
	}
	for _, g := range f.Gateways {
		number := ipv4.ProtocolNumber
		if g.Addr().Is6() {
			number = ipv6.ProtocolNumber
		}
		a := tcpip.ProtocolAddress{Protocol: number, AddressWithPrefix: tcpip.AddressWithPrefix{
			Address: tcpip.AddrFromSlice(g.Addr().AsSlice()), PrefixLen: g.Bits()}}
		if err := s.AddProtocolAddress(nic, a, stack.AddressProperties{}); err != nil {
			return fmt.Errorf("take the address %s: %s", g, err)
		}
	}
	s.SetRouteTable([]tcpip.Route{{Destination: header.IPv4EmptySubnet, NIC: nic}, {Destination: header.IPv6EmptySubnet, NIC: nic}})
	s.SetSpoofing(nic, true)
	s.SetPromiscuousMode(nic, true)
	s.SetTransportProtocolHandler(tcp.ProtocolNumber, tcp.NewForwarder(s, 0, maxDials, f.tcp).HandlePacket)
	s.SetTransportProtocolHandler(udp.ProtocolNumber, udp.NewForwarder(s, f.udp).HandlePacket)
	return nil
}
