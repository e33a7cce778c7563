package network

import (
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

// ParsePort reads a --publish: [[IP:][HOST]:]CONTAINER[/PROTOCOL], the ports single ones or ranges of one length, an IPv6
// address in brackets; or Docker's long form, published=HOST,target=CONTAINER,protocol=PROTOCOL.
func ParsePort(s string) (Port, error) {
	p, err := parsePort(s)
	if err != nil {
		return p, fmt.Errorf("invalid --publish %q: %w", s, err)
	}
	return p, nil
}

var errPortForm = errors.New("want [[IP:]HOST:]CONTAINER[/PROTOCOL], as 8080:80, 127.0.0.1:8080:80, [::1]::80 or 5000-5010:5000-5010/udp")

func parsePort(s string) (Port, error) {
	if strings.Contains(s, "=") {
		return parseLongPort(s)
	}
	ports, protocol, given := strings.Cut(s, "/")
	p := Port{Protocol: "tcp"}
	if given {
		var err error
		if p.Protocol, err = parseProtocol(protocol); err != nil {
			return p, err
		}
	}
	rest, container := cutLast(ports)
	ip, host := cutLast(rest)
	if strings.HasPrefix(ports, "[") != strings.HasPrefix(ip, "[") {
		return p, errPortForm
	}
	if ip != "" {
		var err error
		if p.HostIP, err = parseHostIP(ip); err != nil {
			return p, err
		}
	}
	return p, p.setPorts(host, container)
}

// cutLast is strings.Cut at the last colon; without one all is after it.
func cutLast(s string) (before, after string) {
	i := strings.LastIndexByte(s, ':')
	return s[:max(i, 0)], s[i+1:]
}

func parseHostIP(s string) (netip.Addr, error) {
	inner, six := strings.CutPrefix(s, "[")
	if six {
		var closed bool
		if inner, closed = strings.CutSuffix(inner, "]"); !closed {
			return netip.Addr{}, errPortForm
		}
	} else if strings.Contains(s, ":") {
		return netip.Addr{}, errors.New("an IPv6 address goes in brackets, as [::1]:8080:80")
	}
	a, err := netip.ParseAddr(inner)
	if err != nil || a.Zone() != "" || six != a.Is6() {
		return netip.Addr{}, fmt.Errorf("%q is not an IP address of the host", s)
	}
	return a.Unmap(), nil
}

func parseProtocol(s string) (string, error) {
	switch s = strings.ToLower(s); s {
	case "tcp", "udp":
		return s, nil
	case "sctp":
		return "", errors.New("the protocol is tcp or udp: sctp can't be forwarded by an ordinary user's process, which is what proa publishes ports with")
	}
	return "", fmt.Errorf("unknown protocol %q: tcp or udp", s)
}

// setPorts sets the ports of both sides, of which host may be empty.
func (p *Port) setPorts(host, container string) (err error) {
	if p.Container, p.Count, err = parsePortRange(container); err != nil {
		return err
	}
	if p.Container == 0 {
		return errors.New("the container's port is from 1 to 65535")
	}
	if host == "" || host == "0" {
		return nil
	}
	var count uint16
	if p.Host, count, err = parsePortRange(host); err != nil {
		return err
	}
	switch {
	case p.Host == 0:
		return errors.New("the host's ports are from 1 to 65535; leave them out to get free ones")
	case p.Count == 1:
		p.Spare = count - 1
	case count != p.Count:
		return fmt.Errorf("%d ports of the host are for %d of the container: the ranges are to be of one length", count, p.Count)
	}
	return nil
}

// parsePortRange reads PORT or FIRST-LAST. Port 0 stands alone.
func parsePortRange(s string) (start, count uint16, err error) {
	from, to, span := strings.Cut(s, "-")
	a, err := parsePortNumber(from)
	if err != nil || !span {
		return a, 1, err
	}
	b, err := parsePortNumber(to)
	if err == nil && (b < a || a == 0) {
		err = fmt.Errorf("%q is no range of ports", s)
	}
	return a, b - a + 1, err
}

func parsePortNumber(s string) (uint16, error) {
	n, err := strconv.ParseUint(s, 10, 16)
	if s == "" {
		return 0, errPortForm
	}
	if err != nil || s[0] == '+' {
		return 0, fmt.Errorf("%q is not a port: a number up to 65535", s)
	}
	return uint16(n), nil
}

func parseLongPort(s string) (Port, error) {
	p := Port{Protocol: "tcp"}
	var host, container string
	for _, f := range strings.Split(s, ",") {
		k, v, _ := strings.Cut(f, "=")
		var err error
		switch k {
		case "target":
			container = v
		case "published":
			host = v
		case "protocol":
			p.Protocol, err = parseProtocol(v)
		default:
			err = fmt.Errorf("unknown key %q: target, published and protocol", k)
		}
		if err != nil {
			return p, err
		}
	}
	return p, p.setPorts(host, container)
}

// ParseExposed reads an --expose, or a port of an image: PORT[-LAST][/PROTOCOL].
func ParseExposed(s string) (Port, error) {
	ports, protocol, given := strings.Cut(s, "/")
	p := Port{Protocol: "tcp"}
	var err error
	if given {
		p.Protocol, err = parseProtocol(protocol)
	}
	if err == nil {
		p.Container, p.Count, err = parsePortRange(ports)
	}
	if err == nil && p.Container == 0 {
		err = errors.New("a port is from 1 to 65535")
	}
	if errors.Is(err, errPortForm) {
		err = errors.New("want PORT[-LAST][/PROTOCOL], as 80, 53/udp or 5000-5010")
	}
	return p, err
}

// CheckPorts refuses ports that would be published twice on one address of the host.
func CheckPorts(list []Port) error {
	for i, p := range list {
		for _, o := range list[:i] {
			if p.Host == 0 || o.Host == 0 || p.Spare > 0 || o.Spare > 0 || p.Protocol != o.Protocol || !sameHost(p.HostIP, o.HostIP) {
				continue
			}
			if a, b := max(p.Host, o.Host), min(p.lastHost(), o.lastHost()); a <= b {
				return fmt.Errorf("port %d/%s of the host is published twice, to %d and %d of the container", a, p.Protocol, o.containerAt(a), p.containerAt(a))
			}
		}
	}
	return nil
}

// sameHost tells whether one socket keeps the other from being bound.
func sameHost(a, b netip.Addr) bool {
	return !a.IsValid() || !b.IsValid() || a == b || a.Is4() == b.Is4() && (a.IsUnspecified() || b.IsUnspecified())
}

func (p Port) lastHost() uint16 { return p.Host + p.Count - 1 }

func (p Port) containerAt(host uint16) uint16 { return p.Container + host - p.Host }

// String is the port as --publish takes it.
func (p Port) String() string {
	span := func(from, count uint16) string {
		if count > 1 {
			return fmt.Sprintf("%d-%d", from, from+count-1)
		}
		return strconv.Itoa(int(from))
	}
	s := span(p.Container, p.Count) + "/" + p.Protocol
	if p.Host == 0 && !p.HostIP.IsValid() {
		return s
	}
	host := ""
	if p.Host != 0 {
		host = span(p.Host, p.Count+p.Spare)
	}
	s = host + ":" + s
	switch {
	case p.HostIP.Is6():
		s = "[" + p.HostIP.String() + "]:" + s
	case p.HostIP.IsValid():
		s = p.HostIP.String() + ":" + s
	}
	return s
}

// Serves tells whether a port of the container is among these.
func (p Port) Serves(container uint16, protocol string) bool {
	return p.Protocol == protocol && p.Container <= container && container-p.Container < p.Count
}

// Meets tells whether the two have a port of the container in common.
func (p Port) Meets(o Port) bool {
	return p.Protocol == o.Protocol && uint32(p.Container) < uint32(o.Container)+uint32(o.Count) && uint32(o.Container) < uint32(p.Container)+uint32(p.Count)
}
