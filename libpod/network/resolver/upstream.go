package resolver

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"time"

	"github.com/miekg/dns"
)

const (
	// Servers stand in order of preference, so the next one is asked beside the first when that is slow or failed.
	stagger = 250 * time.Millisecond
	// deference is how long "no such name" waits for a server that is preferred: only the one of a VPN knows its names.
	deference = time.Second
	// resend is when a packet counts as lost.
	resend = time.Second
	// A server that can't be reached, or did not answer maxLost times in a row, is asked after the others for a while.
	disfavour   = 10 * time.Second
	maxLost     = 4
	maxHealth   = 1024
	maxServers  = 8
	maxUpstream = 4096 // longest packet of a server that does not keep to what we said we take
)

var errMismatch = errors.New("the answer is to another question")

// health is what is known of an upstream server that failed.
type health struct {
	lost    int       // questions in a row that it did not answer
	shunned time.Time // until when others are asked first
}

// outcome is what one server said.
type outcome struct {
	index int
	msg   *dns.Msg
	err   error
}

// ask asks the servers for an answer; its wire is nil when none gave one.
func (f *forwarder) ask(ctx context.Context, k key, servers []server) answer {
	m := &dns.Msg{Question: []dns.Question{{Name: dns.Fqdn(k.name), Qtype: k.qtype, Qclass: dns.ClassINET}}}
	bit := func(i int) bool { return k.flags&(1<<i) != 0 }
	m.RecursionDesired, m.CheckingDisabled, m.AuthenticatedData = bit(0), bit(1), bit(2)
	if bit(3) {
		// EDNS is from hop to hop (RFC 6891, 6.1.1): its options are not passed on.
		m.SetEdns0(maxPacket, bit(4))
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	servers, prompt := f.order(servers)
	results := make(chan outcome, len(servers))
	asked := 0
	next := func() {
		if asked < len(servers) {
			i := asked
			asked++
			go func() {
				if err := f.load.begin(ctx); err != nil {
					results <- outcome{index: i, err: err}
					return
				}
				defer f.load.end()
				r, err := f.exchange(ctx, m.Copy(), servers[i])
				f.note(servers[i].address, err, errors.Is(ctx.Err(), context.Canceled))
				results <- outcome{i, r, err}
			}()
		}
	}
	for range prompt {
		next()
	}
	return collect(ctx, results, next, len(servers))
}

// collect waits for the best of n servers' answers, and has the next one asked when it takes long or fails.
func collect(ctx context.Context, results <-chan outcome, next func(), n int) answer {
	pending := make([]bool, n)
	for i := range pending {
		pending[i] = true
	}
	var held, failure *outcome
	slow := time.NewTicker(stagger)
	defer slow.Stop()
	late := time.NewTimer(deference)
	defer late.Stop()
	deferring := true
	for slices.Contains(pending, true) {
		select {
		case r := <-results:
			pending[r.index] = false
			switch {
			case r.err != nil:
				next()
			case r.msg.Rcode != dns.RcodeSuccess && r.msg.Rcode != dns.RcodeNameError:
				if failure == nil {
					failure = &r
				}
				next()
			case len(r.msg.Answer) > 0:
				return newAnswer(r.msg)
			case held == nil || r.index < held.index:
				held = &r
			}
		case <-slow.C:
			next()
		case <-late.C:
			deferring = false
		case <-ctx.Done():
			clear(pending)
		}
		if held != nil && (!deferring || !slices.Contains(pending[:held.index], true)) {
			break
		}
	}
	switch {
	case held != nil:
		return newAnswer(held.msg)
	case failure != nil:
		return newAnswer(failure.msg)
	}
	return answer{}
}

// order puts servers that answered last time first; prompt is how many of them to ask at once.
func (f *forwarder) order(servers []server) (ordered []server, prompt int) {
	now := time.Now()
	f.mu.Lock()
	defer f.mu.Unlock()
	var failed []server
	for _, s := range servers {
		if now.Before(f.health[s.address].shunned) {
			failed = append(failed, s)
		} else {
			ordered = append(ordered, s)
		}
	}
	prompt = 1
	if len(ordered) == 0 {
		prompt = maxServers
	}
	ordered = append(ordered, failed...)
	ordered = ordered[:min(len(ordered), maxServers)]
	return ordered, min(prompt, len(ordered))
}

// note remembers whether a server answered; lost is whether it was given up because another one had.
func (f *forwarder) note(a netip.AddrPort, err error, lost bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err == nil {
		delete(f.health, a)
		return
	}
	if len(f.health) > maxHealth {
		clear(f.health)
	}
	h := f.health[a]
	if h.lost++; !lost || h.lost >= maxLost {
		h = health{shunned: time.Now().Add(disfavour)}
	}
	f.health[a] = h
}

// exchange asks one server, by TCP where a packet is too small for its answer.
func (f *forwarder) exchange(ctx context.Context, m *dns.Msg, s server) (*dns.Msg, error) {
	m.Id = dns.Id()
	r, err := f.converse(ctx, m, s, "udp")
	if err == nil && r.Truncated {
		r, err = f.converse(ctx, m, s, "tcp")
	}
	if err != nil {
		return nil, fmt.Errorf("asking name server %s: %w", s.address, err)
	}
	return r, nil
}

func (f *forwarder) converse(ctx context.Context, m *dns.Msg, s server, network string) (*dns.Msg, error) {
	dialer := f.outside
	if s.inside {
		dialer = f.inside
	}
	c, err := dialer(ctx, network, s.address)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	defer context.AfterFunc(ctx, func() { c.SetDeadline(time.Unix(1, 0)) })()
	packet, err := m.Pack()
	if err != nil {
		return nil, err
	}
	if network == "tcp" {
		if err := writeFrame(c, packet); err != nil {
			return nil, err
		}
		answer, err := readFrame(c)
		if err != nil {
			return nil, err
		}
		return matching(answer, m)
	}
	buf := make([]byte, maxUpstream)
	for {
		if _, err := c.Write(packet); err != nil {
			return nil, err
		}
		c.SetReadDeadline(time.Now().Add(resend))
		if ctx.Err() != nil {
			return nil, ctx.Err() // the deadline just set hides that of ctx
		}
		for {
			n, err := c.Read(buf)
			if errors.Is(err, os.ErrDeadlineExceeded) && ctx.Err() == nil {
				break
			} else if err != nil {
				return nil, err
			}
			// What is no answer is not an end either: anybody can send it.
			if r, err := matching(buf[:n], m); err == nil {
				return r, nil
			}
		}
	}
}

// matching is the answer to m that packet holds.
func matching(packet []byte, m *dns.Msg) (*dns.Msg, error) {
	r := new(dns.Msg)
	if err := r.Unpack(packet); err != nil {
		return nil, err
	}
	if !r.Response || r.Id != m.Id || len(r.Question) != 1 {
		return nil, errMismatch
	}
	got, want := r.Question[0], m.Question[0]
	if canonical(got.Name) != canonical(want.Name) || got.Qtype != want.Qtype || got.Qclass != want.Qclass {
		return nil, errMismatch
	}
	return r, nil
}
