package egress

import (
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/proa-containers/proa/libpod/network"
)

func addr(s string) netip.Addr { return netip.MustParseAddr(s) }

// world is a Gate and the time, kept by hand.
type world struct {
	time  time.Time
	held  map[netip.Addr]bool
	open  map[Opening]time.Time // with Timeout 0: until when; the zero time is for ever
	calls int
	err   error
}

func newWorld() *world {
	return &world{time: time.Unix(1e9, 0), held: map[netip.Addr]bool{}, open: map[Opening]time.Time{}}
}

func (w *world) Hold(addresses []netip.Addr, fixed []Opening) error {
	for _, a := range addresses {
		w.held[a] = true
	}
	maps.DeleteFunc(w.open, func(o Opening, until time.Time) bool { return slices.Contains(addresses, o.From) && until.IsZero() })
	return w.add(fixed)
}

func (w *world) Open(openings []Opening) error {
	w.calls++
	return w.add(openings)
}

func (w *world) add(openings []Opening) error {
	if w.err != nil {
		return w.err
	}
	for _, o := range openings {
		if o.From.Is4() != o.To.Addr().Is4() {
			return fmt.Errorf("two families: %v", o)
		}
		var until time.Time
		if o.Timeout > 0 {
			until = w.time.Add(o.Timeout)
		}
		o.Timeout = 0
		w.open[o] = until
	}
	return nil
}

func (w *world) Release(addresses []netip.Addr) error {
	for _, a := range addresses {
		delete(w.held, a)
	}
	maps.DeleteFunc(w.open, func(o Opening, _ time.Time) bool { return slices.Contains(addresses, o.From) })
	return w.err
}

// passes tells whether a packet does.
func (w *world) passes(from, to string, port uint16) bool {
	if !w.held[addr(from)] {
		return true
	}
	for o, until := range w.open {
		if o.From == addr(from) && o.To.Contains(addr(to)) && (o.Port == 0 || o.Port == port) && (until.IsZero() || w.time.Before(until)) {
			return true
		}
	}
	return false
}

const box4, box6 = "10.89.0.2", "fd00::2"

func start(t *testing.T, w *world, allow ...string) *Policy {
	t.Helper()
	e, err := network.ParseEgress("deny", allow)
	if err != nil {
		t.Fatal(err)
	}
	ours := netip.MustParsePrefix("10.89.0.0/16")
	p := New(w, slog.New(slog.DiscardHandler), e, ours.Contains)
	p.now = func() time.Time { return w.time }
	if err := p.Start(Place{
		Addresses: []netip.Addr{addr(box4), addr(box6)},
		Subnets:   []netip.Prefix{netip.MustParsePrefix("10.89.0.0/24"), netip.MustParsePrefix("fd00::/64")},
		Hosts:     map[string][]netip.Addr{"host.docker.internal": {addr("169.254.1.2")}},
	}); err != nil {
		t.Fatal(err)
	}
	return p
}

func (w *world) expect(t *testing.T, want bool, from, to string, port uint16) {
	t.Helper()
	if got := w.passes(from, to, port); got != want {
		t.Errorf("from %s to %s port %d passes: %v, want %v", from, to, port, got, want)
	}
}

func TestFixed(t *testing.T) {
	w := newWorld()
	// Left by another container, of which a killed predecessor could not take leave.
	w.open[Opening{From: addr(box4), To: netip.MustParsePrefix("0.0.0.0/0")}] = time.Time{}
	start(t, w, "192.0.2.0/24:443", "2001:db8::/32", "host.docker.internal:5432")
	w.expect(t, true, box4, "192.0.2.9", 443)
	w.expect(t, false, box4, "192.0.2.9", 80)
	w.expect(t, false, box4, "198.51.100.1", 443)
	w.expect(t, true, box6, "2001:db8::9", 1)
	w.expect(t, true, box4, "10.89.0.77", 1)
	w.expect(t, false, box4, "10.89.7.1", 1)
	w.expect(t, true, box4, "169.254.1.2", 5432)
	w.expect(t, false, box4, "169.254.1.2", 22)
	w.expect(t, true, "10.89.0.3", "198.51.100.1", 443) // has no policy
}

// TestNested gives the gate no opening that is part of another one: the kernel refuses these.
func TestNested(t *testing.T) {
	w := newWorld()
	start(t, w, "192.0.2.128/25", "192.0.2.0/24", "192.0.2.1", "192.0.2.0/24:80", "192.0.2.1:80", "0.0.0.0/0:443", "10.89.0.0/25")
	var got []string
	for o := range w.open {
		got = append(got, fmt.Sprintf("%v %d %v", o.To, o.Port, o.Own))
	}
	slices.Sort(got)
	want := []string{
		"0.0.0.0/0 443 false", "10.89.0.0/24 0 true", "10.89.0.0/25 0 false", "192.0.2.0/24 0 false", "192.0.2.0/24 80 false", "fd00::/64 0 true",
	}
	if !slices.Equal(got, want) {
		t.Errorf("open is %q, want %q", got, want)
	}
}

func TestNames(t *testing.T) {
	w := newWorld()
	p := start(t, w, "example.com:443", "*.cdn.example", "example.com:80")
	for name, want := range map[string]bool{
		"example.com": true, "www.example.com": false, "notexample.com": false, "": false,
		"a.cdn.example": true, "a.b.cdn.example": true, "cdn.example": false, ".cdn.example": false, "acdn.example": false,
	} {
		if got := p.Ask(name, 1); got != want {
			t.Errorf("may ask for %q: %v, want %v", name, got, want)
		}
	}
	if !p.Answer("example.com", []netip.Addr{addr("192.0.2.1"), addr("2001:db8::1")}, 5*time.Minute) {
		t.Fatal("an answer was withheld")
	}
	for port, want := range map[uint16]bool{443: true, 80: true, 22: false} {
		w.expect(t, want, box4, "192.0.2.1", port)
		w.expect(t, want, box6, "2001:db8::1", port)
	}
	w.expect(t, false, box4, "192.0.2.2", 443)
	w.time = w.time.Add(5*time.Minute + grace - time.Second)
	w.expect(t, true, box4, "192.0.2.1", 443)
	w.time = w.time.Add(time.Second)
	w.expect(t, false, box4, "192.0.2.1", 443)

	// A name that lives for a second is open for longer, and is renewed in time without a call for each lookup.
	before := w.calls
	for range 600 {
		if !p.Answer("a.cdn.example", []netip.Addr{addr("192.0.2.7")}, time.Second) {
			t.Fatal("an answer was withheld")
		}
		w.time = w.time.Add(time.Second)
		w.expect(t, true, box4, "192.0.2.7", 22)
	}
	if n := w.calls - before; n > 25 {
		t.Errorf("the gate was called %d times for 600 lookups", n)
	}
	w.time = w.time.Add(least)
	w.expect(t, false, box4, "192.0.2.7", 22)

	if err := p.End(); err != nil {
		t.Fatal(err)
	}
	if len(w.open) != 0 || len(w.held) != 0 {
		t.Errorf("left: %v, %v", w.open, w.held)
	}
}

// TestInward has a name that is allowed lead to where only the user may go.
func TestInward(t *testing.T) {
	w := newWorld()
	p := start(t, w, "evil.example")
	for _, a := range []string{"127.0.0.1", "::1", "0.0.0.0", "169.254.169.254", "fe80::1", "224.0.0.1", "10.89.7.1"} {
		if p.Answer("evil.example", []netip.Addr{addr("192.0.2.1"), addr(a)}, time.Minute) {
			t.Errorf("an answer with %s was given", a)
		}
		w.expect(t, false, box4, "192.0.2.1", 80)
	}
}

func TestMove(t *testing.T) {
	w := newWorld()
	p := start(t, w, "example.com")
	ask := func() {
		t.Helper()
		if !p.Answer("example.com", []netip.Addr{addr("192.0.2.1")}, time.Hour) {
			t.Fatal("an answer was withheld")
		}
	}
	ask()
	// It is connected to a second network: what is open stays so, and is opened to the new address when asked for.
	second := Place{Addresses: []netip.Addr{addr(box4), addr("10.89.5.2")}, Subnets: []netip.Prefix{netip.MustParsePrefix("10.89.5.0/24")}}
	if err := p.Move(second); err != nil {
		t.Fatal(err)
	}
	w.expect(t, true, box4, "192.0.2.1", 80)
	w.expect(t, false, "10.89.5.2", "192.0.2.1", 80)
	w.expect(t, true, "10.89.5.2", "10.89.5.9", 80)
	w.expect(t, false, box4, "10.89.0.9", 80)
	ask()
	w.expect(t, true, "10.89.5.2", "192.0.2.1", 80)
	if w.held[addr(box6)] {
		t.Errorf("an address that it has no longer is held")
	}
}

func TestTooMany(t *testing.T) {
	w := newWorld()
	p := start(t, w, "example.com")
	answer := func(first, n int) bool {
		var all []netip.Addr
		for i := range n {
			i += first
			all = append(all, netip.AddrFrom4([4]byte{20, byte(i >> 16), byte(i >> 8), byte(i)}))
		}
		return p.Answer("example.com", all, time.Minute)
	}
	for i := range maxOpen / 64 {
		if !answer(i*64, 64) {
			t.Fatalf("withheld after %d", i*64)
		}
	}
	if answer(1<<16, 1) {
		t.Error("more is open than may be")
	}
	w.time = w.time.Add(time.Hour)
	if !answer(1<<16, 1) {
		t.Error("what is closed again counts")
	}
	w.err = errors.New("no space left")
	if answer(2<<16, 1) {
		t.Error("an answer was given though the way is closed")
	}
}
