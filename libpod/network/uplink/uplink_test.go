package uplink

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/proa-containers/proa/internal/netlab"
	"github.com/proa-containers/proa/libpod/network/uplink/gvisor"
	"golang.org/x/net/icmp"
	"golang.org/x/net/ipv4"
	"golang.org/x/net/ipv6"
	"golang.org/x/sys/unix"
)

// The test program is also the embedded uplink, and a process that holds one: with these as its first argument.
const serveArg, holdArg = "uplink", "hold"

func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == serveArg {
		fmt.Fprintln(os.Stderr, gvisor.Main(os.Args[2:]))
		os.Exit(1)
	}
	if len(os.Args) > 1 && os.Args[1] == holdArg {
		fmt.Fprintln(os.Stderr, hold(os.Args[2], os.Args[3]))
		os.Exit(1)
	}
	netlab.Main(m)
}

// programs are the uplinks to test, those whose program is here.
func programs(t testing.TB) []string {
	t.Helper()
	list := []string{Embedded}
	for _, u := range []uplink{pasta{}, slirp{}} {
		if _, err := u.look(context.Background()); err != nil {
			t.Logf("%s is not tested: %v", u.name(), err)
			continue
		}
		list = append(list, u.name())
	}
	return list
}

func start(t testing.TB, ns *netlab.Space, o Options) *Holder {
	t.Helper()
	o.Serve = []string{"/proc/self/exe", serveArg}
	h := Start(Namespace{In: ns.In, Path: ns.Path}, o, slog.New(slog.NewTextHandler(t.Output(), nil)))
	t.Cleanup(func() { h.Close() })
	if err := h.Wait(context.Background()); err != nil {
		t.Fatal(err)
	}
	return h
}

// dial connects from the namespace; the lookup that net.Dial may do stays on its thread, as addresses need none.
func dial(ns *netlab.Space, network string, to netip.AddrPort) (c net.Conn, err error) {
	err = ns.In(func() (err error) {
		c, err = net.DialTimeout(network, to.String(), 20*time.Second)
		return err
	})
	if err == nil {
		c.SetDeadline(time.Now().Add(20 * time.Second))
	}
	return c, err
}

func at(a netip.Addr, port uint16) netip.AddrPort { return netip.AddrPortFrom(a, port) }

// outer answers TCP at an address of the outside with what it was sent.
func outer(t testing.TB, a netip.AddrPort) {
	t.Helper()
	l, err := netlab.Listen(a)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	echo(l)
}

func echo(l net.Listener) {
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				io.Copy(c, c)
				c.(*net.TCPConn).CloseWrite()
			}()
		}
	}()
}

func outerUDP(t testing.TB, a netip.AddrPort) {
	t.Helper()
	c, err := netlab.ListenPacket(a)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	go func() {
		buf := make([]byte, 65536)
		for {
			n, from, err := c.ReadFrom(buf)
			if err != nil {
				return
			}
			c.WriteTo(buf[:n], from)
		}
	}()
}

func TestReach(t *testing.T) {
	for _, a := range []netip.Addr{netlab.Far4, netlab.Far6} {
		outer(t, at(a, 8000))
		outerUDP(t, at(a, 5300))
	}
	for _, name := range programs(t) {
		t.Run(name, func(t *testing.T) {
			ns := netlab.New(t)
			h := start(t, ns, Options{Use: name})
			info, err := h.Info()
			t.Logf("%+v %v", info, err)
			for _, a := range []netip.Addr{netlab.Far4, netlab.Far6} {
				t.Run(a.String(), func(t *testing.T) {
					reachTCP(t, ns, at(a, 8000))
					reachUDP(t, ns, at(a, 5300))
					if c, err := dial(ns, "tcp", at(a, 8001)); !errors.Is(err, unix.ECONNREFUSED) {
						t.Errorf("a closed port outside gives %v, %v", c, err)
					}
				})
			}
		})
	}
}

// reachTCP sends more than any buffer holds and wants it back, the end of the stream included.
func reachTCP(t *testing.T, ns *netlab.Space, to netip.AddrPort) {
	t.Helper()
	c, err := dial(ns, "tcp", to)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	const size = 32 << 20
	go func() {
		io.Copy(c, io.LimitReader(zeros{}, size))
		c.(*net.TCPConn).CloseWrite()
	}()
	if n, err := io.Copy(io.Discard, c); n != size || err != nil {
		t.Errorf("%d of %d bytes came back from %s: %v", n, size, to, err)
	}
}

type zeros struct{}

func (zeros) Read(b []byte) (int, error) { return len(b), nil }

func reachUDP(t *testing.T, ns *netlab.Space, to netip.AddrPort) {
	t.Helper()
	c, err := dial(ns, "udp", to)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for _, size := range []int{1, 1400, 20_000} {
		want := strings.Repeat("x", size)
		if _, err := io.WriteString(c, want); err != nil {
			t.Fatal(err)
		}
		buf := make([]byte, 65536)
		if n, err := c.Read(buf); err != nil || string(buf[:n]) != want {
			t.Errorf("%d of %d bytes came back from %s: %v", n, size, to, err)
		}
	}
}

// Many short connections, as of a build or a crawler, and silent servers beside them.
func TestManyConnections(t *testing.T) {
	outer(t, at(netlab.Far4, 8000))
	for _, name := range programs(t) {
		t.Run(name, func(t *testing.T) {
			ns := netlab.New(t)
			start(t, ns, Options{Use: name})
			for range 30 {
				fd, err := dialFD(ns, at(netip.MustParseAddr("198.51.100.99"), 80)) // nobody has that address
				if err != nil {
					t.Fatal(err)
				}
				defer unix.Close(fd)
			}
			var all sync.WaitGroup
			failed := make(chan error, 10)
			for range cap(failed) {
				all.Go(func() {
					for range 200 {
						if err := short(ns, at(netlab.Far4, 8000)); err != nil {
							failed <- err
							return
						}
					}
				})
			}
			all.Wait()
			close(failed)
			for err := range failed {
				t.Error(err)
			}
		})
	}
}

// dialFD starts to connect and leaves it at that.
func dialFD(ns *netlab.Space, to netip.AddrPort) (fd int, err error) {
	err = ns.In(func() (err error) {
		fd, err = unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
		return err
	})
	if err != nil {
		return -1, err
	}
	if err = unix.Connect(fd, netlab.Sockaddr(to)); errors.Is(err, unix.EINPROGRESS) {
		err = nil
	}
	return fd, err
}

func short(ns *netlab.Space, to netip.AddrPort) error {
	fd, err := dialFD(ns, to)
	if err != nil {
		return err
	}
	f := os.NewFile(uintptr(fd), "")
	defer f.Close()
	c, err := net.FileConn(f)
	if err != nil {
		return err
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(30 * time.Second))
	if _, err := io.WriteString(c, "x"); err != nil {
		return err
	}
	b := make([]byte, 1)
	_, err = io.ReadFull(c, b)
	return err
}

// The host's loopback is closed unless it is asked for.
func TestLoopback(t *testing.T) {
	l, err := net.Listen("tcp", ":7000")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	echo(l)
	for _, name := range programs(t) {
		t.Run(name, func(t *testing.T) {
			ns := netlab.New(t)
			h := start(t, ns, Options{Use: name})
			for _, a := range gateways(t, h) {
				if c, err := dial(ns, "tcp", at(a, 7000)); err == nil {
					c.Close()
					t.Errorf("%s reaches the host's loopback", a)
				}
			}
			if got := h.Host(); !slices.Equal(got, []netip.Addr{netlab.Host4, netlab.Host6}) {
				t.Errorf("the host is called by %v", got)
			}
			reachHost(t, ns, h)
			h.Close()
			h = start(t, ns, Options{Use: name, HostLoopback: true})
			l4, err := net.Listen("tcp", "127.0.0.1:7001")
			if err != nil {
				t.Fatal(err)
			}
			defer l4.Close()
			echo(l4)
			if c, err := dial(ns, "tcp", at(h.Host()[0], 7001)); err != nil {
				t.Errorf("the host's loopback was asked for and is not reached: %v", err)
			} else {
				c.Close()
			}
		})
	}
}

// reachHost wants the host reached by each of its addresses.
func reachHost(t *testing.T, ns *netlab.Space, h *Holder) {
	t.Helper()
	for _, a := range h.Host() {
		c, err := dial(ns, "tcp", at(a, 7000))
		if err != nil {
			t.Errorf("the host is not reached by %s: %v", a, err)
			continue
		}
		c.Close()
	}
}

// ping asks for one echo.
func ping(ns *netlab.Space, to netip.Addr) error {
	return ns.In(func() error {
		network, typ, reply := "udp4", icmp.Type(ipv4.ICMPTypeEcho), icmp.Type(ipv4.ICMPTypeEchoReply)
		if to.Is6() {
			network, typ, reply = "udp6", ipv6.ICMPTypeEchoRequest, ipv6.ICMPTypeEchoReply
		}
		c, err := icmp.ListenPacket(network, "")
		if err != nil {
			return err
		}
		defer c.Close()
		c.SetDeadline(time.Now().Add(2 * time.Second))
		b, err := (&icmp.Message{Type: typ, Body: &icmp.Echo{Seq: 7, Data: []byte("hello")}}).Marshal(nil)
		if err != nil {
			return err
		}
		if _, err := c.WriteTo(b, &net.UDPAddr{IP: to.AsSlice()}); err != nil {
			return err
		}
		buf := make([]byte, 1500)
		n, _, err := c.ReadFrom(buf)
		if err != nil {
			return err
		}
		m, err := icmp.ParseMessage(reply.Protocol(), buf[:n])
		if err != nil {
			return err
		}
		if body, ok := m.Body.(*icmp.Echo); !ok || m.Type != reply || body.Seq != 7 || string(body.Data) != "hello" {
			return fmt.Errorf("the answer is %+v", m)
		}
		return nil
	})
}

func gateways(t *testing.T, h *Holder) []netip.Addr {
	t.Helper()
	info, err := h.Info()
	if err != nil {
		t.Fatal(err)
	}
	return info.Gateways
}

// A network that the host has is not taken for the uplink.
func TestNewLink(t *testing.T) {
	for _, c := range []struct {
		host      []string
		u         uplink
		want, six string
	}{
		{nil, pasta{}, "10.0.2.100/24", "fd00::64/64"},
		{[]string{"192.168.1.0/24", "2001:db8::/64"}, &embedded{}, "10.0.2.100/24", "fd00::64/64"},
		{[]string{"10.0.2.0/24", "fd00::/64"}, &embedded{}, "172.31.253.100/24", "fd70:726f:61::64/64"},
		{[]string{"10.0.2.0/24", "fd00::/64"}, slirp{}, "172.31.253.100/24", "fd00::64/64"},
		{[]string{"10.0.0.0/8", "172.16.0.0/12"}, pasta{}, "192.168.253.100/24", "fd00::64/64"},
		{[]string{"10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16"}, pasta{}, "10.0.2.100/24", "fd00::64/64"},
	} {
		var host []netip.Prefix
		for _, p := range c.host {
			host = append(host, netip.MustParsePrefix(p))
		}
		l := newLink(1500, host, c.u)
		if got, six := l.addresses[0].String(), l.addresses[1].String(); got != c.want || six != c.six {
			t.Errorf("%s beside %v has %s and %s, want %s and %s", c.u.name(), c.host, got, six, c.want, c.six)
		}
	}
}
