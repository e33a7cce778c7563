package port

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/proa-containers/proa/internal/netlab"
	"github.com/proa-containers/proa/libpod/network"
	"golang.org/x/sys/unix"
)

var db = Owner{ID: "2", Name: "db"}

func TestChosenPort(t *testing.T) {
	b := newBed(t)
	b.serve(t, 80, sayPeer)
	b.serveUDP(t, 53)
	asked := network.Port{Container: 80, Count: 2, Protocol: "tcp"}
	bound := b.publish(t, asked, udp(0, 53))
	if len(bound) != 3 || bound[0].Host == 0 || bound[1].Host == 0 || bound[1].Container != 81 || bound[2].Host == 0 {
		t.Fatalf("bound is %+v", bound)
	}
	if !slices.Equal(b.Published(web.ID), bound) {
		t.Errorf("Published says %+v, Publish said %+v", b.Published(web.ID), bound)
	}
	said(t, dial(t, unix.SOCK_STREAM, netlab.Out4, at(netlab.Host4, bound[0].Host)))
	ask(t, dial(t, unix.SOCK_DGRAM, netlab.Out4, at(netlab.Host4, bound[2].Host)), 1)
}

// Of a range for a single port the first free one is taken.
func TestRangeToChooseFrom(t *testing.T) {
	b := newBed(t)
	b.serve(t, 80, sayPeer)
	asked := network.Port{Host: 8080, Container: 80, Count: 1, Spare: 2, Protocol: "tcp"}
	b.publish(t, tcp(8080, 80))
	bound := b.publish(t, asked, asked)
	if len(bound) != 2 || bound[0] != tcp(8081, 80) || bound[1] != tcp(8082, 80) {
		t.Fatalf("bound is %+v", bound)
	}
	said(t, dial(t, unix.SOCK_STREAM, netlab.Out4, at(netlab.Host4, 8082)))
	wantError(t, b, db, []network.Port{asked}, "8080/tcp", "up to 8082", "larger range")
	asked.Host, asked.Spare = 65535, 1
	wantError(t, b, db, []network.Port{asked}, "65535")
}

// A port bound to one address is not reached by another one.
func TestAddresses(t *testing.T) {
	b := newBed(t)
	b.serve(t, 80, sayPeer)
	b.serveUDP(t, 53)
	for _, c := range []struct {
		ip               string
		reached, refused []string
	}{
		{"127.0.0.1", []string{"127.0.0.1"}, []string{"198.51.100.10", "::1"}},
		{"198.51.100.10", []string{"198.51.100.10"}, []string{"127.0.0.1"}},
		{"0.0.0.0", []string{"127.0.0.1", "198.51.100.10"}, []string{"::1", "2001:db8::a"}},
		{"::", []string{"::1", "2001:db8::a"}, []string{"127.0.0.1", "198.51.100.10"}},
		{"::1", []string{"::1"}, []string{"127.0.0.1", "2001:db8::a"}},
	} {
		p, q := tcp(8080, 80), udp(5300, 53)
		p.HostIP = netip.MustParseAddr(c.ip)
		q.HostIP = p.HostIP
		b.publish(t, p, q)
		for _, to := range c.reached {
			conn, err := net.Dial("tcp", net.JoinHostPort(to, "8080"))
			if err != nil {
				t.Errorf("published on %s: %v", c.ip, err)
				continue
			}
			said(t, conn)
			conn.Close()
			conn, err = net.Dial("udp", net.JoinHostPort(to, "5300"))
			if err != nil {
				t.Fatal(err)
			}
			conn.SetDeadline(time.Now().Add(time.Minute))
			ask(t, conn, 1)
			conn.Close()
		}
		for _, to := range c.refused {
			if conn, err := net.Dial("tcp", net.JoinHostPort(to, "8080")); !errors.Is(err, unix.ECONNREFUSED) {
				t.Errorf("published on %s, reached on %s: %v, %v", c.ip, to, conn, err)
			}
		}
		b.Withdraw(web.ID)
	}
	p := tcp(8080, 80)
	p.HostIP = netip.MustParseAddr("192.0.2.99")
	wantError(t, b, web, []network.Port{p}, "no interface of this host has the address 192.0.2.99")
}

func wantError(t *testing.T, b *bed, o Owner, ports []network.Port, parts ...string) {
	t.Helper()
	bound, err := b.Publish(o, ports, web4)
	if err == nil {
		t.Errorf("%+v were bound as %+v, want an error", ports, bound)
		return
	}
	for _, part := range parts {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("the error %q does not say %q", err, part)
		}
	}
}

func TestConflicts(t *testing.T) {
	b := newBed(t)
	before := open(t)
	b.publish(t, network.Port{Host: 8080, Container: 80, Count: 10, Protocol: "tcp"}, udp(8080, 80))
	loopback := tcp(8085, 80)
	loopback.HostIP = netip.MustParseAddr("127.0.0.1")
	wantError(t, b, db, []network.Port{tcp(9000, 80), tcp(8089, 80)}, "8089/tcp", `"web"`, "another host port")
	wantError(t, b, db, []network.Port{loopback}, "127.0.0.1:8085/tcp", `"web"`)
	wantError(t, b, db, []network.Port{udp(8080, 80)}, "8080/udp", `"web"`)
	wantError(t, b, db, []network.Port{tcp(9000, 80), tcp(9000, 81)}, "9000/tcp", "twice", `"db"`)

	l, err := net.Listen("tcp4", "127.0.0.1:9100")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	mine := fmt.Sprintf("process %d", os.Getpid())
	wantError(t, b, db, []network.Port{tcp(9000, 80), tcp(9100, 80)}, "9100/tcp", mine)
	c, err := net.ListenPacket("udp6", "[::]:9100")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	wantError(t, b, db, []network.Port{udp(9100, 80)}, "9100/udp", mine)
	wantError(t, b, db, []network.Port{tcp(9000, 80), {Host: 1, Container: 1, Count: 1, Protocol: "sctp"}}, "sctp")
	wantError(t, b, db, []network.Port{{Host: 65535, Container: 1, Count: 2, Protocol: "tcp"}}, "65535")
	wantError(t, b, db, []network.Port{tcp(80, 80)}, "sysctl net.ipv4.ip_unprivileged_port_start=80", "1024")

	// None of the failed calls left a port.
	if got := b.Published(db.ID); got != nil {
		t.Errorf("a container whose ports failed has %+v", got)
	}
	if _, err := b.Publish(db, []network.Port{tcp(9000, 80)}, web4); err != nil {
		t.Errorf("the port of a call that failed is held: %v", err)
	}
	b.Withdraw(web.ID)
	if _, err := b.Publish(db, []network.Port{tcp(8089, 80)}, web4); err != nil {
		t.Errorf("the port of a container that is gone is held: %v", err)
	}
	b.Withdraw(db.ID)
	l.Close()
	c.Close()
	if after := open(t); after > before {
		t.Errorf("%d descriptors were open before, %d are now", before, after)
	}
}

func open(t *testing.T) int {
	t.Helper()
	fds, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(fds)
}

func TestManyPorts(t *testing.T) {
	b := newBed(t)
	b.serve(t, 1499, sayPeer)
	fds, routines := open(t), runtime.NumGoroutine()
	const count = 500
	b.publish(t, network.Port{Host: 10_000, Container: 1000, Count: count, Protocol: "tcp"}, network.Port{Host: 10_000, Container: 1000, Count: count, Protocol: "udp"})
	said(t, dial(t, unix.SOCK_STREAM, netlab.Out6, at(netlab.Host6, 10_499)))
	if d := open(t) - fds; d > 2*count+40 {
		t.Errorf("%d ports have %d descriptors", 2*count, d)
	}
	if d := runtime.NumGoroutine() - routines; d > 2*count+10 {
		t.Errorf("%d ports have %d goroutines", 2*count, d)
	}
	b.Withdraw(web.ID)
	if c, err := net.Dial("tcp", "127.0.0.1:10000"); !errors.Is(err, unix.ECONNREFUSED) {
		t.Errorf("a port that was withdrawn: %v, %v", c, err)
	}
}

// What is withdrawn ends the connections through it.
func TestWithdraw(t *testing.T) {
	b := newBed(t)
	gone := make(chan error, 1)
	b.serve(t, 80, func(c *net.TCPConn) {
		io.WriteString(c, "x")
		_, err := io.Copy(io.Discard, c)
		gone <- err
	})
	b.publish(t, tcp(8080, 80))
	c := dial(t, unix.SOCK_STREAM, netlab.Out4, at(netlab.Host4, 8080))
	if _, err := c.Read(make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	b.Withdraw(web.ID)
	io.Copy(io.Discard, c)
	<-gone
	b.Withdraw(web.ID)
	b.Withdraw("unknown")
}

func TestRetarget(t *testing.T) {
	b := newBed(t)
	b.serve(t, 80, func(c *net.TCPConn) { fmt.Fprint(c, c.LocalAddr()) })
	other := netip.MustParseAddr("10.88.0.3")
	b.container.Must(t, func() error { return netlab.Configure("eth0", other) })
	b.publish(t, tcp(8080, 80))
	b.Retarget(web.ID, other)
	if got := said(t, dial(t, unix.SOCK_STREAM, netlab.Out4, at(netlab.Host4, 8080))); got != "10.88.0.3:80" {
		t.Errorf("the connection came to %s", got)
	}
	b.Retarget(web.ID)
	if _, err := io.ReadAll(dial(t, unix.SOCK_STREAM, netlab.Out4, at(netlab.Host4, 8080))); !errors.Is(err, unix.ECONNRESET) {
		t.Errorf("a container without an address gives %v", err)
	}
}

// Idle connections hold no pipe, as a user's pipes are few.
func TestIdleConnections(t *testing.T) {
	b := newBed(t)
	b.serve(t, 80, echoBack)
	b.publish(t, tcp(8080, 80))
	for range 100 {
		c := dial(t, unix.SOCK_STREAM, netlab.Out4, at(netlab.Host4, 8080))
		fmt.Fprint(c, "x")
		if _, err := c.Read(make([]byte, 1)); err != nil {
			t.Fatal(err)
		}
	}
	fds, _ := os.ReadDir("/proc/self/fd")
	pipes := 0
	for _, fd := range fds {
		if to, _ := os.Readlink("/proc/self/fd/" + fd.Name()); strings.HasPrefix(to, "pipe:") {
			pipes++
		}
	}
	if pipes > 20 {
		t.Errorf("100 idle connections have %d pipe ends", pipes)
	}
}
