package resolver

import (
	"context"
	"net"
	"net/netip"
	"strings"
	"sync"
	"time"

	"github.com/miekg/dns"
)

const (
	// patience is for how long upstream servers are waited for: less than the 5 seconds after which clients of glibc and
	// musl ask again.
	patience = 4 * time.Second
)

// forwarder asks upstream servers what is not ours, each question once at a time.
type forwarder struct {
	inside   Dialer
	outside  Dialer
	patience time.Duration
	conf     hostConf
	cache    cache
	load     *load

	mu      sync.Mutex
	flights map[key]*flight
	own     map[netip.AddrPort]int    // where we listen ourselves
	health  map[netip.AddrPort]health // of servers that failed
}

// flight is a question that is being asked.
type flight struct {
	done   chan struct{}
	answer answer
}

// key is all of a question that an upstream answer depends on.
type key struct {
	servers string
	name    string
	qtype   uint16
	flags   uint8
}

func (f *forwarder) init(o Options) {
	f.inside, f.outside, f.patience = o.Inside, dial, patience
	f.conf.path, f.conf.port = o.Conf, 53
	f.cache.init()
	f.load = newLoad(maxWaiting, maxResolving)
	f.flights = map[key]*flight{}
	f.own = map[netip.AddrPort]int{}
	f.health = map[netip.AddrPort]health{}
}

func dial(ctx context.Context, network string, address netip.AddrPort) (net.Conn, error) {
	return new(net.Dialer).DialContext(ctx, network, address.String())
}

func (f *forwarder) addOwn(a net.Addr) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.own[addrPort(a)]++
}

func (f *forwarder) removeOwn(a net.Addr) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if p := addrPort(a); f.own[p] > 1 {
		f.own[p]--
	} else {
		delete(f.own, p)
	}
}

// addrPort is the address of an internet socket.
func addrPort(a net.Addr) netip.AddrPort {
	if a, ok := a.(interface{ AddrPort() netip.AddrPort }); ok {
		p := a.AddrPort()
		return netip.AddrPortFrom(p.Addr().Unmap().WithZone(""), p.Port())
	}
	return netip.AddrPort{}
}

// upstream are the servers of a route without ourselves, and how the cache knows them.
func (f *forwarder) upstream(r route) (servers []server, name string) {
	servers, name = r.servers, "host"
	if r.host {
		addresses, changed := f.conf.current(time.Now())
		if changed {
			f.cache.flush() // another network may have other names
		}
		servers = make([]server, len(addresses))
		for i, a := range addresses {
			servers[i] = server{address: a}
		}
	}
	var others []server
	var id strings.Builder
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, s := range servers {
		if f.own[s.address] > 0 || s.inside && f.inside == nil {
			continue
		}
		others = append(others, s)
		if !r.host {
			id.WriteString(s.address.String())
			if s.inside {
				id.WriteByte('i')
			}
			id.WriteByte(' ')
		}
	}
	if !r.host {
		name = id.String()
	}
	return others, name
}

func (q *query) key(servers string) key {
	k := key{servers: servers, name: q.name, qtype: q.question.Qtype}
	for i, set := range []bool{q.rd, q.cd, q.ad, q.edns, q.do} {
		if set {
			k.flags |= 1 << i
		}
	}
	return k
}

// outside answers what is not ours: at once from the cache, else by wait, which blocks.
func (s *Server) outside(q *query, f finding) (now []byte, wait func() []byte) {
	c := f.container
	if f.route.closed {
		return q.fail(dns.ExtendedErrorCodeProhibited, "the container's networks are internal"), nil
	}
	if c.Policy != nil && !c.Policy.Ask(q.name, q.question.Qtype) {
		return s.refuse(q, c), nil
	}
	servers, name := s.forward.upstream(f.route)
	k := q.key(name)
	if c.Policy == nil {
		if a, ok := s.forward.cache.get(k, time.Now()); ok {
			return q.relay(a), nil
		}
	}
	if len(servers) == 0 {
		return q.fail(dns.ExtendedErrorCodeNoReachableAuthority, "there is no upstream name server"), nil
	}
	if !c.load.enter() {
		return q.fail(dns.ExtendedErrorCodeOther, "the container waits for too many answers"), nil
	}
	if !s.forward.load.enter() {
		c.load.leave()
		return q.fail(dns.ExtendedErrorCodeOther, "too many answers are waited for"), nil
	}
	return nil, func() []byte {
		defer c.load.leave()
		defer s.forward.load.leave()
		a := s.forward.resolve(s.ctx, k, servers, c.load)
		if s.ctx.Err() != nil {
			return nil // the client asks again, and a successor
		}
		if c.Policy != nil {
			addresses, ttl := a.addresses(time.Now())
			if len(addresses) > 0 && !c.Policy.Answer(q.name, addresses, ttl) {
				return s.refuse(q, c)
			}
		}
		return q.relay(a)
	}
}

// refuse answers that a name which the policy withholds does not exist: musl takes REFUSED and SERVFAIL for no answer
// and waits for another one.
func (s *Server) refuse(q *query, c *container) []byte {
	if c.load.tell(time.Now()) {
		s.refused(Refusal{Container: c.ID, Client: q.client, Name: q.name, Type: dns.Type(q.question.Qtype).String()})
	}
	return q.pack(q.explain(q.reply(dns.RcodeNameError), dns.ExtendedErrorCodeBlocked, "the container's egress policy"))
}

// resolve finds an answer in the cache, or asks; who asks what is being asked already waits for that. So a server
// that asks us what we have asked it can't make a circle of it.
func (f *forwarder) resolve(ctx context.Context, k key, servers []server, one *load) answer {
	ctx, cancel := context.WithTimeout(ctx, f.patience)
	defer cancel()
	if one.begin(ctx) != nil {
		return answer{}
	}
	defer one.end()
	if a, ok := f.cache.get(k, time.Now()); ok {
		return a
	}
	f.mu.Lock()
	if fl := f.flights[k]; fl != nil {
		f.mu.Unlock()
		select {
		case <-fl.done:
			return fl.answer
		case <-ctx.Done():
			return answer{}
		}
	}
	fl := &flight{done: make(chan struct{})}
	f.flights[k] = fl
	f.mu.Unlock()
	defer func() {
		f.mu.Lock()
		delete(f.flights, k)
		f.mu.Unlock()
		close(fl.done)
	}()
	generation := f.cache.current()
	fl.answer = f.ask(ctx, k, servers)
	f.cache.put(k, fl.answer, generation)
	return fl.answer
}
