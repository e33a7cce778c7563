package resolver

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// connect is a client's socket for packets that no library would send.
func (r *rig) connect(network, from string) net.Conn {
	r.t.Helper()
	var local net.Addr = &net.UDPAddr{IP: net.ParseIP(from)}
	if network == "tcp" {
		local = &net.TCPAddr{IP: net.ParseIP(from)}
	}
	c, err := (&net.Dialer{LocalAddr: local}).Dial(network, r.at.String())
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(20 * time.Second))
	return c
}

func packed(t testing.TB, name string, qtype uint16) []byte {
	t.Helper()
	b, err := new(dns.Msg).SetQuestion(dns.Fqdn(name), qtype).Pack()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestStream sends several queries at once and gets as many answers, in pieces as small as TCP makes them.
func TestStream(t *testing.T) {
	r := newRig(t, Options{})
	r.set(on("web", "red:127.1.0.1"))
	c := r.connect("tcp", "127.1.0.1")
	var all bytes.Buffer
	for range 3 {
		if err := writeFrame(&all, packed(t, "web", dns.TypeA)); err != nil {
			t.Fatal(err)
		}
	}
	half := all.Len()/2 + 1
	for _, part := range [][]byte{all.Bytes()[:1], all.Bytes()[1:half], all.Bytes()[half:]} {
		if _, err := c.Write(part); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Millisecond)
	}
	for i := range 3 {
		if _, err := readFrame(c); err != nil {
			t.Fatalf("answer %d: %v", i, err)
		}
	}
}

// TestStreamLimits has a container that opens all the connections it can: others still get theirs, strangers none.
func TestStreamLimits(t *testing.T) {
	r := newRig(t, Options{})
	r.set(on("web", "red:127.1.0.1"))
	r.set(on("greedy", "red:127.1.0.2"))
	served := func(c net.Conn) bool {
		if err := writeFrame(c, packed(t, "web", dns.TypeA)); err != nil {
			return false
		}
		_, err := readFrame(c)
		return err == nil
	}
	for i := range maxStreamsPerClient {
		if !served(r.connect("tcp", "127.1.0.2")) {
			t.Fatalf("connection %d was refused", i)
		}
	}
	if served(r.connect("tcp", "127.1.0.2")) {
		t.Errorf("one container has more than %d connections", maxStreamsPerClient)
	}
	if !served(r.connect("tcp", "127.1.0.1")) {
		t.Error("another container has none")
	}
	if served(r.connect("tcp", "127.9.0.1")) {
		t.Error("a stranger has one")
	}
}

// TestHostile sends what is no query; what follows it is answered.
func TestHostile(t *testing.T) {
	r := newRig(t, Options{})
	r.set(on("web", "red:127.1.0.1"))
	good := packed(t, "web", dns.TypeA)
	change := func(f func(b []byte)) []byte {
		b := bytes.Clone(good)
		f(b)
		return b
	}
	axfr := packed(t, "web", dns.TypeAXFR)
	chaos := change(func(b []byte) { b[len(b)-1] = dns.ClassCHAOS })
	badvers := new(dns.Msg).SetQuestion("web.", dns.TypeA).SetEdns0(1232, false)
	badvers.IsEdns0().SetVersion(1)
	version, err := badvers.Pack()
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name   string
		packet []byte
		rcode  int // -1: no answer
	}{
		{"empty", nil, -1},
		{"short", good[:11], -1},
		{"answer", change(func(b []byte) { b[2] |= 0x80 }), -1},
		{"update", change(func(b []byte) { b[2] |= dns.OpcodeUpdate << 3 }), dns.RcodeNotImplemented},
		{"no question", good[:12], dns.RcodeFormatError},
		{"two questions", change(func(b []byte) { b[5] = 2 }), dns.RcodeFormatError},
		{"65535 answers", change(func(b []byte) { b[6], b[7] = 255, 255 }), dns.RcodeFormatError},
		{"pointer to itself", change(func(b []byte) { b[12], b[13] = 0xc0, 12 }), dns.RcodeFormatError},
		{"cut", good[:len(good)-1], dns.RcodeFormatError},
		{"too long", append(bytes.Clone(good), make([]byte, maxQuery)...), dns.RcodeSuccess},
		{"transfer", axfr, dns.RcodeNotImplemented},
		{"chaos", chaos, dns.RcodeRefused},
		{"EDNS 1", version, dns.RcodeBadVers},
	} {
		t.Run(c.name, func(t *testing.T) {
			u := r.connect("udp", "127.1.0.1")
			if _, err := u.Write(c.packet); err != nil {
				t.Fatal(err)
			}
			if c.rcode < 0 { // what answers is the query after it
				if _, err := u.Write(good); err != nil {
					t.Fatal(err)
				}
			}
			buf := make([]byte, 4096)
			n, err := u.Read(buf)
			if err != nil {
				t.Fatal(err)
			}
			var m dns.Msg
			if err := m.Unpack(buf[:n]); err != nil {
				t.Fatal(err)
			}
			if m.Rcode != max(c.rcode, 0) || c.rcode > 0 && n > max(len(c.packet), headerSize) {
				t.Errorf("answer of %d bytes to %d: %v", n, len(c.packet), &m)
			}
		})
	}
	r.expect("127.1.0.1", "web", dns.TypeA, "NOERROR", "127.1.0.1")
}

// TestStorm asks for more names at once than may wait, of a server that says nothing: all are refused in the end, their
// goroutines are few, and names of containers are answered meanwhile.
func TestStorm(t *testing.T) {
	r := newRig(t, Options{})
	silent := newUpstream(t, func(dns.ResponseWriter, *dns.Msg) {})
	r.names(silent)
	r.forward.patience = 300 * time.Millisecond
	r.set(on("web", "red:127.1.0.1"))
	r.set(on("mad", "red:127.1.0.2"))
	before := runtime.NumGoroutine()
	c := r.connect("udp", "127.1.0.2").(*net.UDPConn)
	go func() {
		for i := range 5000 {
			c.Write(packed(t, fmt.Sprintf("%d.example", i), dns.TypeA))
		}
	}()
	most := 0
	for i := range 200 {
		// By TCP: what one client sends can crowd out the packets of another before anybody reads them.
		if a := r.exchange("tcp", "127.1.0.1", new(dns.Msg).SetQuestion("web.", dns.TypeA)); len(a.Answer) != 1 {
			t.Fatalf("web is %v", a)
		}
		most = max(most, runtime.NumGoroutine())
		if i%10 == 0 {
			time.Sleep(time.Millisecond)
		}
	}
	// Each waits in a goroutine; those that resolve have another one in ask.
	if limit := before + maxWaitingPerOne + 4*maxResolvingPerOne; most > limit {
		t.Errorf("%d goroutines, want at most %d", most, limit)
	}
	if n := silent.asked.Load(); n == 0 {
		t.Error("nothing was asked")
	}
}

// TestOneQuestion has a hundred clients ask the same at once: upstream hears it once.
func TestOneQuestion(t *testing.T) {
	r := newRig(t, Options{})
	release := make(chan struct{})
	u := newUpstream(t, func(w dns.ResponseWriter, m *dns.Msg) {
		<-release
		says(dns.RcodeSuccess, "@ 60 IN A 192.0.2.1")(w, m)
	})
	r.names(u)
	var wg sync.WaitGroup
	for i := range 100 {
		ip := fmt.Sprintf("127.1.1.%d", i)
		r.set(on(fmt.Sprintf("c%d", i), "red:"+ip))
		wg.Go(func() { r.expect(ip, "example.com", dns.TypeA, "NOERROR", "192.0.2.1") })
	}
	for r.forward.load.waiting.Load() < 100 {
		time.Sleep(time.Millisecond)
	}
	close(release)
	wg.Wait()
	if n := u.asked.Load(); n != 1 {
		t.Errorf("upstream was asked %d times", n)
	}
}

// TestCircle has a container serve the host's names, which asks us for what it is asked.
func TestCircle(t *testing.T) {
	r := newRig(t, Options{})
	r.forward.patience = 500 * time.Millisecond
	r.set(on("web", "red:127.1.0.1"))
	r.set(on("pihole", "red:127.1.0.2"))
	u := newUpstream(t, func(w dns.ResponseWriter, m *dns.Msg) {
		c := dns.Client{Timeout: 5 * time.Second, Dialer: &net.Dialer{LocalAddr: &net.UDPAddr{IP: net.ParseIP("127.1.0.2")}}}
		if a, _, err := c.Exchange(m.Copy(), r.at.String()); err == nil {
			a.Id = m.Id
			w.WriteMsg(a)
		}
	})
	r.names(u)
	r.expect("127.1.0.1", "example.com", dns.TypeA, "SERVFAIL")
	if n := u.asked.Load(); n > 2 {
		t.Errorf("the circle went round %d times", n)
	}
	// Nor do we ask ourselves.
	c := on("web", "red:127.1.0.1")
	c.Servers = []netip.AddrPort{r.at}
	r.set(c)
	r.expect("127.1.0.1", "example.org", dns.TypeA, "SERVFAIL")
}

// TestTurn counts who comes first of three that share a name.
func TestTurn(t *testing.T) {
	r := newRig(t, Options{})
	for i := 1; i <= 3; i++ {
		c := on(fmt.Sprintf("web-%d", i), fmt.Sprintf("red:127.1.0.%d", i))
		c.Endpoints[0].Aliases = []string{"web"}
		r.set(c)
	}
	first := map[string]int{}
	for range 9 {
		_, values := r.ask("127.1.0.1", "web", dns.TypeA)
		if len(values) != 3 {
			t.Fatalf("web is %v", values)
		}
		first[values[0]]++
	}
	for _, a := range []string{"127.1.0.1", "127.1.0.2", "127.1.0.3"} {
		if first[a] != 3 {
			t.Errorf("of 9 times %s came first %d times", a, first[a])
		}
	}
	r.RemoveContainer(on("web-2").ID)
	if _, values := r.ask("127.1.0.1", "web", dns.TypeA); len(values) != 2 {
		t.Errorf("web is %v when one of three is gone", values)
	}
}

func TestTables(t *testing.T) {
	r := newRig(t, Options{})
	r.set(on("web", "red:127.1.0.1"))
	if err := r.SetContainer(on("thief", "red:127.1.0.1")); err == nil || !strings.Contains(err.Error(), "container web") {
		t.Errorf("an address twice: %v", err)
	}
	renamed := on("web", "red:127.1.0.1")
	renamed.Name = "shop"
	renamed.Links = map[string]string{"DB": "mysql"}
	r.set(renamed)
	r.set(on("mysql", "red:127.1.0.2"))
	r.expect("127.1.0.1", "shop", dns.TypeA, "NOERROR", "127.1.0.1")
	r.expect("127.1.0.1", "web", dns.TypeA, "SERVFAIL")
	r.expect("127.1.0.1", "db", dns.TypeA, "NOERROR", "127.1.0.2")
	r.expect("127.1.0.2", "db", dns.TypeA, "SERVFAIL") // its own link only
	// A network may come after its containers, as when tables are filled anew.
	r.set(on("late", "green:127.4.0.1"))
	r.SetNetwork(Network{Name: "green", Names: true})
	r.expect("127.4.0.1", "late", dns.TypeA, "NOERROR", "127.4.0.1")
	r.RemoveContainer(on("late").ID)
	r.RemoveContainer("unknown")
	r.RemoveNetwork("unknown")
	r.expect("127.4.0.1", "late", dns.TypeA, "REFUSED")
	if len(r.table.clients) != 2 || len(r.table.containers) != 2 {
		t.Errorf("%d clients and %d containers are left, want 2", len(r.table.clients), len(r.table.containers))
	}
}

// TestChanges asks while everything changes; the race detector watches.
func TestChanges(t *testing.T) {
	r := newRig(t, Options{})
	r.set(on("client", "red:127.1.0.9"))
	stop := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			default:
			}
			c := on("web", fmt.Sprintf("red:127.1.0.%d", 1+i%2))
			if err := r.SetContainer(c); err != nil {
				t.Error(err)
			}
			r.SetNetwork(Network{Name: "red", Names: true})
			if i%7 == 0 {
				r.RemoveContainer(c.ID)
				r.SetContainer(c)
			}
			r.Flush()
		}
	})
	for range 300 {
		code, values := r.ask("127.1.0.9", "web.red", dns.TypeA)
		if code == "NOERROR" && len(values) != 1 {
			t.Fatalf("half a change was seen: %v", values)
		}
	}
	close(stop)
	wg.Wait()
}

// TestSuccessor closes a server under load, with another one on duplicates of its sockets: no query is lost, nor what
// was sent while nobody read.
func TestSuccessor(t *testing.T) {
	u, l, at := listen(t, "127.0.0.1")
	duplicate := func() (*net.UDPConn, *net.TCPListener) {
		t.Helper()
		uf, err := u.File()
		if err != nil {
			t.Fatal(err)
		}
		defer uf.Close()
		p, err := net.FilePacketConn(uf)
		if err != nil {
			t.Fatal(err)
		}
		lf, err := l.File()
		if err != nil {
			t.Fatal(err)
		}
		defer lf.Close()
		s, err := net.FileListener(lf)
		if err != nil {
			t.Fatal(err)
		}
		return p.(*net.UDPConn), s.(*net.TCPListener)
	}
	slow := newUpstream(t, func(w dns.ResponseWriter, m *dns.Msg) {
		time.Sleep(50 * time.Millisecond)
		says(dns.RcodeSuccess, "@ 0 IN A 192.0.2.1")(w, m)
	})
	serve := func() *Server {
		s := New(Options{Conf: "/nonexistent"})
		s.SetNetwork(Network{Name: "red", Names: true})
		c := on("web", "red:127.1.0.1")
		c.Servers = []netip.AddrPort{slow.at}
		if err := s.SetContainer(c); err != nil {
			t.Fatal(err)
		}
		p, q := duplicate()
		if err := s.Serve("red", []*net.UDPConn{p}, []*net.TCPListener{q}); err != nil {
			t.Fatal(err)
		}
		return s
	}
	var asked, failed atomic.Int32
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			network, name := "udp", "web."
			var local net.Addr = &net.UDPAddr{IP: net.ParseIP("127.1.0.1")}
			if i%4 == 0 {
				network, local = "tcp", &net.TCPAddr{IP: net.ParseIP("127.1.0.1")}
			}
			for n := 0; ; n++ {
				select {
				case <-stop:
					return
				default:
				}
				if i%2 == 0 {
					name = fmt.Sprintf("%d-%d.example.", i, n)
				}
				c := dns.Client{Net: network, Timeout: 10 * time.Second, Dialer: &net.Dialer{LocalAddr: local}}
				asked.Add(1)
				a, _, err := c.Exchange(new(dns.Msg).SetQuestion(name, dns.TypeA), at.String())
				if err != nil || len(a.Answer) != 1 {
					failed.Add(1)
					t.Errorf("%s by %s: %v %v", name, network, err, a)
				}
			}
		})
	}
	s := serve()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	for i := range 6 {
		for before := asked.Load(); asked.Load() < before+20; {
			time.Sleep(time.Millisecond)
		}
		if i%2 == 0 { // both at once, then with a gap
			next := serve()
			if err := s.Close(ctx); err != nil {
				t.Error(err)
			}
			s = next
			continue
		}
		if err := s.Close(ctx); err != nil {
			t.Error(err)
		}
		time.Sleep(20 * time.Millisecond)
		s = serve()
	}
	close(stop)
	wg.Wait()
	t.Logf("%d queries, %d lost", asked.Load(), failed.Load())
	if err := s.Close(ctx); err != nil {
		t.Error(err)
	}
	if err := s.Serve("red", nil, nil); !errors.Is(err, ErrClosed) {
		t.Errorf("serving when closed: %v", err)
	}
}

// TestStreamEnds does not keep a connection whose client stops in the middle of a query.
func TestStreamEnds(t *testing.T) {
	r := newRig(t, Options{})
	r.set(on("web", "red:127.1.0.1"))
	c := r.connect("tcp", "127.1.0.1")
	if err := binary.Write(c, binary.BigEndian, uint16(100)); err != nil {
		t.Fatal(err)
	}
	if err := c.(*net.TCPConn).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if b, err := io.ReadAll(c); err != nil || len(b) > 0 {
		t.Errorf("half a query got %q, %v", b, err)
	}
}
