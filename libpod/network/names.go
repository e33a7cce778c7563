package network

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// HostGateway is the address in an --add-host that stands for the host's as the container sees it.
const HostGateway = "host-gateway"

// Names is what a container's hosts, hostname and resolv.conf have beside what follows from its networks.
type Names struct {
	Servers    []netip.Addr `json:",omitempty"` // in place of the host's
	NoServers  bool         `json:",omitempty"` // resolv.conf is the image's
	Search     []string     `json:",omitempty"` // "." alone: none at all
	Options    []string     `json:",omitempty"`
	NoHosts    bool         `json:",omitempty"` // hosts is the image's
	HostsFile  string       `json:",omitempty"` // what hosts begins with: a path, "image" or "none"; "" is none
	NoHostname bool         `json:",omitempty"` // hostname is the image's
	Links      []Link       `json:",omitempty"`
}

// Link is a container that another one knows by a name of its own.
type Link struct{ Container, Alias string }

// ParseServers reads the --dns options.
func (n *Names) ParseServers(list []string) error {
	for _, s := range list {
		if s == "none" {
			n.NoServers = true
			continue
		}
		if err := CheckServer(s); err != nil {
			return fmt.Errorf("--dns: %w", err)
		}
		n.Servers = append(n.Servers, netip.MustParseAddr(s))
	}
	if n.NoServers && len(n.Servers) > 0 {
		return errors.New("--dns none and --dns with a name server exclude each other")
	}
	return nil
}

// ParseSearch reads the --dns-search options.
func (n *Names) ParseSearch(list []string) error {
	for _, s := range list {
		if s != "." && !validHostname(strings.TrimSuffix(s, ".")) {
			return fmt.Errorf("invalid --dns-search %q: want a domain, or . for none", s)
		}
		if !slices.Contains(n.Search, s) {
			n.Search = append(n.Search, s)
		}
	}
	if len(n.Search) > 1 && slices.Contains(n.Search, ".") {
		return errors.New("--dns-search . is for no domain at all; it excludes others")
	}
	return nil
}

// ParseOptions reads the --dns-option options (resolv.conf(5)).
func (n *Names) ParseOptions(list []string) error {
	for _, s := range list {
		if s == "" || strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r > '~' }) {
			return fmt.Errorf("invalid --dns-option %q: want one option of resolv.conf, as ndots:2", s)
		}
		n.Options = append(n.Options, s)
	}
	return nil
}

// ParseLink reads a --link: CONTAINER[:ALIAS].
func ParseLink(s string) (Link, error) {
	container, alias, given := strings.Cut(s, ":")
	if !given {
		alias = container
	}
	if container == "" || !validHostname(alias) {
		return Link{}, fmt.Errorf("invalid --link %q: want CONTAINER[:ALIAS]", s)
	}
	return Link{container, alias}, nil
}

// ParseExtraHost reads an --add-host, NAME:IP or NAME=IP, and returns it as NAME:IP. The address may be HostGateway.
func ParseExtraHost(s string) (string, error) {
	i := strings.IndexAny(s, ":=")
	if i <= 0 || !validHostname(s[:i]) {
		return "", fmt.Errorf("invalid --add-host %q: want NAME:IP, or NAME:%s for the host", s, HostGateway)
	}
	ip := s[i+1:]
	if ip == HostGateway {
		return s[:i] + ":" + ip, nil
	}
	a, err := netip.ParseAddr(strings.TrimSuffix(strings.TrimPrefix(ip, "["), "]"))
	if err != nil || a.Zone() != "" {
		return "", fmt.Errorf("invalid --add-host %q: want NAME:IP, or NAME:%s for the host", s, HostGateway)
	}
	return s[:i] + ":" + a.String(), nil
}

// Egress is what a container may reach outside of its networks. The zero value is everything.
type Egress struct {
	Deny  bool         `json:",omitempty"` // all but Allow
	Allow []EgressRule `json:",omitempty"`
}

// EgressRule lets packets to a host or a range of addresses out.
type EgressRule struct {
	Host   string       `json:",omitempty"` // a name, with *. before it for all below it; or
	Prefix netip.Prefix `json:",omitzero"`
	Port   uint16       `json:",omitempty"` // 0: every one
}

// ParseEgress reads --egress and all --egress-allow. The second without the first means that the rest is denied.
func ParseEgress(mode string, allow []string) (e Egress, err error) {
	switch mode {
	case "":
		e.Deny = len(allow) > 0
	case "deny":
		e.Deny = true
	case "allow":
		if len(allow) > 0 {
			return e, errors.New("--egress allow and --egress-allow exclude each other: all is allowed; give --egress deny")
		}
	default:
		return e, fmt.Errorf("invalid --egress %q: allow or deny", mode)
	}
	for _, s := range allow {
		r, err := ParseEgressRule(s)
		if err != nil {
			return e, err
		}
		if !slices.Contains(e.Allow, r) {
			e.Allow = append(e.Allow, r)
		}
	}
	return e, nil
}

// ParseEgressRule reads an --egress-allow: HOST[:PORT], ADDRESS[/BITS][:PORT], or with IPv6 [ADDRESS[/BITS]]:PORT.
func ParseEgressRule(s string) (EgressRule, error) {
	bad := func(why string) (EgressRule, error) {
		return EgressRule{}, fmt.Errorf("invalid --egress-allow %q: %s", s, why)
	}
	var r EgressRule
	host, port := s, ""
	if inner, ok := strings.CutPrefix(s, "["); ok {
		var closed bool
		if host, port, closed = strings.Cut(inner, "]"); !closed || port != "" && port[0] != ':' {
			return bad("want [ADDRESS[/BITS]]:PORT")
		}
		port = strings.TrimPrefix(port, ":")
		if strings.HasSuffix(s, ":") {
			return bad("the port is missing")
		}
	} else if strings.Count(s, ":") == 1 {
		host, port, _ = strings.Cut(s, ":")
		if port == "" {
			return bad("the port is missing")
		}
	}
	if port != "" {
		n, err := strconv.ParseUint(port, 10, 16)
		if err != nil || n == 0 || port[0] == '+' {
			return bad(fmt.Sprintf("%q is not a port: a number from 1 to 65535", port))
		}
		r.Port = uint16(n)
	}
	if a, err := netip.ParseAddr(host); err == nil {
		if a.Zone() != "" || a.Is4In6() {
			return bad("want a plain address")
		}
		r.Prefix = netip.PrefixFrom(a, a.BitLen())
		return r, nil
	}
	if p, err := netip.ParsePrefix(host); err == nil {
		if p != p.Masked() {
			return bad(fmt.Sprintf("the network is %v", p.Masked()))
		}
		r.Prefix = p
		return r, nil
	}
	r.Host = strings.ToLower(strings.TrimSuffix(host, "."))
	if name := strings.TrimPrefix(r.Host, "*."); !validHostname(name) || looksNumeric(name) {
		return bad("want HOST[:PORT], *.DOMAIN[:PORT] or ADDRESS[/BITS][:PORT], an IPv6 address with a port in brackets")
	}
	return r, nil
}

// looksNumeric tells a mistyped address from a name: no top-level domain is a number (RFC 3696, section 2).
func looksNumeric(name string) bool {
	top := name[strings.LastIndexByte(name, '.')+1:]
	_, err := strconv.Atoi(top)
	return err == nil
}
