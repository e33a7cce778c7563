package resolver

import (
	"fmt"
	"testing"
	"time"

	"github.com/miekg/dns"
)

func answerOf(t testing.TB, rcode int, records ...string) answer {
	t.Helper()
	m := new(dns.Msg).SetRcode(new(dns.Msg).SetQuestion("example.", dns.TypeA), rcode)
	for _, text := range records {
		rr, err := dns.NewRR(text)
		if err != nil {
			t.Fatal(err)
		}
		if rr.Header().Rrtype == dns.TypeSOA {
			m.Ns = append(m.Ns, rr)
		} else {
			m.Answer = append(m.Answer, rr)
		}
	}
	a := newAnswer(m)
	if a.wire == nil {
		t.Fatal("the answer can't be packed")
	}
	return a
}

func TestLifetime(t *testing.T) {
	for _, c := range []struct {
		rcode   int
		records []string
		want    time.Duration
	}{
		{dns.RcodeSuccess, []string{"a. 60 IN A 192.0.2.1", "a. 30 IN A 192.0.2.2"}, 30 * time.Second},
		{dns.RcodeSuccess, []string{"a. 604800 IN A 192.0.2.1"}, maxTTL},
		{dns.RcodeSuccess, []string{"a. 0 IN A 192.0.2.1"}, 0},
		{dns.RcodeSuccess, []string{"a. 4294967295 IN A 192.0.2.1"}, 0},
		{dns.RcodeSuccess, nil, 0},
		{dns.RcodeSuccess, []string{"a. 60 IN SOA a. a. 1 1 1 1 20"}, 20 * time.Second},
		{dns.RcodeNameError, []string{"a. 20 IN SOA a. a. 1 1 1 1 60"}, 20 * time.Second},
		{dns.RcodeNameError, []string{"a. 86400 IN SOA a. a. 1 1 1 1 86400"}, maxNegative},
		{dns.RcodeNameError, []string{"a. 3600 IN CNAME b."}, 0},
		{dns.RcodeServerFailure, nil, failureTTL},
		{dns.RcodeRefused, nil, failureTTL},
	} {
		if got := answerOf(t, c.rcode, c.records...).ttl; got != c.want {
			t.Errorf("%s %q lives %v, want %v", dns.RcodeToString[c.rcode], c.records, got, c.want)
		}
	}
}

// TestCacheAge has records grow older, and end.
func TestCacheAge(t *testing.T) {
	var c cache
	c.init()
	k := key{name: "example"}
	a := answerOf(t, dns.RcodeSuccess, "example. 60 IN A 192.0.2.1")
	c.put(k, a, c.current())
	got, ok := c.get(k, a.at.Add(25*time.Second))
	if !ok {
		t.Fatal("it is gone before its time")
	}
	if m, err := got.message(a.at.Add(25 * time.Second)); err != nil || m.Answer[0].Header().Ttl != 35 {
		t.Errorf("after 25 of 60 seconds: %v, %v", m, err)
	}
	if _, ok := c.get(k, a.at.Add(60*time.Second)); ok || len(c.entries) != 0 || c.bytes != 0 {
		t.Errorf("after its time there are %d entries of %d bytes", len(c.entries), c.bytes)
	}
	before := c.current()
	c.flush()
	c.put(k, a, before)
	if len(c.entries) != 0 {
		t.Error("an answer of before a flush was kept after it")
	}
}

func TestCacheBounds(t *testing.T) {
	var c cache
	c.init()
	small := answerOf(t, dns.RcodeSuccess, "example. 60 IN A 192.0.2.1")
	first := key{name: "0"}
	for i := range maxEntries + 100 {
		c.put(key{name: fmt.Sprint(i)}, small, 0)
		c.get(first, small.at) // what is asked for stays
	}
	if _, ok := c.get(first, small.at); !ok || len(c.entries) != maxEntries || c.used.Len() != maxEntries {
		t.Errorf("%d entries, %d in order, the one in use is there: %v", len(c.entries), c.used.Len(), ok)
	}
	big := small
	big.wire = make([]byte, 60000)
	for i := range 200 {
		c.put(key{name: fmt.Sprint("big", i)}, big, 0)
	}
	if c.bytes > maxBytes {
		t.Errorf("%d bytes, more than %d", c.bytes, maxBytes)
	}
	c.flush()
	if c.bytes != 0 || len(c.entries) != 0 {
		t.Errorf("%d bytes and %d entries after a flush", c.bytes, len(c.entries))
	}
}
