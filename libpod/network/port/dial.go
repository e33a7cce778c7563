package port

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// batch is how many sockets one visit to the other namespace's thread makes: the visit costs more than a socket.
const batch = 16

type kind struct{ family, typ int }

// sockets is a stock of unconnected sockets of the containers' namespace. A socket belongs to the namespace of the thread
// that made it, whoever binds and connects it.
type sockets struct {
	in    func(func() error) error
	stock map[kind]chan int // never written after newSockets
}

func newSockets(in func(func() error) error) *sockets {
	s := &sockets{in: in, stock: map[kind]chan int{}}
	for _, family := range []int{unix.AF_INET, unix.AF_INET6} {
		for _, typ := range []int{unix.SOCK_STREAM, unix.SOCK_DGRAM} {
			s.stock[kind{family, typ}] = make(chan int, batch)
		}
	}
	return s
}

// take gives a socket, which the caller closes.
func (s *sockets) take(k kind) (int, error) {
	shelf := s.stock[k]
	select {
	case fd := <-shelf:
		return fd, nil
	default:
	}
	got := -1
	err := s.in(func() error {
		for range batch {
			fd, err := unix.Socket(k.family, k.typ|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
			if err != nil {
				if got >= 0 {
					return nil
				}
				return os.NewSyscallError("socket", err)
			}
			if got < 0 {
				got = fd
				continue
			}
			select {
			case shelf <- fd:
			default:
				unix.Close(fd)
			}
		}
		return nil
	})
	return got, err
}

// Close closes the stock.
func (s *sockets) Close() error {
	for _, shelf := range s.stock {
		for empty := false; !empty; {
			select {
			case fd := <-shelf:
				unix.Close(fd)
			default:
				empty = true
			}
		}
	}
	return nil
}

// dial connects a socket of the containers' namespace, from the address from where that is valid.
func (s *sockets) dial(typ int, to, from netip.AddrPort, deadline time.Time) (net.Conn, error) {
	family := unix.AF_INET
	if to.Addr().Is6() {
		family = unix.AF_INET6
	}
	fd, err := s.take(kind{family, typ})
	if err != nil {
		return nil, err
	}
	if from.IsValid() {
		err = bindForeign(fd, from)
	}
	if err == nil {
		if err = unix.Connect(fd, sockaddr(to)); err != nil && !errors.Is(err, unix.EINPROGRESS) {
			err = os.NewSyscallError("connect", err)
		} else {
			err = nil
		}
	}
	f := os.NewFile(uintptr(fd), "")
	defer f.Close() // FileConn has its own
	if err != nil {
		return nil, fmt.Errorf("dial %s: %w", to, err)
	}
	c, err := net.FileConn(f)
	if err != nil {
		return nil, fmt.Errorf("dial %s: %w", to, err)
	}
	if typ == unix.SOCK_STREAM {
		if err := connected(c.(*net.TCPConn), deadline); err != nil {
			c.Close()
			return nil, fmt.Errorf("dial %s: %w", to, err)
		}
	}
	return c, nil
}

// connected waits for the handshake's end.
func connected(c *net.TCPConn, deadline time.Time) error {
	if err := c.SetWriteDeadline(deadline); err != nil {
		return err
	}
	rc, err := c.SyscallConn()
	if err != nil {
		return err
	}
	var result error
	err = rc.Write(func(fd uintptr) bool {
		if e, err := unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_ERROR); err != nil || e != 0 {
			result = errors.Join(err, os.NewSyscallError("connect", syscall.Errno(e)))
			return true
		}
		// A socket whose handshake is under way has no peer and no error.
		_, err := unix.Getpeername(int(fd))
		return err == nil
	})
	if err == nil {
		err = result
	}
	if err != nil {
		return err
	}
	return c.SetWriteDeadline(time.Time{})
}

// bindForeign gives a socket an address that is not of this host (ip(7), IP_TRANSPARENT). The client's port is taken where
// it is free; the address is what counts.
func bindForeign(fd int, from netip.AddrPort) error {
	level, option := unix.IPPROTO_IP, unix.IP_TRANSPARENT
	if from.Addr().Is6() {
		level, option = unix.IPPROTO_IPV6, unix.IPV6_TRANSPARENT
	}
	if err := unix.SetsockoptInt(fd, level, option, 1); err != nil {
		return os.NewSyscallError("setsockopt", err)
	}
	// One client port may talk to several of our ports at once.
	if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1); err != nil {
		return os.NewSyscallError("setsockopt", err)
	}
	err := unix.Bind(fd, sockaddr(from))
	if errors.Is(err, unix.EADDRINUSE) || errors.Is(err, unix.EACCES) {
		err = unix.Bind(fd, sockaddr(netip.AddrPortFrom(from.Addr(), 0)))
	}
	return os.NewSyscallError("bind", err)
}

func sockaddr(a netip.AddrPort) unix.Sockaddr {
	if a.Addr().Is4() {
		return &unix.SockaddrInet4{Port: int(a.Port()), Addr: a.Addr().As4()}
	}
	return &unix.SockaddrInet6{Port: int(a.Port()), Addr: a.Addr().As16()}
}
