package port

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/proa-containers/proa/internal/netlab"
	"github.com/proa-containers/proa/libpod/network"
	"golang.org/x/sys/unix"
)

func TestMain(m *testing.M) { netlab.Main(m) }

var (
	gate4, gate6 = netip.MustParseAddr("10.88.0.1"), netip.MustParseAddr("fd88::1")
	web4, web6   = netip.MustParseAddr("10.88.0.2"), netip.MustParseAddr("fd88::2")
	web          = Owner{ID: "1", Name: "web"}
)

// bed is a container behind a bridge, and the ports that lead to it.
type bed struct {
	*Ports
	inside, container *netlab.Space
	logged            *bytes.Buffer
}

func newBed(t testing.TB) *bed {
	t.Helper()
	b := &bed{inside: netlab.New(t), logged: &bytes.Buffer{}}
	b.inside.Bridge(t, "br0", gate4, gate6)
	b.container = b.inside.Container(t, "br0", []netip.Addr{gate4, gate6}, web4, web6)
	for answered := false; !answered; { // IPv6 starts late on a new interface
		b.inside.In(func() error {
			_, err := net.DialTimeout("tcp", at(web6, 9).String(), 100*time.Millisecond)
			answered = errors.Is(err, unix.ECONNREFUSED)
			return nil
		})
	}
	b.inside.Must(t, KeepSource)
	var mu sync.Mutex
	b.Ports = New(b.inside.In, slog.New(slog.NewTextHandler(writer(func(p []byte) (int, error) {
		mu.Lock()
		defer mu.Unlock()
		return b.logged.Write(p)
	}), &slog.HandlerOptions{Level: slog.LevelDebug})))
	t.Cleanup(func() {
		b.Close()
		mu.Lock()
		defer mu.Unlock()
		if t.Failed() {
			t.Log(b.logged)
		}
	})
	return b
}

type writer func([]byte) (int, error)

func (w writer) Write(p []byte) (int, error) { return w(p) }

// serve answers each TCP connection to a port of the container with handle.
func (b *bed) serve(t testing.TB, port uint16, handle func(*net.TCPConn)) {
	t.Helper()
	var l net.Listener
	b.container.Must(t, func() (err error) {
		l, err = net.Listen("tcp", fmt.Sprintf(":%d", port))
		return err
	})
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				handle(c.(*net.TCPConn))
			}()
		}
	}()
}

// echoBack sends back what came; io.Copy would hold pipes.
func echoBack(c *net.TCPConn) {
	for b := make([]byte, 4096); ; {
		n, err := c.Read(b)
		if err != nil {
			return
		}
		c.Write(b[:n])
	}
}

func sayPeer(c *net.TCPConn) { fmt.Fprint(c, c.RemoteAddr()) }

func (b *bed) publish(t testing.TB, ports ...network.Port) []network.Port {
	t.Helper()
	bound, err := b.Publish(web, ports, web4, web6)
	if err != nil {
		t.Fatal(err)
	}
	return bound
}

func tcp(host, container uint16) network.Port {
	return network.Port{Host: host, Container: container, Count: 1, Protocol: "tcp"}
}

func udp(host, container uint16) network.Port {
	return network.Port{Host: host, Container: container, Count: 1, Protocol: "udp"}
}

func dial(t testing.TB, typ int, from netip.Addr, to netip.AddrPort) net.Conn {
	t.Helper()
	c, err := netlab.Dial(typ, netip.AddrPortFrom(from, 0), to)
	if err != nil {
		t.Fatalf("from %s to %s: %v", from, to, err)
	}
	c.SetDeadline(time.Now().Add(time.Minute))
	t.Cleanup(func() { c.Close() })
	return c
}

func said(t testing.TB, c net.Conn) string {
	t.Helper()
	b, err := io.ReadAll(c)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func at(a netip.Addr, port uint16) netip.AddrPort { return netip.AddrPortFrom(a, port) }

func TestSourceAddress(t *testing.T) {
	b := newBed(t)
	b.serve(t, 80, sayPeer)
	b.publish(t, tcp(8080, 80))
	for _, c := range []struct{ from, to netip.Addr }{{netlab.Out4, netlab.Host4}, {netlab.Far4, netlab.Host4}, {netlab.Out6, netlab.Host6}, {netlab.Far6, netlab.Host6}} {
		conn := dial(t, unix.SOCK_STREAM, c.from, at(c.to, 8080))
		if got, want := said(t, conn), conn.LocalAddr().String(); got != want {
			t.Errorf("a client at %s is seen as %s", want, got)
		}
	}
	// From the host itself: its own address is kept, a loopback one can't be.
	for to, want := range map[string]string{"198.51.100.10": "198.51.100.10", "[2001:db8::a]": "2001:db8::a", "127.0.0.1": "10.88.0.1", "[::1]": "fd88::1"} {
		conn, err := net.Dial("tcp", to+":8080")
		if err != nil {
			t.Fatal(err)
		}
		if host, _, _ := net.SplitHostPort(said(t, conn)); host != want {
			t.Errorf("the host that speaks to %s is seen as %s, want %s", to, host, want)
		}
		conn.Close()
	}
}

// A client may speak to several published ports from one port of its own, also where both lead to one server.
func TestOneClientPort(t *testing.T) {
	b := newBed(t)
	b.serve(t, 80, func(c *net.TCPConn) { sayPeer(c); io.Copy(io.Discard, c) })
	b.publish(t, tcp(8080, 80), tcp(8081, 80))
	from := at(netlab.Far4, 40000)
	for _, host := range []uint16{8080, 8081} {
		c, err := netlab.Dial(unix.SOCK_STREAM, from, at(netlab.Host4, host))
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		c.(*net.TCPConn).CloseWrite()
		if host, _, _ := net.SplitHostPort(said(t, c)); host != netlab.Far4.String() {
			t.Errorf("a client at %s is seen as %s", netlab.Far4, host)
		}
	}
}

func TestOtherFamily(t *testing.T) {
	b := newBed(t)
	b.serve(t, 80, sayPeer)
	if _, err := b.Publish(web, []network.Port{tcp(8080, 80)}, web4); err != nil {
		t.Fatal(err)
	}
	if host, _, _ := net.SplitHostPort(said(t, dial(t, unix.SOCK_STREAM, netlab.Out6, at(netlab.Host6, 8080)))); host != gate4.String() {
		t.Errorf("a client of the other family is seen as %s, want the bridge's %s", host, gate4)
	}
}

// A container that has no way to answer a client outside is reached all the same.
func TestNoWayBack(t *testing.T) {
	b := newBed(t)
	b.serve(t, 80, sayPeer)
	b.publish(t, tcp(8080, 80))
	b.container.Must(t, func() error { return netlab.Unroute(gate4) })
	for range 2 {
		if host, _, _ := net.SplitHostPort(said(t, dial(t, unix.SOCK_STREAM, netlab.Far4, at(netlab.Host4, 8080)))); host != gate4.String() {
			t.Errorf("the client is seen as %s, want the bridge's %s", host, gate4)
		}
	}
}

func TestHalfClose(t *testing.T) {
	b := newBed(t)
	b.serve(t, 80, func(c *net.TCPConn) {
		all, _ := io.ReadAll(c) // ends when the client's half does
		fmt.Fprintf(c, "%d bytes", len(all))
	})
	b.serve(t, 81, func(c *net.TCPConn) {
		fmt.Fprint(c, "first")
		c.CloseWrite()
		all, _ := io.ReadAll(c)
		fmt.Fprintln(b.logged, len(all))
	})
	b.publish(t, tcp(8080, 80), tcp(8081, 81))
	c := dial(t, unix.SOCK_STREAM, netlab.Out4, at(netlab.Host4, 8080)).(*net.TCPConn)
	if _, err := c.Write(make([]byte, 100_000)); err != nil {
		t.Fatal(err)
	}
	c.CloseWrite()
	if got := said(t, c); got != "100000 bytes" {
		t.Errorf("after the client's half was closed the server says %q", got)
	}
	c = dial(t, unix.SOCK_STREAM, netlab.Out4, at(netlab.Host4, 8081)).(*net.TCPConn)
	if got := said(t, c); got != "first" {
		t.Errorf("the server that closes its half said %q", got)
	}
	if _, err := c.Write([]byte("still open")); err != nil {
		t.Errorf("the client's half is closed with the server's: %v", err)
	}
}

// What breaks on one side breaks on the other, and a container that refuses is seen to refuse.
func TestReset(t *testing.T) {
	b := newBed(t)
	b.serve(t, 80, func(c *net.TCPConn) { c.Read(make([]byte, 1)); c.SetLinger(0) })
	b.publish(t, tcp(8080, 80), tcp(8081, 81))
	c := dial(t, unix.SOCK_STREAM, netlab.Out4, at(netlab.Host4, 8080))
	c.Write([]byte("x"))
	if _, err := io.ReadAll(c); !errors.Is(err, unix.ECONNRESET) {
		t.Errorf("the server's reset arrives as %v", err)
	}
	c = dial(t, unix.SOCK_STREAM, netlab.Out4, at(netlab.Host4, 8081))
	if _, err := io.ReadAll(c); !errors.Is(err, unix.ECONNRESET) {
		t.Errorf("a port without a server gives %v", err)
	}
}

func TestBigTransfer(t *testing.T) {
	b := newBed(t)
	b.serve(t, 80, func(c *net.TCPConn) { io.Copy(c, c) })
	b.publish(t, tcp(8080, 80))
	chunk := make([]byte, 1<<20)
	rand.Read(chunk)
	c := dial(t, unix.SOCK_STREAM, netlab.Out4, at(netlab.Host4, 8080)).(*net.TCPConn)
	const times = 64
	go func() {
		for range times {
			if _, err := c.Write(chunk); err != nil {
				return
			}
		}
		c.CloseWrite()
	}()
	got := make([]byte, len(chunk))
	for i := range times {
		if _, err := io.ReadFull(c, got); err != nil || !bytes.Equal(got, chunk) {
			t.Fatalf("MiB %d of the echo: %v, equal %v", i, err, bytes.Equal(got, chunk))
		}
	}
	if rest := said(t, c); rest != "" {
		t.Errorf("%d bytes too many", len(rest))
	}
}

func TestManyConnections(t *testing.T) {
	b := newBed(t)
	b.serve(t, 80, echoBack)
	b.publish(t, tcp(8080, 80))
	var all sync.WaitGroup
	const clients, each = 20, 500
	failed := make(chan error, clients)
	for i := range clients {
		all.Go(func() {
			for n := range each {
				if err := echo(fmt.Sprint(i, n)); err != nil {
					failed <- fmt.Errorf("connection %d of client %d: %w", n, i, err)
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
	if strings.Contains(b.logged.String(), "keep a client's address") {
		t.Error("some clients' addresses were not kept")
	}
}

func echo(word string) error {
	conn, err := netlab.Dial(unix.SOCK_STREAM, at(netlab.Out4, 0), at(netlab.Host4, 8080))
	if err != nil {
		return err
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(time.Minute))
	if _, err := io.WriteString(conn, word); err != nil {
		return err
	}
	conn.(*net.TCPConn).CloseWrite()
	got, err := io.ReadAll(conn)
	if err == nil && string(got) != word {
		err = fmt.Errorf("%q came back as %q", word, got)
	}
	return err
}
