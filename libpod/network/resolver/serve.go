package resolver

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"runtime/debug"
	"sync"
	"time"

	"github.com/miekg/dns"
	"golang.org/x/sys/unix"
)

const (
	maxQuery            = 4096 // longest packet of a client
	maxStreams          = 512
	maxStreamsPerClient = 32
	streamIdle          = 10 * time.Second
	streamDrain         = time.Second // how long a new connection may take for its query when the server is closed
	streamWrite         = 5 * time.Second
	errorPause          = 50 * time.Millisecond // after an error of a socket that may go on
)

// answer is what a client's packet gets: at once, or by wait, which blocks; neither when it gets nothing.
func (s *Server) answer(packet []byte, client netip.Addr, stream bool) (now []byte, wait func() []byte) {
	q, now := parse(packet, client, stream)
	if q == nil {
		return now, nil
	}
	f := s.table.find(client, q.name)
	switch {
	case f.container == nil:
		return q.pack(q.reply(dns.RcodeRefused)), nil
	case f.verdict == missing:
		m := q.reply(dns.RcodeNameError)
		m.Authoritative = true
		return q.pack(m), nil
	case f.pointer != "":
		return q.pack(q.pointer(f.pointer)), nil
	case f.verdict == found:
		return q.pack(q.addresses(f.addresses)), nil
	}
	return s.outside(q, f)
}

// guard keeps a packet that makes the message library panic from ending the connections of all containers.
func (s *Server) guard(client netip.Addr, do func()) {
	defer func() {
		if r := recover(); r != nil {
			s.log.Error("answering a name query", "client", client, "panic", fmt.Sprint(r), "stack", string(debug.Stack()))
		}
	}()
	do()
}

// servePackets answers a UDP socket until it is closed or the server is. What the tables or the cache know is answered
// by this goroutine itself.
func (s *Server) servePackets(c *net.UDPConn) {
	raw, err := c.SyscallConn()
	if err != nil {
		s.log.Error("serving names", "address", c.LocalAddr(), "error", err)
		return
	}
	buf := make([]byte, maxQuery)
	for {
		n, from, err := c.ReadFromUDPAddrPort(buf)
		if errors.Is(err, net.ErrClosed) || errors.Is(err, os.ErrDeadlineExceeded) {
			return
		} else if err != nil {
			s.log.Warn("reading name queries", "address", c.LocalAddr(), "error", err)
			time.Sleep(errorPause)
			continue
		}
		client := from.Addr().Unmap().WithZone("")
		s.guard(client, func() {
			now, wait := s.answer(buf[:n], client, false)
			if wait == nil {
				send(raw, now, from)
				return
			}
			s.wg.Go(func() {
				s.guard(client, func() { send(raw, wait(), from) })
			})
		})
	}
}

// send never blocks: packets to a client that answers no ARP stay in the socket's buffer for seconds, and when it is
// full the others must not wait for them. An answer that does not fit is lost, as on any wire.
func send(raw interface{ Control(func(uintptr)) error }, packet []byte, to netip.AddrPort) {
	if packet == nil || to.Addr().Zone() != "" { // no container is known by an address of its link alone
		return
	}
	var sockaddr unix.Sockaddr
	if a := to.Addr(); a.Is4() {
		sockaddr = &unix.SockaddrInet4{Port: int(to.Port()), Addr: a.As4()}
	} else {
		sockaddr = &unix.SockaddrInet6{Port: int(to.Port()), Addr: a.As16()}
	}
	raw.Control(func(fd uintptr) {
		_ = unix.Sendto(int(fd), packet, unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL, sockaddr)
	})
}

// serveStreams answers a TCP socket until it is closed or the server is.
func (s *Server) serveStreams(l *net.TCPListener) {
	for {
		c, err := l.AcceptTCP()
		if errors.Is(err, net.ErrClosed) || errors.Is(err, os.ErrDeadlineExceeded) {
			return
		} else if err != nil {
			time.Sleep(errorPause)
			continue
		}
		client := addrPort(c.RemoteAddr()).Addr()
		if !s.table.knows(client) || !s.streams.add(c, client) {
			c.Close()
			continue
		}
		s.wg.Go(func() {
			defer s.streams.remove(c, client)
			s.guard(client, func() { s.serveStream(c, client) })
		})
	}
}

// serveStream answers a connection's queries one after another.
func (s *Server) serveStream(c *net.TCPConn, client netip.Addr) {
	for {
		packet, err := readFrame(c)
		if err != nil {
			return
		}
		now, wait := s.answer(packet, client, true)
		if wait != nil {
			now = wait()
		}
		if now == nil {
			return
		}
		c.SetWriteDeadline(time.Now().Add(streamWrite))
		if err := writeFrame(c, now); err != nil || !s.streams.answered(c) {
			return
		}
	}
}

// readFrame reads one message of a stream (RFC 1035, 4.2.2).
func readFrame(r io.Reader) ([]byte, error) {
	var length [2]byte
	if _, err := io.ReadFull(r, length[:]); err != nil {
		return nil, err
	}
	packet := make([]byte, binary.BigEndian.Uint16(length[:]))
	_, err := io.ReadFull(r, packet)
	return packet, err
}

// writeFrame writes one message, in one segment where it fits.
func writeFrame(w io.Writer, packet []byte) error {
	_, err := w.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(packet))), packet...))
	return err
}

// streamLimit holds the clients' connections.
type streamLimit struct {
	mu       sync.Mutex
	conns    map[*net.TCPConn]bool // whether it has had an answer
	by       map[netip.Addr]int
	draining bool
}

func (l *streamLimit) init() {
	l.conns, l.by = map[*net.TCPConn]bool{}, map[netip.Addr]int{}
}

func (l *streamLimit) add(c *net.TCPConn, client netip.Addr) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.conns) >= maxStreams || l.by[client] >= maxStreamsPerClient {
		return false
	}
	l.conns[c] = false
	l.by[client]++
	l.limit(c)
	return true
}

func (l *streamLimit) remove(c *net.TCPConn, client netip.Addr) {
	c.Close()
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.conns, c)
	if l.by[client]--; l.by[client] == 0 {
		delete(l.by, client)
	}
}

// answered tells whether a connection that has had an answer may wait for another query.
func (l *streamLimit) answered(c *net.TCPConn) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.conns[c] = true
	l.limit(c)
	return !l.draining
}

// limit sets for how long a connection may wait for its query. One that ends after an answer is made anew (RFC 7766,
// 6.2.4); the query of one without is lost with it.
func (l *streamLimit) limit(c *net.TCPConn) {
	switch {
	case !l.draining:
		c.SetReadDeadline(time.Now().Add(streamIdle))
	case l.conns[c]:
		c.SetReadDeadline(time.Unix(1, 0))
	default:
		c.SetReadDeadline(time.Now().Add(streamDrain))
	}
}

// drain ends the connections that wait, and the others after their answer.
func (l *streamLimit) drain() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.draining = true
	for c := range l.conns {
		l.limit(c)
	}
}
