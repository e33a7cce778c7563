package resolver

import (
	"container/list"
	"net/netip"
	"sync"
	"time"

	"github.com/miekg/dns"
)

const (
	maxEntries = 4096
	maxBytes   = 4 << 20
	maxTTL     = time.Hour
	// maxNegative is for how long at most a name is taken not to exist.
	maxNegative = 5 * time.Minute
	// failureTTL is how long a failure is remembered, so that a storm does not go on upstream (RFC 9520).
	failureTTL = time.Second
)

// answer is an upstream server's answer. The zero answer is that there was none.
type answer struct {
	wire []byte // without EDNS
	at   time.Time
	ttl  time.Duration
}

// newAnswer takes over what an upstream server said, without what it said of itself.
func newAnswer(m *dns.Msg) answer {
	kept := m.Extra[:0]
	for _, rr := range m.Extra {
		switch rr.Header().Rrtype {
		case dns.TypeOPT, dns.TypeTSIG, dns.TypeSIG:
		default:
			kept = append(kept, rr)
		}
	}
	m.Extra = kept
	m.Rcode &= 0xf
	m.Compress = true
	a := answer{at: time.Now(), ttl: lifetime(m)}
	wire, err := m.Pack()
	if err != nil {
		return answer{}
	}
	a.wire = wire
	return a
}

// lifetime is for how long an answer may be given again.
func lifetime(m *dns.Msg) time.Duration {
	if m.Rcode != dns.RcodeSuccess && m.Rcode != dns.RcodeNameError {
		return failureTTL
	}
	if m.Truncated {
		return 0
	}
	least := maxTTL
	if len(m.Answer) == 0 || m.Rcode == dns.RcodeNameError {
		// RFC 2308, 5: without a SOA record nothing says for how long there is no such name.
		least = 0
		for _, rr := range m.Ns {
			if soa, ok := rr.(*dns.SOA); ok {
				least = min(seconds(soa.Hdr.Ttl), seconds(soa.Minttl), maxNegative)
			}
		}
	}
	for _, section := range [][]dns.RR{m.Answer, m.Ns, m.Extra} {
		for _, rr := range section {
			least = min(least, seconds(rr.Header().Ttl))
		}
	}
	return least
}

// seconds is a TTL as a duration; one with the highest bit set is none (RFC 2181, 8).
func seconds(ttl uint32) time.Duration {
	if ttl > 1<<31-1 {
		return 0
	}
	return time.Duration(ttl) * time.Second
}

// message is the answer as it is to be given now: its records have grown older.
func (a answer) message(now time.Time) (*dns.Msg, error) {
	m := new(dns.Msg)
	if err := m.Unpack(a.wire); err != nil {
		return nil, err
	}
	age := uint32(max(now.Sub(a.at), 0) / time.Second)
	for _, section := range [][]dns.RR{m.Answer, m.Ns, m.Extra} {
		for _, rr := range section {
			h := rr.Header()
			h.Ttl -= min(h.Ttl, age)
			h.Ttl = min(h.Ttl, uint32(maxTTL/time.Second))
		}
	}
	return m, nil
}

// addresses are those that a client learns from the answer, and for how long it may use them.
func (a answer) addresses(now time.Time) (all []netip.Addr, ttl time.Duration) {
	m, err := a.message(now)
	if err != nil { // nor is it given
		return nil, 0
	}
	ttl = maxTTL
	add := func(rr dns.RR, ip []byte) {
		if address, ok := netip.AddrFromSlice(ip); ok {
			all = append(all, address.Unmap())
			ttl = min(ttl, seconds(rr.Header().Ttl))
		}
	}
	for _, rr := range append(m.Answer, m.Extra...) {
		switch rr := rr.(type) {
		case *dns.A:
			add(rr, rr.A)
		case *dns.AAAA:
			add(rr, rr.AAAA)
		case *dns.HTTPS:
			hints(&rr.SVCB, add)
		case *dns.SVCB:
			hints(rr, add)
		}
	}
	return all, ttl
}

// hints are the addresses that a service's record tells in advance (RFC 9460, 7.3).
func hints(rr *dns.SVCB, add func(dns.RR, []byte)) {
	for _, value := range rr.Value {
		switch v := value.(type) {
		case *dns.SVCBIPv4Hint:
			for _, ip := range v.Hint {
				add(rr, ip)
			}
		case *dns.SVCBIPv6Hint:
			for _, ip := range v.Hint {
				add(rr, ip)
			}
		}
	}
}

// relay gives an upstream answer to a client.
func (q *query) relay(a answer) []byte {
	if a.wire == nil {
		return q.fail(dns.ExtendedErrorCodeNetworkError, "no upstream name server answers")
	}
	m, err := a.message(time.Now())
	if err != nil {
		return q.fail(dns.ExtendedErrorCodeOther, "the upstream name server's answer is malformed")
	}
	r := q.reply(m.Rcode)
	r.AuthenticatedData = m.AuthenticatedData
	r.Answer, r.Ns, r.Extra = m.Answer, m.Ns, m.Extra
	return q.pack(r)
}

// cache holds upstream answers, the ones asked for last.
type cache struct {
	mu         sync.Mutex
	entries    map[key]*list.Element
	used       *list.List // of *entry, last used first
	bytes      int
	generation int
}

type entry struct {
	key    key
	answer answer
}

// size is about what an entry takes of memory.
func (e *entry) size() int { return len(e.answer.wire) + 2*len(e.key.name) + 256 }

func (c *cache) init() {
	c.entries, c.used = map[key]*list.Element{}, list.New()
}

func (c *cache) get(k key, now time.Time) (answer, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	element := c.entries[k]
	if element == nil {
		return answer{}, false
	}
	e := element.Value.(*entry)
	if !now.Before(e.answer.at.Add(e.answer.ttl)) {
		c.remove(element)
		return answer{}, false
	}
	c.used.MoveToFront(element)
	return e.answer, true
}

// current is what put is to be told: an answer asked for before a flush is not kept after it.
func (c *cache) current() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.generation
}

func (c *cache) put(k key, a answer, generation int) {
	if a.wire == nil {
		a.at, a.ttl = time.Now(), failureTTL
	}
	if a.ttl <= 0 {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if generation != c.generation {
		return
	}
	if old := c.entries[k]; old != nil {
		c.remove(old)
	}
	e := &entry{k, a}
	c.entries[k] = c.used.PushFront(e)
	c.bytes += e.size()
	for len(c.entries) > maxEntries || c.bytes > maxBytes {
		c.remove(c.used.Back())
	}
}

func (c *cache) remove(element *list.Element) {
	e := c.used.Remove(element).(*entry)
	delete(c.entries, e.key)
	c.bytes -= e.size()
}

func (c *cache) flush() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.generation++
	c.entries, c.bytes = map[key]*list.Element{}, 0
	c.used.Init()
}
