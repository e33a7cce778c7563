package port

import (
	"fmt"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/proa-containers/proa/internal/netlab"
	"golang.org/x/sys/unix"
)

// serveUDP tells each sender who it is and how much it sent.
func (b *bed) serveUDP(t testing.TB, port uint16) {
	t.Helper()
	var c net.PacketConn
	b.container.Must(t, func() (err error) {
		c, err = net.ListenPacket("udp", fmt.Sprintf(":%d", port))
		return err
	})
	t.Cleanup(func() { c.Close() })
	go func() {
		buf := make([]byte, maxPacket)
		for {
			n, from, err := c.ReadFrom(buf)
			if err != nil {
				return
			}
			c.WriteTo(fmt.Appendf(nil, "%d from %s", n, from), from)
		}
	}()
}

func ask(t testing.TB, c net.Conn, size int) string {
	t.Helper()
	if _, err := c.Write(make([]byte, size)); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, maxPacket)
	n, err := c.Read(buf)
	if err != nil {
		t.Fatalf("no answer to %s: %v", c.LocalAddr(), err)
	}
	return string(buf[:n])
}

func TestUDP(t *testing.T) {
	b := newBed(t)
	b.serveUDP(t, 53)
	b.publish(t, udp(5300, 53))
	for _, c := range []struct{ from, to netip.Addr }{{netlab.Out4, netlab.Host4}, {netlab.Far4, netlab.Host4}, {netlab.Out6, netlab.Host6}, {netlab.Far6, netlab.Host6}} {
		conn := dial(t, unix.SOCK_DGRAM, c.from, at(c.to, 5300))
		for _, size := range []int{1, 9000, 60_000, 0} {
			if got, want := ask(t, conn, size), fmt.Sprintf("%d from %s", size, conn.LocalAddr()); got != want {
				t.Errorf("the server says %q, want %q", got, want)
			}
		}
	}
	conn, err := net.Dial("udp", "127.0.0.1:5300")
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	ask(t, conn, 1)
}

// More clients than flows are kept for: the old ones go, the new ones are served.
func TestManyFlows(t *testing.T) {
	b := newBed(t)
	b.serveUDP(t, 53)
	b.publish(t, udp(5300, 53))
	for port := range uint16(maxFlows + 500) {
		c, err := netlab.Dial(unix.SOCK_DGRAM, at(netlab.Out4, 10_000+port), at(netlab.Host4, 5300))
		if err != nil {
			t.Fatal(err)
		}
		if got, want := ask(t, c, 3), fmt.Sprintf("3 from %s", c.LocalAddr()); got != want {
			t.Errorf("the server says %q, want %q", got, want)
		}
		c.Close()
	}
	pub := b.owners[web.ID]
	pub.mu.Lock()
	open := len(pub.open)
	pub.mu.Unlock()
	if open > maxFlows+50 {
		t.Errorf("%d flows are open", open)
	}
}

// A client that has a flow already is led to the container's new address.
func TestRetargetFlow(t *testing.T) {
	b := newBed(t)
	other := netip.MustParseAddr("10.88.0.3")
	moved := b.inside.Container(t, "br0", []netip.Addr{gate4}, other)
	b.serveUDP(t, 53)
	b.publish(t, udp(5300, 53))
	c := dial(t, unix.SOCK_DGRAM, netlab.Out4, at(netlab.Host4, 5300))
	ask(t, c, 1)
	b.Retarget(web.ID, other)
	(&bed{container: moved}).serveUDP(t, 53)
	for try := 0; ; try++ { // the old flow's end is not awaited
		c.SetReadDeadline(time.Now().Add(time.Second))
		c.Write([]byte("x"))
		buf := make([]byte, 100)
		if _, err := c.Read(buf); err == nil {
			break
		} else if try == 10 {
			t.Fatal(err)
		}
	}
	flows := 0
	pub := b.owners[web.ID]
	pub.mu.Lock()
	defer pub.mu.Unlock()
	for c := range pub.open {
		if f, ok := c.(*flow); ok {
			flows++
			if host, _, _ := net.SplitHostPort(f.server.RemoteAddr().String()); host != other.String() {
				t.Errorf("a flow leads to %s", host)
			}
		}
	}
	if flows == 0 {
		t.Error("there is no flow")
	}
}
