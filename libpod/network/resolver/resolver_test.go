package resolver

import (
	"context"
	"crypto/sha256"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/miekg/dns"
)

func addr(s string) netip.Addr { return netip.MustParseAddr(s) }

// listen makes a network's sockets on a loopback address, UDP and TCP on the same port.
func listen(t testing.TB, ip string) (*net.UDPConn, *net.TCPListener, netip.AddrPort) {
	t.Helper()
	for range 20 {
		u, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.ParseIP(ip)})
		if err != nil {
			t.Skipf("listening on %s: %v", ip, err)
		}
		at := addrPort(u.LocalAddr())
		l, err := net.ListenTCP("tcp", net.TCPAddrFromAddrPort(at))
		if err == nil {
			return u, l, at
		}
		u.Close()
	}
	t.Fatalf("no port of %s is free for both UDP and TCP", ip)
	return nil, nil, netip.AddrPort{}
}

// upstream is a name server with a handler, asked is how many queries it got.
type upstream struct {
	at    netip.AddrPort
	asked atomic.Int32
	last  atomic.Pointer[dns.Msg]
}

func newUpstream(t testing.TB, handle func(w dns.ResponseWriter, m *dns.Msg)) *upstream {
	t.Helper()
	c, l, at := listen(t, "127.0.0.1")
	u := &upstream{at: at}
	handler := dns.HandlerFunc(func(w dns.ResponseWriter, m *dns.Msg) {
		u.asked.Add(1)
		u.last.Store(m)
		handle(w, m)
	})
	for _, s := range []*dns.Server{{PacketConn: c, Handler: handler}, {Listener: l, Handler: handler}} {
		started := make(chan struct{})
		s.NotifyStartedFunc = func() { close(started) }
		go s.ActivateAndServe()
		<-started
		t.Cleanup(func() { s.Shutdown() })
	}
	return u
}

// says answers every query with records, whose names may be "@" for the question's.
func says(rcode int, records ...string) func(dns.ResponseWriter, *dns.Msg) {
	return func(w dns.ResponseWriter, m *dns.Msg) {
		r := new(dns.Msg).SetRcode(m, rcode)
		for _, text := range records {
			rr, err := dns.NewRR(strings.ReplaceAll(text, "@", m.Question[0].Name))
			if err != nil {
				panic(err)
			}
			if rr.Header().Rrtype == dns.TypeSOA {
				r.Ns = append(r.Ns, rr)
			} else {
				r.Answer = append(r.Answer, rr)
			}
		}
		w.WriteMsg(r)
	}
}

// rig is a server on one loopback address, with clients on others.
type rig struct {
	*Server
	t    testing.TB
	at   netip.AddrPort
	conf string
}

func newRig(t testing.TB, o Options) *rig {
	t.Helper()
	if o.Conf == "" {
		o.Conf = filepath.Join(t.TempDir(), "resolv.conf")
	}
	s := New(o)
	u, l, at := listen(t, "127.0.0.1")
	s.SetNetwork(Network{Name: "red", Names: true, Subnets: []netip.Prefix{netip.MustParsePrefix("127.1.0.0/16")}})
	s.SetNetwork(Network{Name: "blue", Names: true, Subnets: []netip.Prefix{netip.MustParsePrefix("127.2.0.0/16")}})
	if err := s.Serve("red", []*net.UDPConn{u}, []*net.TCPListener{l}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := s.Close(ctx); err != nil {
			t.Error(err)
		}
	})
	return &rig{s, t, at, o.Conf}
}

func (r *rig) set(c Container) {
	r.t.Helper()
	if err := r.SetContainer(c); err != nil {
		r.t.Fatal(err)
	}
}

// on makes a container on networks, "red:127.1.0.1 127.1.0.2".
func on(name string, places ...string) Container {
	c := Container{ID: fmt.Sprintf("%x", sha256.Sum256([]byte(name))), Name: name}
	for _, p := range places {
		network, addresses, _ := strings.Cut(p, ":")
		e := Endpoint{Network: network}
		for _, a := range strings.Fields(addresses) {
			e.Addresses = append(e.Addresses, addr(a))
		}
		c.Endpoints = append(c.Endpoints, e)
	}
	return c
}

// exchange asks from an address of a client.
func (r *rig) exchange(network, from string, m *dns.Msg) *dns.Msg {
	r.t.Helper()
	var local net.Addr = &net.UDPAddr{IP: net.ParseIP(from)}
	if network == "tcp" {
		local = &net.TCPAddr{IP: net.ParseIP(from)}
	}
	c := dns.Client{Net: network, Timeout: 10 * time.Second, Dialer: &net.Dialer{LocalAddr: local}, UDPSize: 4096}
	a, _, err := c.Exchange(m, r.at.String())
	if err != nil {
		r.t.Fatalf("asking %v from %s by %s: %v", m.Question, from, network, err)
	}
	return a
}

// ask is the answer's code and its records' values, by UDP.
func (r *rig) ask(from, name string, qtype uint16) (string, []string) {
	r.t.Helper()
	a := r.exchange("udp", from, new(dns.Msg).SetQuestion(dns.Fqdn(name), qtype))
	var values []string
	for _, rr := range a.Answer {
		values = append(values, strings.TrimPrefix(rr.String(), rr.Header().String()))
	}
	return dns.RcodeToString[a.Rcode], values
}

func (r *rig) expect(from, name string, qtype uint16, rcode string, values ...string) {
	r.t.Helper()
	gotCode, got := r.ask(from, name, qtype)
	if gotCode != rcode || !slices.Equal(got, values) {
		r.t.Errorf("%s asks for %s %s: %s %q, want %s %q", from, name, dns.TypeToString[qtype], gotCode, got, rcode, values)
	}
}

// names writes the host's resolv.conf.
func (r *rig) names(servers ...*upstream) {
	r.t.Helper()
	var text string
	for _, u := range servers {
		text += "nameserver " + u.at.Addr().String() + "\n"
		r.forward.conf.port = u.at.Port()
	}
	if err := os.WriteFile(r.conf, []byte(text), 0o644); err != nil {
		r.t.Fatal(err)
	}
}

func TestNames(t *testing.T) {
	r := newRig(t, Options{})
	web := on("web", "red:127.1.0.1 fd00::1")
	web.Endpoints[0].Aliases = []string{"www", "Site.Example."}
	r.set(web)
	db := on("db", "red:127.1.0.2", "blue:127.2.0.2")
	db.Hosts = map[string][]netip.Addr{"Host.docker.internal": {addr("127.1.0.254")}}
	r.set(db)
	r.set(on("blue1", "blue:127.2.0.1"))
	r.SetNetwork(Network{Name: "red", Names: true, Domains: []string{"dns.podman"},
		Subnets: []netip.Prefix{netip.MustParsePrefix("127.1.0.0/16"), netip.MustParsePrefix("fd00::/64")}})
	const a, aaaa, ptr = dns.TypeA, dns.TypeAAAA, dns.TypePTR
	for _, c := range []struct {
		from, name string
		qtype      uint16
		rcode      string
		values     []string
	}{
		{"127.1.0.2", "web", a, "NOERROR", []string{"127.1.0.1"}},
		{"127.1.0.2", "WEB", a, "NOERROR", []string{"127.1.0.1"}},
		{"127.1.0.2", "web", aaaa, "NOERROR", []string{"fd00::1"}},
		{"127.1.0.2", "web", dns.TypeMX, "NOERROR", nil},
		{"127.1.0.2", "web", dns.TypeANY, "NOERROR", []string{"127.1.0.1", "fd00::1"}},
		{"127.1.0.1", "db", aaaa, "NOERROR", nil}, // it has none, but there is such a name
		{"127.1.0.2", "www", a, "NOERROR", []string{"127.1.0.1"}},
		{"127.1.0.2", "site.example", a, "NOERROR", []string{"127.1.0.1"}},
		{"127.1.0.2", web.ID[:12], a, "NOERROR", []string{"127.1.0.1"}},
		{"127.1.0.2", "web.red", a, "NOERROR", []string{"127.1.0.1"}},
		{"127.1.0.2", "web.dns.podman", a, "NOERROR", []string{"127.1.0.1"}},
		{"127.1.0.2", "web.red.dns.podman", a, "NOERROR", []string{"127.1.0.1"}},
		{"127.1.0.2", "nobody.dns.podman", a, "NXDOMAIN", nil},
		{"127.1.0.2", "dns.podman", a, "NOERROR", nil},
		{"127.1.0.1", "db", a, "NOERROR", []string{"127.1.0.2"}},
		{"127.2.0.1", "db", a, "NOERROR", []string{"127.2.0.2"}},
		{"127.1.0.2", "db", a, "NOERROR", []string{"127.1.0.2"}}, // of two networks the first
		{"127.1.0.2", "db.blue", a, "NOERROR", []string{"127.2.0.2"}},
		{"127.1.0.2", "host.docker.internal", a, "NOERROR", []string{"127.1.0.254"}},
		{"127.2.0.1", "host.docker.internal", a, "NXDOMAIN", nil}, // of another container
		{"127.1.0.2", "localhost", a, "NOERROR", []string{"127.0.0.1"}},
		{"127.1.0.2", "1.0.1.127.in-addr.arpa", ptr, "NOERROR", []string{"web.red."}},
		{"127.1.0.2", "1.0.1.127.in-addr.arpa", a, "NOERROR", nil},
		{"127.1.0.2", "1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.D.F.ip6.arpa", ptr, "NOERROR", []string{"web.red."}},
		// Isolation: neither names nor addresses of networks that one is not on, and nothing for strangers.
		{"127.2.0.1", "web", a, "SERVFAIL", nil},
		{"127.2.0.1", "web.red", a, "SERVFAIL", nil},
		{"127.2.0.1", "db.red", a, "SERVFAIL", nil},
		{"127.1.0.1", "blue1", a, "SERVFAIL", nil},
		{"127.1.0.2", "9.9.1.127.in-addr.arpa", ptr, "NXDOMAIN", nil},
		{"127.2.0.1", "1.0.1.127.in-addr.arpa", ptr, "NOERROR", []string{"localhost."}},
		{"127.9.0.1", "web", a, "REFUSED", nil},
	} {
		r.expect(c.from, c.name, c.qtype, c.rcode, c.values...)
	}
}
