package resolver

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/miekg/dns"
)

// FuzzPacket gives the server a client's packet: an answer is a message to that question, no longer than the client
// takes, and for strangers no longer than the question.
func FuzzPacket(f *testing.F) {
	s := New(Options{Conf: "/nonexistent"})
	s.SetNetwork(Network{Name: "red", Names: true, Domains: []string{"dns.podman"}, Subnets: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}})
	if err := s.SetContainer(on("web", "red:10.0.0.1 fd00::1")); err != nil {
		f.Fatal(err)
	}
	for _, name := range []string{"web", "web.dns.podman", "x.dns.podman", "example.com", "1.0.0.10.in-addr.arpa", `a\.b\000.`} {
		m := new(dns.Msg).SetQuestion(dns.Fqdn(name), dns.TypeA)
		plain, err := m.Pack()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(plain, true, false)
		m.SetEdns0(4096, true)
		m.IsEdns0().Option = append(m.IsEdns0().Option, &dns.EDNS0_COOKIE{Code: dns.EDNS0COOKIE, Cookie: "0123456789abcdef"})
		edns, err := m.Pack()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(edns, true, true)
		f.Add(edns, false, false)
	}
	f.Fuzz(func(t *testing.T, packet []byte, known, stream bool) {
		client := addr("10.9.9.9")
		if known {
			client = addr("10.0.0.1")
		}
		got, wait := s.answer(packet, client, stream)
		if wait != nil {
			t.Fatal("there is no upstream server to wait for")
		}
		if got == nil {
			return
		}
		var m dns.Msg
		if err := m.Unpack(got); err != nil {
			t.Fatalf("answer %x: %v", got, err)
		}
		if !m.Response || m.Id != uint16(packet[0])<<8|uint16(packet[1]) {
			t.Errorf("it is no answer to this: %v", &m)
		}
		if !stream && len(got) > maxPacket {
			t.Errorf("%d bytes", len(got))
		}
		if !known && len(got) > len(packet)+11 { // EDNS for a version that is not there
			t.Errorf("a stranger's %d bytes made %d", len(packet), len(got))
		}
	})
}

// FuzzUpstream gives the server what an upstream server, or somebody in its name, sent: a client gets a message.
func FuzzUpstream(f *testing.F) {
	question := new(dns.Msg).SetQuestion("example.com.", dns.TypeA)
	question.Id = 1
	for _, text := range []string{"example.com. 60 IN A 192.0.2.1", "example.com. 60 IN CNAME example.com.", `example.com. 1 IN HTTPS 1 . ipv4hint="192.0.2.1"`} {
		rr, err := dns.NewRR(text)
		if err != nil {
			f.Fatal(err)
		}
		m := new(dns.Msg).SetReply(question)
		m.Answer = []dns.RR{rr}
		m.SetEdns0(1232, true)
		b, err := m.Pack()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b, uint16(512))
		f.Add(b, uint16(1232))
	}
	f.Fuzz(func(t *testing.T, packet []byte, size uint16) {
		m, err := matching(packet, question)
		if err != nil {
			return
		}
		q := &query{id: 7, question: question.Question[0], name: "example.com", edns: size > 512, size: min(max(int(size), minPacket), maxPacket)}
		a := newAnswer(m)
		a.addresses(a.at)
		got := q.relay(a)
		var back dns.Msg
		if err := back.Unpack(got); err != nil {
			t.Fatalf("relayed %x: %v", got, err)
		}
		if len(got) > q.size || back.Id != 7 {
			t.Errorf("%d bytes of %d: %v", len(got), q.size, &back)
		}
	})
}

// FuzzReversed compares reverse names with the library's.
func FuzzReversed(f *testing.F) {
	for _, a := range []string{"10.0.0.1", "255.255.255.255", "fd00::1", "2001:db8:1234:5678:9abc:def0:1234:5678"} {
		name, err := dns.ReverseAddr(a)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(canonical(name))
	}
	f.Add("0.%" + strings.Repeat(".0", 30) + ".ip6.arpa")
	f.Fuzz(func(t *testing.T, name string) {
		a, ok := reversed(name)
		if !ok {
			return
		}
		back, err := dns.ReverseAddr(a.String())
		if err != nil {
			t.Fatal(err)
		}
		if a.Is4In6() { // the library takes these for IPv4
			return
		}
		if canonical(back) != canonical(name) {
			t.Errorf("%q is %v, whose name is %q", name, a, back)
		}
	})
}
