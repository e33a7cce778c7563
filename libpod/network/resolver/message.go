package resolver

import (
	"net"
	"net/netip"
	"strings"

	"github.com/miekg/dns"
)

const (
	headerSize = 12
	// minPacket is what every client takes by UDP (RFC 1035, 4.2.1), maxPacket what no path fragments (RFC 9715).
	minPacket = 512
	maxPacket = 1232
	maxStream = 65535
)

// query is a question of a client that can be answered.
type query struct {
	id       uint16
	question dns.Question
	name     string // canonical
	client   netip.Addr
	stream   bool
	rd, cd   bool
	ad       bool // asks whether the answer is authentic (RFC 6840, 5.7)
	edns     bool
	do       bool // asks for DNSSEC's records
	size     int  // largest answer the client takes
}

// parse reads a client's packet. Where it is no query that can be answered, the query is nil and the answer is that
// instead; both are nil for what gets none. An answer is never longer than what caused it: sources can be forged.
func parse(packet []byte, client netip.Addr, stream bool) (*query, []byte) {
	if len(packet) < headerSize || packet[2]&0x80 != 0 {
		return nil, nil // two servers that answer answers would never end
	}
	if opcode := packet[2] >> 3 & 0xf; opcode != dns.OpcodeQuery {
		return nil, headerOnly(packet, dns.RcodeNotImplemented)
	}
	count := func(at int) int { return int(packet[at])<<8 | int(packet[at+1]) }
	// One question, no answers, and of additional records EDNS and a signature (RFC 9619).
	if count(4) != 1 || count(6) != 0 || count(8) != 0 || count(10) > 2 {
		return nil, headerOnly(packet, dns.RcodeFormatError)
	}
	var m dns.Msg
	if err := m.Unpack(packet); err != nil || len(m.Question) != 1 {
		return nil, headerOnly(packet, dns.RcodeFormatError)
	}
	q := &query{
		id: m.Id, question: m.Question[0], name: canonical(m.Question[0].Name), client: client, stream: stream,
		rd: m.RecursionDesired, cd: m.CheckingDisabled, ad: m.AuthenticatedData, size: minPacket,
	}
	if opt := m.IsEdns0(); opt != nil {
		if opt.Version() != 0 {
			return nil, q.pack(q.reply(dns.RcodeBadVers))
		}
		q.edns, q.do = true, opt.Do()
		q.size = min(max(int(opt.UDPSize()), minPacket), maxPacket)
	}
	if stream {
		q.size = maxStream
	}
	switch t := q.question.Qtype; {
	case q.question.Qclass != dns.ClassINET:
		return nil, q.pack(q.reply(dns.RcodeRefused))
	case t == dns.TypeNone, t == dns.TypeOPT, t >= dns.TypeTKEY && t < dns.TypeANY: // transfers and other meta types
		return nil, q.pack(q.reply(dns.RcodeNotImplemented))
	}
	return q, nil
}

// headerOnly is an answer without a question, to what was not understood.
func headerOnly(packet []byte, rcode byte) []byte {
	b := make([]byte, headerSize)
	copy(b, packet[:4])
	b[2] = b[2]&0x79 | 0x80 // opcode and recursion desired stay
	b[3] = rcode
	return b
}

// reply is an answer without records.
func (q *query) reply(rcode int) *dns.Msg {
	m := &dns.Msg{Question: []dns.Question{q.question}}
	m.Id, m.Response, m.RecursionDesired, m.RecursionAvailable = q.id, true, q.rd, true
	m.CheckingDisabled = q.cd
	m.Rcode = rcode
	return m
}

// explain adds to an answer why there is none (RFC 8914), which clients with EDNS can show.
func (q *query) explain(m *dns.Msg, code uint16, text string) *dns.Msg {
	if q.edns {
		opt := &dns.OPT{Hdr: dns.RR_Header{Name: ".", Rrtype: dns.TypeOPT}}
		opt.Option = append(opt.Option, &dns.EDNS0_EDE{InfoCode: code, ExtraText: text})
		m.Extra = append(m.Extra, opt)
	}
	return m
}

// fail is the answer that there is none for now, and why.
func (q *query) fail(code uint16, text string) []byte {
	return q.pack(q.explain(q.reply(dns.RcodeServerFailure), code, text))
}

// pack makes an answer's bytes, not more than the client takes.
func (q *query) pack(m *dns.Msg) []byte {
	if q.edns || m.Rcode > 0xf {
		opt := m.IsEdns0()
		if opt == nil {
			opt = &dns.OPT{Hdr: dns.RR_Header{Name: ".", Rrtype: dns.TypeOPT}}
			m.Extra = append(m.Extra, opt)
		}
		opt.SetUDPSize(maxPacket)
		opt.SetDo(q.do)
	}
	m.Compress = len(m.Answer)+len(m.Ns)+len(m.Extra) > 1
	m.Truncate(q.size)
	b, err := m.Pack()
	if err != nil || len(b) > q.size {
		// What an upstream server sent need not survive being written again.
		b, _ = q.reply(dns.RcodeServerFailure).Pack()
	}
	return b
}

// addresses is an answer with those that the question is about; without any it says that the name has others.
//
// Answers about names of containers are for this moment (TTL 0), also those that there are none: without a SOA record
// nothing keeps them (RFC 2308, 5). A container that starts is found by the next query.
func (q *query) addresses(all []netip.Addr) *dns.Msg {
	m := q.reply(dns.RcodeSuccess)
	m.Authoritative = true
	header := dns.RR_Header{Name: q.question.Name, Class: dns.ClassINET}
	for _, a := range all {
		header.Rrtype = dns.TypeAAAA
		if a.Is4() {
			header.Rrtype = dns.TypeA
		}
		if q.question.Qtype != header.Rrtype && q.question.Qtype != dns.TypeANY {
			continue
		}
		if a.Is4() {
			m.Answer = append(m.Answer, &dns.A{Hdr: header, A: net.IP(a.AsSlice())})
		} else {
			m.Answer = append(m.Answer, &dns.AAAA{Hdr: header, AAAA: net.IP(a.AsSlice())})
		}
	}
	return m
}

// pointer is the answer to a reverse lookup of an address that name has.
func (q *query) pointer(name string) *dns.Msg {
	m := q.reply(dns.RcodeSuccess)
	m.Authoritative = true
	if q.question.Qtype == dns.TypePTR || q.question.Qtype == dns.TypeANY {
		header := dns.RR_Header{Name: q.question.Name, Class: dns.ClassINET, Rrtype: dns.TypePTR}
		m.Answer = append(m.Answer, &dns.PTR{Hdr: header, Ptr: dns.Fqdn(name)})
	}
	return m
}

// reversed is the address whose reverse name this is; both forms end at it, and only whole addresses count.
func reversed(name string) (netip.Addr, bool) {
	if digits, ok := strings.CutSuffix(name, ".in-addr.arpa"); ok {
		parts := strings.Split(digits, ".")
		if len(parts) != 4 {
			return netip.Addr{}, false
		}
		a, err := netip.ParseAddr(parts[3] + "." + parts[2] + "." + parts[1] + "." + parts[0])
		return a, err == nil
	}
	digits, ok := strings.CutSuffix(name, ".ip6.arpa")
	if !ok || len(digits) != 63 {
		return netip.Addr{}, false
	}
	var text strings.Builder
	for i := 62; i >= 0; i -= 2 {
		hex := digits[i] >= '0' && digits[i] <= '9' || digits[i] >= 'a' && digits[i] <= 'f'
		if !hex || i < 62 && digits[i+1] != '.' {
			return netip.Addr{}, false
		}
		text.WriteByte(digits[i])
		if i%8 == 0 && i > 0 {
			text.WriteByte(':')
		}
	}
	a, err := netip.ParseAddr(text.String())
	return a, err == nil
}
