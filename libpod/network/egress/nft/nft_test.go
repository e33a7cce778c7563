package nft

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/proa-containers/proa/internal/netlab"
	"github.com/proa-containers/proa/libpod/network"
	"github.com/proa-containers/proa/libpod/network/egress"
	"golang.org/x/sys/unix"
)

func TestMain(m *testing.M) { netlab.Main(m) }

func addr(s string) netip.Addr { return netip.MustParseAddr(s) }

var (
	gate4, gate6 = addr("10.89.0.1"), addr("fd89::1")
	box4, box6   = addr("10.89.0.2"), addr("fd89::2")
	free4, free6 = addr("10.89.0.3"), addr("fd89::3")
	away4, away6 = addr("192.0.2.1"), addr("2001:db8:2::1")
)

// bed is two containers on a bridge, and behind another bridge a host that answers on the ports 80, 443 and 5353.
type bed struct {
	t                       *testing.T
	inside, box, free, away *netlab.Space
	table                   *Table
}

func newBed(t *testing.T) *bed {
	b := &bed{t: t, inside: netlab.New(t)}
	b.inside.Bridge(t, "br0", gate4, gate6)
	b.inside.Bridge(t, "br1", addr("192.0.2.254"), addr("2001:db8:2::fe"))
	b.box = b.inside.Container(t, "br0", []netip.Addr{gate4, gate6}, box4, box6)
	b.free = b.inside.Container(t, "br0", []netip.Addr{gate4, gate6}, free4, free6)
	b.away = b.inside.Container(t, "br1", []netip.Addr{addr("192.0.2.254"), addr("2001:db8:2::fe")}, away4, away6, addr("192.0.2.2"))
	for _, s := range []*netlab.Space{b.inside, b.box, b.free, b.away} {
		for _, port := range []uint16{53, 80, 443, 5353} {
			s.Must(t, func() error { return answer(t, port) })
		}
	}
	b.table = b.open()
	for ready := false; !ready; { // IPv6 starts late on a new interface
		ready = b.reaches(b.box, away6, 80) == nil && b.reaches(b.free, box6, 80) == nil
	}
	return b
}

// answer accepts and closes TCP connections.
func answer(t *testing.T, port uint16) error {
	l, err := net.Listen("tcp", netip.AddrPortFrom(netip.IPv6Unspecified(), port).String())
	if err != nil {
		return err
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			c.Close()
		}
	}()
	return nil
}

func (b *bed) open() *Table {
	b.t.Helper()
	table, err := Open(b.inside.In)
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() { table.Close() })
	return table
}

func (b *bed) reaches(from *netlab.Space, to netip.Addr, port uint16) error {
	return from.In(func() error {
		c, err := net.DialTimeout("tcp", netip.AddrPortFrom(to, port).String(), 5*time.Second)
		if err == nil {
			c.Close()
		}
		return err
	})
}

func (b *bed) expect(want bool, from *netlab.Space, to netip.Addr, port uint16) {
	b.t.Helper()
	err := b.reaches(from, to, port)
	if (err == nil) != want {
		b.t.Errorf("reaching %v port %d: %v, want success %v", to, port, err, want)
	}
	// Refused at once, not by silence.
	if err != nil && !errors.Is(err, unix.ECONNREFUSED) {
		b.t.Errorf("reaching %v port %d: %v", to, port, err)
	}
}

func (b *bed) policy(table *Table, allow ...string) *egress.Policy {
	b.t.Helper()
	e, err := network.ParseEgress("deny", allow)
	if err != nil {
		b.t.Fatal(err)
	}
	return egress.New(table, slog.New(slog.DiscardHandler), e, netip.MustParsePrefix("10.89.0.0/16").Contains)
}

var place = egress.Place{
	Addresses: []netip.Addr{box4, box6},
	Subnets:   []netip.Prefix{netip.MustParsePrefix("10.89.0.0/24"), netip.MustParsePrefix("fd89::/64")},
}

func TestPackets(t *testing.T) {
	b := newBed(t)
	b.expect(true, b.box, away4, 80)
	p := b.policy(b.table, "192.0.2.0/24:443", "192.0.2.2", "[2001:db8:2::/48]:443", "example.com:80")
	if err := p.Start(place); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		want bool
		from *netlab.Space
		to   netip.Addr
		port uint16
	}{
		{false, b.box, away4, 80}, {true, b.box, away4, 443}, {true, b.box, addr("192.0.2.2"), 80},
		{false, b.box, away6, 80}, {true, b.box, away6, 443},
		{true, b.free, away4, 80}, {true, b.free, away6, 80},
		{true, b.box, free4, 80}, {true, b.box, free6, 80}, {true, b.free, box4, 80}, // the same network
		{true, b.box, gate4, 53}, {true, b.box, gate6, 53}, {false, b.box, gate4, 80}, {false, b.box, gate6, 80},
		{true, b.away, box4, 80}, // its answers pass
	} {
		b.expect(c.want, c.from, c.to, c.port)
	}
	if !p.Answer("example.com", []netip.Addr{away4, away6}, time.Hour) {
		t.Fatal("an answer was withheld")
	}
	b.expect(true, b.box, away4, 80)
	b.expect(true, b.box, away6, 80)
	b.expect(false, b.box, away4, 5353)

	// A successor of a killed netd finds all of it.
	again := b.open()
	b.expect(true, b.box, away4, 80)
	b.expect(false, b.box, away4, 5353)
	q := b.policy(again, "192.0.2.0/24:443", "192.0.2.0/25:5353")
	if err := q.Move(place); err != nil {
		t.Fatal(err)
	}
	b.expect(true, b.box, away4, 5353)
	b.expect(false, b.box, addr("192.0.2.2"), 80)
	if err := q.End(); err != nil {
		t.Fatal(err)
	}
	b.expect(true, b.box, away4, 5353)
	for _, f := range again.families {
		for _, s := range f.all() {
			if elements, err := again.c.GetSetElements(s); err != nil || len(elements) > 0 {
				t.Errorf("set %s has %v, %v", s.Name, elements, err)
			}
		}
	}
	if err := again.Remove(); err != nil {
		t.Fatal(err)
	}
}

// TestWatch is told of refused packets and of no others.
func TestWatch(t *testing.T) {
	b := newBed(t)
	seen := make(chan Refused, 1000)
	ctx, cancel := context.WithCancel(t.Context())
	watched := make(chan error)
	go func() { watched <- b.table.Watch(ctx, func(r Refused) { seen <- r }) }()
	if err := b.policy(b.table, "192.0.2.0/24:443").Start(place); err != nil {
		t.Fatal(err)
	}
	want := map[Refused]bool{
		{box4, netip.AddrPortFrom(away4, 80), unix.IPPROTO_TCP}: true, {box6, netip.AddrPortFrom(away6, 80), unix.IPPROTO_TCP}: true,
		{box4, netip.AddrPortFrom(gate4, 80), unix.IPPROTO_TCP}: true,
	}
	for missing := maps.Clone(want); len(missing) > 0; { // the kernel keeps them for up to a second
		b.expect(true, b.box, away4, 443)
		b.expect(true, b.free, away4, 80)
		for r := range want {
			b.expect(false, b.box, r.To.Addr(), 80)
		}
		select {
		case r := <-seen:
			if !want[r] {
				t.Fatalf("%v was reported", r)
			}
			delete(missing, r)
		case err := <-watched:
			t.Fatal("it ended: ", err)
		case <-time.After(100 * time.Millisecond):
		}
	}
	cancel()
	if err := <-watched; err != nil {
		t.Fatal(err)
	}
}

// TestRenewal has an opening made anew before its time, after it, and while it is there.
func TestRenewal(t *testing.T) {
	b := newBed(t)
	o := egress.Opening{From: box4, To: netip.PrefixFrom(away4, 32), Port: 80, Timeout: time.Minute}
	for _, timeout := range []time.Duration{time.Minute, time.Hour, time.Millisecond, time.Hour, time.Minute} {
		o.Timeout = timeout
		if err := b.table.Open([]egress.Opening{o, o}); err != nil {
			t.Fatal(err)
		}
		elements, err := b.table.c.GetSetElements(b.table.families[0].namedPort)
		if err != nil {
			t.Fatal(err)
		}
		if timeout > time.Second && (len(elements) != 1 || elements[0].Timeout != timeout) {
			t.Errorf("after an opening for %v: %v", timeout, elements)
		}
		time.Sleep(2 * time.Millisecond)
	}
	if err := b.table.Release([]netip.Addr{box4}); err != nil {
		t.Fatal(err)
	}
}

func FuzzParse(f *testing.F) {
	f.Add(append([]byte{0x45, 0, 0, 40, 0, 0, 0, 0, 64, 6, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2}, 1, 2, 3, 4))
	f.Add(append([]byte{0x60, 0, 0, 0, 0, 20, 17, 64}, make([]byte, 36)...))
	f.Fuzz(func(t *testing.T, b []byte) {
		if r, ok := parse(b); ok && (!r.From.IsValid() || !r.To.IsValid()) {
			t.Errorf("%x is %v", b, r)
		}
	})
}
