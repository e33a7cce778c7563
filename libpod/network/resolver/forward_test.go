package resolver

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/miekg/dns"
)

func TestForward(t *testing.T) {
	r := newRig(t, Options{})
	u := newUpstream(t, says(dns.RcodeSuccess, "@ 300 IN CNAME cdn.example.", "cdn.example. 60 IN A 192.0.2.1"))
	r.names(u)
	r.set(on("web", "red:127.1.0.1"))
	for range 3 {
		r.expect("127.1.0.1", "example.com", dns.TypeA, "NOERROR", "cdn.example.", "192.0.2.1")
	}
	if n := u.asked.Load(); n != 1 {
		t.Errorf("upstream was asked %d times for what it had answered for a minute", n)
	}
	r.Flush()
	r.expect("127.1.0.1", "example.com", dns.TypeA, "NOERROR", "cdn.example.", "192.0.2.1")
	if n := u.asked.Load(); n != 2 {
		t.Errorf("upstream was asked %d times, after a flush want 2", n)
	}
}

func TestForwardNothing(t *testing.T) {
	r := newRig(t, Options{})
	r.set(on("web", "red:127.1.0.1"))
	r.expect("127.1.0.1", "example.com", dns.TypeA, "SERVFAIL") // there is no resolv.conf
	dead, l, at := listen(t, "127.0.0.1")
	dead.Close()
	l.Close()
	r.names(&upstream{at: at})
	r.expect("127.1.0.1", "example.com", dns.TypeA, "SERVFAIL")
}

// TestInternal has containers on internal networks, on others, and on both.
func TestInternal(t *testing.T) {
	var inside sync.Map
	r := newRig(t, Options{Inside: func(ctx context.Context, network string, a netip.AddrPort) (net.Conn, error) {
		inside.Store(a.String(), true)
		return dial(ctx, network, a)
	}})
	u := newUpstream(t, says(dns.RcodeSuccess, "@ 60 IN A 192.0.2.1"))
	r.names(u)
	r.SetNetwork(Network{Name: "dark", Names: true, Internal: true, Subnets: []netip.Prefix{netip.MustParsePrefix("127.3.0.0/16")}})
	r.set(on("hidden", "dark:127.3.0.1"))
	r.set(on("both", "dark:127.3.0.2", "red:127.1.0.2"))
	r.expect("127.3.0.1", "both", dns.TypeA, "NOERROR", "127.3.0.2")
	r.expect("127.3.0.1", "example.com", dns.TypeA, "SERVFAIL")
	r.expect("127.3.0.2", "example.com", dns.TypeA, "NOERROR", "192.0.2.1")

	// Servers of its own: only one on its network is asked.
	own := newUpstream(t, says(dns.RcodeSuccess, "@ 60 IN A 192.0.2.2"))
	c := on("hidden", "dark:127.3.0.1")
	c.Servers = []netip.AddrPort{own.at}
	r.set(c)
	r.expect("127.3.0.1", "example.com", dns.TypeA, "SERVFAIL")
	r.SetNetwork(Network{Name: "dark", Names: true, Internal: true,
		Subnets: []netip.Prefix{netip.MustParsePrefix("127.3.0.0/16"), netip.MustParsePrefix("127.0.0.0/24")}})
	r.expect("127.3.0.1", "example.com", dns.TypeA, "NOERROR", "192.0.2.2")
	if _, ok := inside.Load(own.at.String()); !ok {
		t.Error("a server on the container's network was asked from outside")
	}
	// It is another network's for this one.
	c = on("web", "red:127.1.0.1")
	c.Servers = []netip.AddrPort{own.at}
	r.set(c)
	r.expect("127.1.0.1", "elsewhere.example", dns.TypeA, "SERVFAIL")
}

func TestServersOfNetworkAndContainer(t *testing.T) {
	r := newRig(t, Options{})
	host := newUpstream(t, says(dns.RcodeSuccess, "@ 60 IN A 192.0.2.1"))
	network := newUpstream(t, says(dns.RcodeSuccess, "@ 60 IN A 192.0.2.2"))
	container := newUpstream(t, says(dns.RcodeSuccess, "@ 60 IN A 192.0.2.3"))
	r.names(host)
	r.SetNetwork(Network{Name: "blue", Servers: []netip.AddrPort{network.at}})
	r.set(on("a", "red:127.1.0.1"))
	r.set(on("b", "blue:127.2.0.2"))
	c := on("c", "blue:127.2.0.3")
	c.Servers = []netip.AddrPort{container.at}
	r.set(c)
	r.expect("127.1.0.1", "example.com", dns.TypeA, "NOERROR", "192.0.2.1")
	r.expect("127.2.0.2", "example.com", dns.TypeA, "NOERROR", "192.0.2.2")
	r.expect("127.2.0.3", "example.com", dns.TypeA, "NOERROR", "192.0.2.3")
	r.expect("127.2.0.2", "c", dns.TypeA, "NOERROR", "192.0.2.2") // blue has no names of its own
}

// TestNoSuchName is cached by its SOA record, and not without one.
func TestNoSuchName(t *testing.T) {
	r := newRig(t, Options{})
	r.set(on("web", "red:127.1.0.1"))
	u := newUpstream(t, says(dns.RcodeNameError, "example. 60 IN SOA ns. root. 1 1 1 1 60"))
	r.names(u)
	for range 2 {
		r.expect("127.1.0.1", "no.example", dns.TypeA, "NXDOMAIN")
	}
	if n := u.asked.Load(); n != 1 {
		t.Errorf("upstream was asked %d times, want once", n)
	}
	without := newUpstream(t, says(dns.RcodeNameError))
	c := on("other", "red:127.1.0.2")
	c.Servers = []netip.AddrPort{without.at}
	r.set(c)
	for range 2 {
		r.expect("127.1.0.2", "no.example", dns.TypeA, "NXDOMAIN")
	}
	if n := without.asked.Load(); n != 2 {
		t.Errorf("upstream was asked %d times, want each time", n)
	}
}

// TestBig asks for what fits no packet: the server goes on by TCP, and a client that does so gets all of it.
func TestBig(t *testing.T) {
	r := newRig(t, Options{})
	r.set(on("web", "red:127.1.0.1"))
	var records []string
	for i := range 100 {
		records = append(records, fmt.Sprintf("@ 60 IN A 192.0.2.%d", i))
	}
	all := says(dns.RcodeSuccess, records...)
	u := newUpstream(t, func(w dns.ResponseWriter, m *dns.Msg) {
		if w.LocalAddr().Network() == "udp" {
			r := new(dns.Msg).SetReply(m)
			r.Truncated = true
			w.WriteMsg(r)
			return
		}
		all(w, m)
	})
	r.names(u)
	for _, size := range []uint16{0, 512, 1232, 65535} {
		m := new(dns.Msg).SetQuestion("big.example.", dns.TypeA)
		want := minPacket
		if size > 0 {
			m.SetEdns0(size, false)
			want = min(int(size), maxPacket)
		}
		a := r.exchange("udp", "127.1.0.1", m)
		a.Compress = true
		if !a.Truncated || a.Len() > want || len(a.Answer) == 0 && size > 512 {
			t.Errorf("%d bytes: answer of %d with %d records, truncated %v", size, a.Len(), len(a.Answer), a.Truncated)
		}
		if (a.IsEdns0() != nil) != (size > 0) {
			t.Errorf("%d bytes: EDNS in the answer is %v", size, a.IsEdns0())
		}
		if a := r.exchange("tcp", "127.1.0.1", m); a.Truncated || len(a.Answer) != len(records) {
			t.Errorf("by TCP %d records of %d", len(a.Answer), len(records))
		}
	}
	if n := u.asked.Load(); n != 4 {
		t.Errorf("upstream was asked %d times, want 4: by UDP and TCP, with EDNS and without", n)
	}
}

// TestServerOrder has the first server say no, fail, be silent or be gone.
func TestServerOrder(t *testing.T) {
	good := says(dns.RcodeSuccess, "@ 1 IN A 192.0.2.2")
	for name, first := range map[string]func(dns.ResponseWriter, *dns.Msg){
		"failing": says(dns.RcodeServerFailure),
		"lame":    says(dns.RcodeRefused),
		"silent":  func(dns.ResponseWriter, *dns.Msg) {},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, Options{})
			a, b := newUpstream(t, first), newUpstream(t, good)
			c := on("web", "red:127.1.0.1")
			c.Servers = []netip.AddrPort{a.at, b.at}
			r.set(c)
			for i := range maxLost + 2 {
				r.expect("127.1.0.1", fmt.Sprintf("%d.example", i), dns.TypeA, "NOERROR", "192.0.2.2")
			}
			if n := a.asked.Load(); name == "silent" && n > maxLost {
				t.Errorf("a silent server was asked first %d times", n)
			}
		})
	}
	t.Run("slow and right", func(t *testing.T) {
		r := newRig(t, Options{})
		a := newUpstream(t, func(w dns.ResponseWriter, m *dns.Msg) {
			time.Sleep(stagger + deference/4)
			says(dns.RcodeSuccess, "@ 1 IN A 10.1.2.3")(w, m)
		})
		b := newUpstream(t, says(dns.RcodeNameError))
		c := on("web", "red:127.1.0.1")
		c.Servers = []netip.AddrPort{a.at, b.at}
		r.set(c)
		r.expect("127.1.0.1", "intra.vpn", dns.TypeA, "NOERROR", "10.1.2.3")
		if b.asked.Load() == 0 {
			t.Error("the second server was not asked beside the slow one")
		}
	})
}

// TestHostChanges follows a resolv.conf that is rewritten, replaced, and reached by links that move.
func TestHostChanges(t *testing.T) {
	dir := t.TempDir()
	path := func(name string) string { return filepath.Join(dir, name) }
	for _, d := range []string{"run", "vpn"} {
		if err := os.Mkdir(path(d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	write := func(name, servers string) {
		t.Helper()
		var text strings.Builder
		for s := range strings.FieldsSeq(servers) {
			text.WriteString("nameserver " + s + "\n")
		}
		if err := os.WriteFile(path(name), []byte(text.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	link := func(target string) {
		t.Helper()
		if err := os.Symlink(target, path("new")); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(path("new"), path("resolv.conf")); err != nil {
			t.Fatal(err)
		}
	}
	h := &hostConf{path: path("resolv.conf"), port: 53}
	expect := func(wantChanged bool, want ...string) {
		t.Helper()
		servers, changed := h.current(time.Now())
		var got []string
		for _, s := range servers {
			got = append(got, s.Addr().String())
		}
		if !slices.Equal(got, want) || changed != wantChanged {
			t.Fatalf("servers are %v (changed: %v), want %v (%v)", got, changed, want, wantChanged)
		}
	}
	expect(false)
	write("run/stub", "127.0.0.53")
	link("run/stub")
	expect(true, "127.0.0.53")
	expect(false, "127.0.0.53")
	write("run/stub", "127.0.0.54") // same size, perhaps the same time
	expect(true, "127.0.0.54")
	write("vpn/conf", "10.8.0.1 fe80::1%eth0")
	link("vpn/conf")
	expect(true, "10.8.0.1", "fe80::1%eth0")
	write("vpn/conf", "") // who writes it is half-way
	expect(false, "10.8.0.1", "fe80::1%eth0")
	write("vpn/other", "10.8.0.2")
	if err := os.Rename(path("vpn/other"), path("vpn/conf")); err != nil {
		t.Fatal(err)
	}
	expect(true, "10.8.0.2")
	if err := os.RemoveAll(path("vpn")); err != nil {
		t.Fatal(err)
	}
	expect(true)
	link("run/stub")
	expect(true, "127.0.0.54")
}
