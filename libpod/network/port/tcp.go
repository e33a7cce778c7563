package port

import (
	"errors"
	"io"
	"net"
	"net/netip"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// dialTime is how long a container may take to answer, as long as a kernel's first five SYNs.
	dialTime = 60 * time.Second
	// keepTime is how long an answer to the client's own address may take before one to ours is tried too. A container
	// without a route to the client, as on an internal network, gives none. IPv6 needs up to two seconds on a new interface.
	keepTime = 3 * time.Second
	// lostTime is how long clients' addresses are then not kept.
	lostTime = time.Minute
)

type tcpListener struct {
	*net.TCPListener
	container uint16
}

// serve accepts until the listener is closed.
func (l *tcpListener) serve(p *Ports, pub *publication) {
	for {
		c, err := l.AcceptTCP()
		if err == nil {
			go p.join(c, pub, l.container)
			continue
		}
		if errors.Is(err, net.ErrClosed) {
			return
		}
		p.log.Warn("accept a connection", "container", pub.owner.Name, "address", l.Addr(), "error", err)
		time.Sleep(100 * time.Millisecond) // no descriptors or no memory: the backlog waits
	}
}

// join carries one connection. A client whose container refuses is refused too, by a reset.
func (p *Ports) join(client *net.TCPConn, pub *publication, container uint16) {
	defer client.Close()
	if !pub.add(client) {
		return
	}
	defer pub.remove(client)
	server, err := p.dialTCP(pub.to, unmap(client.RemoteAddr().(*net.TCPAddr).AddrPort()), container)
	if err != nil {
		p.log.Debug("reach a container", "container", pub.owner.Name, "error", err)
		client.SetLinger(0)
		return
	}
	defer server.Close()
	if !pub.add(server) {
		return
	}
	defer pub.remove(server)
	var both sync.WaitGroup
	both.Go(func() { pump(server, client) })
	pump(client, server)
	both.Wait()
}

// dialTCP connects to the container from the client's address, and from ours where the container can't answer that.
func (p *Ports) dialTCP(t *target, client netip.AddrPort, container uint16) (*net.TCPConn, error) {
	deadline := time.Now().Add(dialTime)
	addr, from, err := t.choose(client)
	if err != nil {
		return nil, err
	}
	to := netip.AddrPortFrom(addr, container)
	if from.IsValid() {
		c, err := p.far.dial(unix.SOCK_STREAM, to, from, time.Now().Add(keepTime))
		if err == nil {
			t.learn(addr, true)
			return c.(*net.TCPConn), nil
		}
		if errors.Is(err, unix.ECONNREFUSED) {
			return nil, err
		}
		p.log.Debug("keep a client's address", "client", client, "container", to, "error", err)
	}
	c, err := p.far.dial(unix.SOCK_STREAM, to, netip.AddrPort{}, deadline)
	if err != nil {
		return nil, err
	}
	if from.IsValid() {
		t.learn(addr, false)
	}
	return c.(*net.TCPConn), nil
}

const (
	burst = 32 << 10 // a read that fills it is a sign of more to come
	bulk  = 16 << 20 // what is then spliced before the next look
)

var buffers = sync.Pool{New: func() any { b := make([]byte, burst); return &b }}

// pump moves what from sends to to, and its end too: a half-closed connection stays open the other way, a broken one
// breaks both.
//
// io.Copy of two TCP connections splices through a pipe of 1 MiB, which it holds while nothing comes. The kernel gives a
// user 64 MiB of pipes before it makes all of that user's pipes small (pipe(7), pipe-user-pages-soft), so that 32 idle
// connections would slow every program of the user. A connection here waits with neither pipe nor buffer.
func pump(to, from *net.TCPConn) {
	for {
		n, err := move(to, from)
		if n == burst && err == nil {
			_, err = io.CopyN(to, from, bulk)
		}
		switch {
		case err == nil:
		case errors.Is(err, io.EOF):
			to.CloseWrite()
			return
		default:
			for _, c := range []*net.TCPConn{to, from} {
				c.SetLinger(0)
				c.Close()
			}
			return
		}
	}
}

// move waits for data and passes on what is there, at most burst bytes.
func move(to, from *net.TCPConn) (n int, err error) {
	rc, err := from.SyscallConn()
	if err != nil {
		return 0, err
	}
	var buf *[]byte
	defer func() {
		if buf != nil {
			buffers.Put(buf)
		}
	}()
	var rerr error
	err = rc.Read(func(fd uintptr) bool {
		buf = buffers.Get().(*[]byte)
		for {
			if n, rerr = unix.Read(int(fd), *buf); rerr != unix.EINTR {
				break
			}
		}
		if rerr == unix.EAGAIN {
			buffers.Put(buf)
			buf = nil
			return false
		}
		return true
	})
	if err = errors.Join(err, rerr); err != nil {
		return 0, err
	}
	if n == 0 {
		return 0, io.EOF
	}
	return to.Write((*buf)[:n])
}

func unmap(a netip.AddrPort) netip.AddrPort {
	return netip.AddrPortFrom(a.Addr().Unmap(), a.Port())
}
