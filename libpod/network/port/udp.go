package port

import (
	"container/list"
	"errors"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const (
	unanswered = 30 * time.Second  // the life of a flow that no answer came for, as conntrack has it
	answered   = 120 * time.Second // and of one that has both ways
	maxFlows   = 2048              // of one port; beyond, the one that was quiet longest ends
	maxPacket  = 64 << 10
)

var packets = sync.Pool{New: func() any { b := make([]byte, maxPacket); return &b }}

// peers are the two ends of a flow on the host's side. The local one matters where a host has several addresses.
type peers struct {
	client netip.AddrPort
	local  netip.Addr
}

// flow is what one client sends to one port and gets from there.
type flow struct {
	peers
	server *net.UDPConn
	place  *list.Element
	last   atomic.Int64 // when it last carried something, Unix nanoseconds
	both   atomic.Bool  // it carried an answer
}

func (f *flow) Close() error { return f.server.Close() }

func (f *flow) touch() { f.last.Store(time.Now().UnixNano()) }

// left is how long the flow may still be quiet.
func (f *flow) left() time.Duration {
	life := unanswered
	if f.both.Load() {
		life = answered
	}
	return time.Until(time.Unix(0, f.last.Load()).Add(life))
}

type udpListener struct {
	*net.UDPConn
	container uint16

	mu    sync.Mutex
	flows map[peers]*flow
	used  *list.List // of *flow, the last used in front
}

func newUDPListener(c *net.UDPConn, container uint16) *udpListener {
	return &udpListener{UDPConn: c, container: container, flows: map[peers]*flow{}, used: list.New()}
}

// serve passes on datagrams until the listener is closed.
func (l *udpListener) serve(p *Ports, pub *publication) {
	rc, err := l.SyscallConn()
	if err != nil {
		return
	}
	var control [64]byte
	for {
		var client netip.AddrPort
		var local netip.Addr
		buf, n, err := receive(rc, func(fd int, b []byte) (int, error) {
			n, cn, _, from, err := unix.Recvmsg(fd, b, control[:], unix.MSG_DONTWAIT)
			if err == nil {
				client, local = fromSockaddr(from), destination(control[:cn])
			}
			return n, err
		})
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			continue // an ICMP answer to something sent
		}
		if f := l.flow(p, pub, peers{client, local}); f != nil {
			f.touch()
			f.server.Write((*buf)[:n]) // what can't be sent is lost, as datagrams are
		}
		packets.Put(buf)
	}
}

// flow finds or makes the flow of a client.
func (l *udpListener) flow(p *Ports, pub *publication, of peers) *flow {
	l.mu.Lock()
	defer l.mu.Unlock()
	if f := l.flows[of]; f != nil {
		l.used.MoveToFront(f.place)
		return f
	}
	if l.used.Len() >= maxFlows {
		l.used.Back().Value.(*flow).Close()
		l.drop(l.used.Back().Value.(*flow))
	}
	server, err := p.dialUDP(pub.to, unmap(of.client), l.container)
	if err != nil {
		p.log.Debug("reach a container", "container", pub.owner.Name, "error", err)
		return nil
	}
	f := &flow{peers: of, server: server}
	if !pub.add(f) {
		f.Close()
		return nil
	}
	f.touch()
	f.place = l.used.PushFront(f)
	l.flows[of] = f
	go l.answer(pub, f)
	return f
}

// drop forgets a flow; l.mu is held.
func (l *udpListener) drop(f *flow) {
	if l.flows[f.peers] == f {
		delete(l.flows, f.peers)
		l.used.Remove(f.place)
	}
}

func (p *Ports) dialUDP(t *target, client netip.AddrPort, container uint16) (*net.UDPConn, error) {
	addr, from, err := t.choose(client)
	if err != nil {
		return nil, err
	}
	to := netip.AddrPortFrom(addr, container)
	c, err := p.far.dial(unix.SOCK_DGRAM, to, from, time.Time{})
	if err != nil && from.IsValid() {
		c, err = p.far.dial(unix.SOCK_DGRAM, to, netip.AddrPort{}, time.Time{})
	}
	if err != nil {
		return nil, err
	}
	return c.(*net.UDPConn), nil
}

// answer passes on what the container sends to one client, until the flow has been quiet too long.
func (l *udpListener) answer(pub *publication, f *flow) {
	defer func() {
		f.Close()
		pub.remove(f)
		l.mu.Lock()
		l.drop(f)
		l.mu.Unlock()
	}()
	rc, err := f.server.SyscallConn()
	if err != nil {
		return
	}
	source := f.source()
	for {
		left := f.left()
		if left <= 0 {
			return
		}
		f.server.SetReadDeadline(time.Now().Add(left))
		buf, n, err := receive(rc, func(fd int, b []byte) (int, error) {
			n, _, err := unix.Recvfrom(fd, b, unix.MSG_DONTWAIT)
			return n, err
		})
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			continue // the time is over, or the container refused a datagram
		}
		f.both.Store(true)
		f.touch()
		_, _, err = l.WriteMsgUDPAddrPort((*buf)[:n], source, f.client)
		packets.Put(buf)
		if errors.Is(err, net.ErrClosed) {
			return
		}
	}
}

// receive waits for a datagram with no buffer in hand, as there may be thousands that wait. The caller puts the buffer back.
func receive(rc syscall.RawConn, read func(fd int, b []byte) (int, error)) (*[]byte, int, error) {
	var buf *[]byte
	var n int
	var rerr error
	err := rc.Read(func(fd uintptr) bool {
		buf = packets.Get().(*[]byte)
		if n, rerr = read(int(fd), *buf); rerr == unix.EAGAIN || rerr == unix.EINTR {
			packets.Put(buf)
			buf = nil
			return false
		}
		return true
	})
	if err = errors.Join(err, rerr); err != nil && buf != nil {
		packets.Put(buf)
		buf = nil
	}
	return buf, n, err
}

// source is the control message that makes an answer come from the address that the client spoke to.
func (f *flow) source() []byte {
	switch a := f.local; {
	case a.Is4():
		return unix.PktInfo4(&unix.Inet4Pktinfo{Spec_dst: a.As4()})
	case a.Is6():
		return unix.PktInfo6(&unix.Inet6Pktinfo{Addr: a.As16()})
	}
	return nil
}

// destination is the address that a datagram was sent to, from its control messages (ip(7), ipv6(7)).
func destination(control []byte) netip.Addr {
	messages, err := unix.ParseSocketControlMessage(control)
	if err != nil {
		return netip.Addr{}
	}
	for _, m := range messages {
		switch {
		case m.Header.Level == unix.IPPROTO_IP && m.Header.Type == unix.IP_PKTINFO && len(m.Data) >= unix.SizeofInet4Pktinfo:
			return netip.AddrFrom4([4]byte(m.Data[4:8])) // ipi_spec_dst: the local address, also for a broadcast
		case m.Header.Level == unix.IPPROTO_IPV6 && m.Header.Type == unix.IPV6_PKTINFO && len(m.Data) >= unix.SizeofInet6Pktinfo:
			return netip.AddrFrom16([16]byte(m.Data[:16]))
		}
	}
	return netip.Addr{}
}

// fromSockaddr keeps an IPv4 address mapped where the socket is one of IPv6, as answers are to be addressed like that.
func fromSockaddr(s unix.Sockaddr) netip.AddrPort {
	switch s := s.(type) {
	case *unix.SockaddrInet4:
		return netip.AddrPortFrom(netip.AddrFrom4(s.Addr), uint16(s.Port))
	case *unix.SockaddrInet6:
		a := netip.AddrFrom16(s.Addr)
		if a.Is6() && a.IsLinkLocalUnicast() {
			if i, err := net.InterfaceByIndex(int(s.ZoneId)); err == nil {
				a = a.WithZone(i.Name)
			}
		}
		return netip.AddrPortFrom(a, uint16(s.Port))
	}
	return netip.AddrPort{}
}
