package gvisor

import (
	"net"
	"net/netip"
	"time"

	"golang.org/x/net/icmp"
	"golang.org/x/net/ipv4"
	"golang.org/x/net/ipv6"
	"gvisor.dev/gvisor/pkg/buffer"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/link/nested"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
)

const (
	maxEchoes = 256
	echoTime  = 10 * time.Second
)

// echoes takes requests for an echo out of what the stack gets: it would answer them itself, for every address there is.
// They go out by a socket of the host, which net.ipv4.ping_group_range has to allow; where it does not, they are lost.
type echoes struct {
	nested.Endpoint
	gateways []netip.Prefix
	waiting  chan struct{}
}

func newEchoes(link stack.LinkEndpoint, gateways []netip.Prefix) *echoes {
	e := &echoes{gateways: gateways, waiting: make(chan struct{}, maxEchoes)}
	e.Init(link, e)
	return e
}

// DeliverNetworkPacket is called for every packet that comes through the interface.
func (e *echoes) DeliverNetworkPacket(protocol tcpip.NetworkProtocolNumber, pkt *stack.PacketBuffer) {
	r := parse(protocol, pkt)
	if r == nil || e.ours(r.to) {
		e.Endpoint.DeliverNetworkPacket(protocol, pkt)
		return
	}
	if !outside(r.to) {
		return
	}
	r.link = tcpip.LinkAddress(append([]byte(nil), header.Ethernet(pkt.LinkHeader().Slice()).SourceAddress()...))
	select {
	case e.waiting <- struct{}{}:
		go func() {
			e.answer(r)
			<-e.waiting
		}()
	default:
	}
}

func (e *echoes) ours(a netip.Addr) bool {
	for _, g := range e.gateways {
		if g.Addr() == a {
			return true
		}
	}
	return false
}

// request is one for an echo.
type request struct {
	from, to netip.Addr
	link     tcpip.LinkAddress // of the guest
	id, seq  int
	data     []byte
}

// parse gives a request for an echo, nil where a packet is none that came whole.
func parse(protocol tcpip.NetworkProtocolNumber, pkt *stack.PacketBuffer) *request {
	// The transport's number, and the length of the network's header.
	const v4, v6 = header.IPv4MinimumSize, header.IPv6MinimumSize
	first, ok := pkt.Data().PullUp(v4)
	switch {
	case !ok:
		return nil
	case protocol == header.IPv4ProtocolNumber:
		if h := header.IPv4(first); h.TransportProtocol() != header.ICMPv4ProtocolNumber || h.HeaderLength() != v4 || h.More() || h.FragmentOffset() != 0 {
			return nil
		}
		b := pkt.Data().AsRange().ToSlice()
		return read(header.IPv4(b).SourceAddress(), header.IPv4(b).DestinationAddress(), ipv4.ICMPTypeEcho, b[v4:])
	case protocol == header.IPv6ProtocolNumber:
		if header.IPv6(first).TransportProtocol() != header.ICMPv6ProtocolNumber || pkt.Data().Size() < v6 {
			return nil
		}
		b := pkt.Data().AsRange().ToSlice()
		return read(header.IPv6(b).SourceAddress(), header.IPv6(b).DestinationAddress(), ipv6.ICMPTypeEchoRequest, b[v6:])
	}
	return nil
}

func read(from, to tcpip.Address, want icmp.Type, b []byte) *request {
	m, err := icmp.ParseMessage(want.Protocol(), b)
	if err != nil || m.Type != want {
		return nil
	}
	body, ok := m.Body.(*icmp.Echo)
	if !ok {
		return nil
	}
	r := &request{id: body.ID, seq: body.Seq, data: body.Data}
	r.from, _ = netip.AddrFromSlice(from.AsSlice())
	r.to, _ = netip.AddrFromSlice(to.AsSlice())
	return r
}

// answer asks the host's network and passes the answer on, if one comes.
func (e *echoes) answer(r *request) {
	network, any, ask, reply := "udp4", "0.0.0.0", icmp.Type(ipv4.ICMPTypeEcho), icmp.Type(ipv4.ICMPTypeEchoReply)
	if r.to.Is6() {
		network, any, ask, reply = "udp6", "::", ipv6.ICMPTypeEchoRequest, ipv6.ICMPTypeEchoReply
	}
	c, err := icmp.ListenPacket(network, any)
	if err != nil {
		return
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(echoTime))
	// The kernel puts the socket's number in the place of the identifier, and gives it answers to that one alone.
	b, err := (&icmp.Message{Type: ask, Body: &icmp.Echo{Seq: r.seq, Data: r.data}}).Marshal(nil)
	if err != nil {
		return
	}
	if _, err := c.WriteTo(b, &net.UDPAddr{IP: r.to.AsSlice()}); err != nil {
		return
	}
	buf := make([]byte, len(b)+1)
	n, _, err := c.ReadFrom(buf)
	if err != nil {
		return
	}
	got, err := icmp.ParseMessage(reply.Protocol(), buf[:n])
	if body, ok := got.Body.(*icmp.Echo); err == nil && ok && got.Type == reply {
		e.send(r, reply, body.Data)
	}
}

// send gives the guest an answer as from whom it asked.
func (e *echoes) send(r *request, reply icmp.Type, data []byte) {
	m := &icmp.Message{Type: reply, Body: &icmp.Echo{ID: r.id, Seq: r.seq, Data: data}}
	src, dst := tcpip.AddrFromSlice(r.to.AsSlice()), tcpip.AddrFromSlice(r.from.AsSlice())
	var head []byte
	var number tcpip.NetworkProtocolNumber
	var pseudo []byte
	if r.to.Is6() {
		pseudo = icmp.IPv6PseudoHeader(r.to.AsSlice(), r.from.AsSlice())
	}
	body, err := m.Marshal(pseudo)
	if err != nil {
		return
	}
	if r.to.Is6() {
		number, head = header.IPv6ProtocolNumber, make([]byte, header.IPv6MinimumSize)
		header.IPv6(head).Encode(&header.IPv6Fields{PayloadLength: uint16(len(body)), TransportProtocol: header.ICMPv6ProtocolNumber,
			HopLimit: 64, SrcAddr: src, DstAddr: dst})
	} else {
		number, head = header.IPv4ProtocolNumber, make([]byte, header.IPv4MinimumSize)
		h := header.IPv4(head)
		h.Encode(&header.IPv4Fields{TotalLength: uint16(len(head) + len(body)), TTL: 64, Protocol: uint8(header.ICMPv4ProtocolNumber),
			SrcAddr: src, DstAddr: dst})
		h.SetChecksum(^h.CalculateChecksum())
	}
	pkt := stack.NewPacketBuffer(stack.PacketBufferOptions{ReserveHeaderBytes: int(e.MaxHeaderLength()), Payload: buffer.MakeWithData(append(head, body...))})
	defer pkt.DecRef()
	pkt.NetworkProtocolNumber = number
	pkt.EgressRoute.LocalLinkAddress, pkt.EgressRoute.RemoteLinkAddress = mac, r.link
	e.AddHeader(pkt)
	var list stack.PacketBufferList
	list.PushBack(pkt)
	e.WritePackets(list)
}
