package netlab

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"testing"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Space is a network namespace with a thread of its own.
type Space struct {
	File *os.File // the namespace
	Path string   // where it is mounted
	jobs chan func()
}

// New makes a network namespace that ends with the test.
func New(t testing.TB) *Space {
	t.Helper()
	s := &Space{Path: filepath.Join(t.TempDir(), "net"), jobs: make(chan func())}
	made := make(chan error)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends with its goroutine
		err := unix.Unshare(unix.CLONE_NEWNET)
		if err == nil {
			s.File, err = os.Open("/proc/thread-self/ns/net")
		}
		if err == nil {
			err = os.WriteFile(s.Path, nil, 0o600)
		}
		if err == nil {
			err = unix.Mount("/proc/thread-self/ns/net", s.Path, "", unix.MS_BIND, "")
		}
		if err == nil {
			err = errors.Join(Configure("lo"), Ping())
		}
		made <- err
		if err != nil {
			return
		}
		for job := range s.jobs {
			job()
		}
	}()
	if err := <-made; err != nil {
		t.Fatal("make a network namespace:", err)
	}
	t.Cleanup(func() {
		close(s.jobs)
		s.File.Close()
		unix.Unmount(s.Path, unix.MNT_DETACH)
	})
	return s
}

// In runs f on the namespace's thread.
func (s *Space) In(f func() error) error {
	done := make(chan error)
	s.jobs <- func() { done <- f() }
	return <-done
}

// Must runs f on the namespace's thread and ends the test where it fails.
func (s *Space) Must(t testing.TB, f func() error) {
	t.Helper()
	if err := s.In(f); err != nil {
		t.Fatal(err)
	}
}

// Bridge makes a bridge with addresses in the namespace, and lets it route.
func (s *Space) Bridge(t testing.TB, name string, addresses ...netip.Addr) {
	t.Helper()
	s.Must(t, func() error {
		a := netlink.NewLinkAttrs()
		a.Name = name
		if err := netlink.LinkAdd(&netlink.Bridge{LinkAttrs: a}); err != nil {
			return err
		}
		// /proc/sys/net shows the namespace of who opens it.
		for _, f := range []string{"ipv4/ip_forward", "ipv6/conf/all/forwarding"} {
			if err := os.WriteFile("/proc/sys/net/"+f, []byte("1"), 0); err != nil && !errors.Is(err, os.ErrNotExist) {
				return err
			}
		}
		return Configure(name, addresses...)
	})
}

// Container makes a namespace with an interface eth0 on a bridge of s, which is also its gateway.
func (s *Space) Container(t testing.TB, bridge string, gateways []netip.Addr, addresses ...netip.Addr) *Space {
	t.Helper()
	c := New(t)
	near := fmt.Sprintf("v%d", c.File.Fd())
	s.Must(t, func() error {
		if err := Cable(near, "eth0", netlink.NsFd(int(c.File.Fd()))); err != nil {
			return err
		}
		link, err := netlink.LinkByName(near)
		if err != nil {
			return err
		}
		b, err := netlink.LinkByName(bridge)
		if err != nil {
			return err
		}
		if err := netlink.LinkSetMaster(link, b); err != nil {
			return err
		}
		return netlink.LinkSetUp(link)
	})
	c.Must(t, func() error {
		if err := Configure("eth0", addresses...); err != nil {
			return err
		}
		for _, g := range gateways {
			if err := Route(netip.Prefix{}, g); err != nil {
				return err
			}
		}
		return nil
	})
	return c
}

var asking sync.Mutex

// outsider is a socket of the outside.
func outsider(family, typ int) (int, error) {
	asking.Lock()
	defer asking.Unlock()
	if _, err := agent.Write([]byte{byte(family), byte(typ)}); err != nil {
		return -1, err
	}
	oob := make([]byte, unix.CmsgSpace(4))
	_, n, _, _, err := agent.ReadMsgUnix(make([]byte, 1), oob)
	if err != nil {
		return -1, err
	}
	messages, err := unix.ParseSocketControlMessage(oob[:n])
	if err != nil || len(messages) != 1 {
		return -1, fmt.Errorf("no socket came from the outside: %v", err)
	}
	fds, err := unix.ParseUnixRights(&messages[0])
	if err != nil {
		return -1, err
	}
	unix.CloseOnExec(fds[0])
	return fds[0], nil
}

// Dial connects from the outside: from is an address of it, its port 0 for any.
func Dial(typ int, from, to netip.AddrPort) (net.Conn, error) {
	fd, err := outsider(family(to), typ)
	if err != nil {
		return nil, err
	}
	f := os.NewFile(uintptr(fd), "")
	defer f.Close()
	if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1); err != nil {
		return nil, os.NewSyscallError("setsockopt", err)
	}
	if err := unix.Bind(fd, Sockaddr(from)); err != nil {
		return nil, os.NewSyscallError("bind", err)
	}
	if err := unix.Connect(fd, Sockaddr(to)); err != nil {
		return nil, os.NewSyscallError("connect", err)
	}
	return net.FileConn(f)
}

// Listen listens for TCP connections on the outside.
func Listen(at netip.AddrPort) (net.Listener, error) {
	f, err := bound(unix.SOCK_STREAM, at)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if err := unix.Listen(int(f.Fd()), 1024); err != nil {
		return nil, os.NewSyscallError("listen", err)
	}
	return net.FileListener(f)
}

// ListenPacket receives datagrams on the outside.
func ListenPacket(at netip.AddrPort) (net.PacketConn, error) {
	f, err := bound(unix.SOCK_DGRAM, at)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return net.FilePacketConn(f)
}

func bound(typ int, at netip.AddrPort) (*os.File, error) {
	fd, err := outsider(family(at), typ)
	if err != nil {
		return nil, err
	}
	if err := unix.Bind(fd, Sockaddr(at)); err != nil {
		unix.Close(fd)
		return nil, os.NewSyscallError("bind", err)
	}
	return os.NewFile(uintptr(fd), ""), nil
}

func family(a netip.AddrPort) int {
	if a.Addr().Is4() {
		return unix.AF_INET
	}
	return unix.AF_INET6
}

// Sockaddr is a as system calls take it.
func Sockaddr(a netip.AddrPort) unix.Sockaddr {
	if a.Addr().Is4() {
		return &unix.SockaddrInet4{Port: int(a.Port()), Addr: a.Addr().As4()}
	}
	return &unix.SockaddrInet6{Port: int(a.Port()), Addr: a.Addr().As16()}
}
