package resolver

import (
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// only is a Policy that knows one name, and notes what it was told.
type only struct {
	name     string
	withhold bool
	mu       sync.Mutex
	opened   []string
}

func (p *only) Ask(name string, qtype uint16) bool { return name == p.name }

func (p *only) Answer(name string, addresses []netip.Addr, ttl time.Duration) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.opened = append(p.opened, fmt.Sprint(name, " ", addresses, " ", ttl))
	return !p.withhold
}

func (p *only) deny() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.withhold = true
}

func (p *only) told() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.opened)
}

// refusals are those that a server reported.
type refusals struct {
	mu  sync.Mutex
	all []string
}

func (r *refusals) add(x Refusal) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.all = append(r.all, fmt.Sprint(x.Container[:4], " ", x.Client, " ", x.Name, " ", x.Type))
}

func (r *refusals) count() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.all)
}

func (r *refusals) expect(t *testing.T, want ...string) {
	t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	if !slices.Equal(r.all, want) {
		t.Errorf("refused is %q, want %q", r.all, want)
	}
}

func TestPolicy(t *testing.T) {
	var refused refusals
	r := newRig(t, Options{Refused: refused.add})
	u := newUpstream(t, func(w dns.ResponseWriter, m *dns.Msg) {
		switch m.Question[0].Qtype {
		case dns.TypeHTTPS:
			says(dns.RcodeSuccess, `@ 30 IN HTTPS 1 . alpn="h2" ipv4hint="192.0.2.7" ipv6hint="2001:db8::7"`)(w, m)
		default:
			says(dns.RcodeSuccess, "@ 300 IN CNAME cdn.example.", "cdn.example. 60 IN A 192.0.2.1", "cdn.example. 90 IN A 192.0.2.2")(w, m)
		}
	})
	r.names(u)
	p := &only{name: "good.example"}
	c := on("box", "red:127.1.0.1")
	c.Policy = p
	r.set(c)
	r.set(on("free", "red:127.1.0.2"))

	r.expect("127.1.0.1", "free", dns.TypeA, "NOERROR", "127.1.0.2") // its networks are no egress
	r.expect("127.1.0.1", "secret.evil.example", dns.TypeA, "NXDOMAIN")
	if n := u.asked.Load(); n != 0 {
		t.Fatalf("a refused name was asked upstream %d times", n)
	}
	for range 2 { // from upstream, then from the cache
		r.expect("127.1.0.1", "Good.example", dns.TypeA, "NOERROR", "cdn.example.", "192.0.2.1", "192.0.2.2")
	}
	if code, _ := r.ask("127.1.0.1", "good.example", dns.TypeHTTPS); code != "NOERROR" {
		t.Errorf("HTTPS: %s", code)
	}
	want := []string{
		"good.example [192.0.2.1 192.0.2.2] 1m0s", "good.example [192.0.2.1 192.0.2.2] 1m0s", "good.example [192.0.2.7 2001:db8::7] 30s",
	}
	if told := p.told(); !slices.Equal(told, want) {
		t.Errorf("the policy was told %q, want %q", told, want)
	}
	p.deny()
	r.expect("127.1.0.1", "good.example", dns.TypeA, "NXDOMAIN")
	r.expect("127.1.0.2", "good.example", dns.TypeA, "NOERROR", "cdn.example.", "192.0.2.1", "192.0.2.2")
	id := c.ID[:4]
	refused.expect(t, id+" 127.1.0.1 secret.evil.example A", id+" 127.1.0.1 good.example A")
	// A storm of refusals is told of in part.
	before := refused.count()
	start := time.Now()
	const storm = 200
	for range storm {
		r.ask("127.1.0.1", "evil.example", dns.TypeA)
	}
	seconds := int(time.Since(start)/time.Second) + 2
	if n := refused.count() - before; n == 0 || n > min(seconds*maxRefusals, storm) {
		t.Errorf("of %d refusals in %d seconds %d were told of", storm, seconds, n)
	}
	m := new(dns.Msg).SetQuestion("evil.example.", dns.TypeA).SetEdns0(1232, false)
	a := r.exchange("udp", "127.1.0.1", m)
	if opt := a.IsEdns0(); opt == nil || len(opt.Option) != 1 || opt.Option[0].Option() != dns.EDNS0EDE {
		t.Errorf("no reason is given: %v", a)
	}
}
