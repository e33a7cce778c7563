package network

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"path"
	"slices"
	"strings"
)

// The modes of a container's network, as spec.Namespaces has them; "container:NAME", "ns:PATH" and the uplinks' have more
// behind a colon.
const (
	ModeBridge = "bridge" // the networks of the record
	ModeNone   = "none"
	ModeHost   = "host"
	ModePasta  = "pasta"
	ModeSlirp  = "slirp4netns"
)

// Choice is what the --network options of one container ask for.
type Choice struct {
	Mode        string       // "" when there is none
	Attachments []Attachment // with ModeBridge, at least one
}

// Single are the options that are about a container's only network.
type Single struct {
	IP, IP6, MAC string
	Aliases      []string // of every network
}

// Choose reads all --network options of a container and those that go with them. fallback is the mode without any.
func Choose(values []string, single Single, fallback string) (Choice, error) {
	if len(values) == 0 {
		values = []string{fallback}
	}
	var c Choice
	for _, v := range values {
		mode, a, err := ParseNetwork(v)
		if err != nil {
			return c, fmt.Errorf("invalid --network %q: %w", v, err)
		}
		if c.Mode != "" && c.Mode != mode {
			return c, fmt.Errorf("--network %s and --network %s exclude each other: only networks can be had together", values[0], v)
		}
		if i := slices.IndexFunc(c.Attachments, func(o Attachment) bool { return o.Network == a.Network }); i >= 0 {
			return c, fmt.Errorf("invalid --network %q: network %q is given twice", v, a.Network)
		}
		c.Mode = mode
		if mode == ModeBridge {
			c.Attachments = append(c.Attachments, a)
		}
	}
	return c, c.apply(single)
}

// apply adds the options that are about the only network.
func (c *Choice) apply(s Single) error {
	for _, o := range []struct{ flag, value string }{{"--ip", s.IP}, {"--ip6", s.IP6}, {"--mac-address", s.MAC}, {"--network-alias", strings.Join(s.Aliases, "")}} {
		switch {
		case o.value == "":
		case c.Mode != ModeBridge:
			return fmt.Errorf("%s and --network %s exclude each other: it is about one of proa's networks", o.flag, c.Mode)
		case len(c.Attachments) > 1 && o.flag != "--network-alias":
			return fmt.Errorf("%s is for a container on one network, and this is on %d: give it with the network, as --network %s:%s", o.flag, len(c.Attachments), c.Attachments[0].Network, onNetwork[o.flag])
		}
	}
	for i := range c.Attachments {
		for _, f := range []struct{ flag, key, value string }{{"--ip", "ip", s.IP}, {"--ip6", "ip6", s.IP6}, {"--mac-address", "mac", s.MAC}} {
			if f.value == "" {
				continue
			}
			if err := c.Attachments[i].set(f.key, f.value); err != nil {
				return fmt.Errorf("invalid %s %q: %w", f.flag, f.value, err)
			}
		}
		for _, a := range s.Aliases {
			if err := c.Attachments[i].set("alias", a); err != nil {
				return fmt.Errorf("invalid --network-alias %q: %w", a, err)
			}
		}
		if err := c.Attachments[i].check(); err != nil {
			return err
		}
	}
	return nil
}

// onNetwork is how an option is given with one of several networks.
var onNetwork = map[string]string{"--ip": "ip=ADDRESS", "--ip6": "ip6=ADDRESS", "--mac-address": "mac=ADDRESS"}

// ParseNetwork reads one --network: a mode, NAME[:KEY=VALUE,...], or Docker's name=NAME,KEY=VALUE,...
func ParseNetwork(s string) (mode string, a Attachment, err error) {
	if strings.HasPrefix(s, "name=") || strings.Contains(s, ",name=") && !strings.Contains(s, ":") {
		a, err = parseLongNetwork(s)
		return ModeBridge, a, err
	}
	name, options, more := strings.Cut(s, ":")
	switch name {
	case ModeNone, ModeHost:
		if more {
			return "", a, fmt.Errorf("%s takes no options", name)
		}
		return name, a, nil
	case "container":
		if options == "" {
			return "", a, errors.New("want container:NAME")
		}
		return s, a, nil
	case "ns":
		if !path.IsAbs(options) {
			return "", a, errors.New("want ns:PATH, with an absolute path")
		}
		return s, a, nil
	case ModePasta, ModeSlirp:
		return s, a, checkUplink(name, options, more)
	case "private", "default":
		name = Bridge
	case "":
		return "", a, errors.New("want none, host, container:NAME, ns:PATH, pasta, slirp4netns, or networks: NAME[:OPTIONS]; `proa network ls` lists them")
	}
	if a.Network = Canonical(name); !ValidName(name) {
		return "", a, errors.New("that is no name of a network; `proa network ls` lists them")
	}
	if !more {
		return ModeBridge, a, nil
	}
	for _, o := range strings.Split(options, ",") {
		k, v, _ := strings.Cut(o, "=")
		if err := a.set(k, v); err != nil {
			return "", a, err
		}
	}
	return ModeBridge, a, nil
}

func parseLongNetwork(s string) (a Attachment, err error) {
	for _, o := range strings.Split(s, ",") {
		k, v, _ := strings.Cut(o, "=")
		switch k {
		case "name":
			if a.Network = Canonical(v); !ValidName(v) || slices.Contains(reserved, v) && a.Network != Default {
				err = fmt.Errorf("%q is no name of a network; `proa network ls` lists them", v)
			}
		case "mac-address":
			err = a.set("mac", v)
		default:
			err = a.set(k, v)
		}
		if err != nil {
			return a, err
		}
	}
	return a, nil
}

// set is one option of an attachment.
func (a *Attachment) set(key, value string) error {
	switch key {
	case "ip", "ip6":
		ip, err := netip.ParseAddr(value)
		if err != nil || ip.Zone() != "" || ip.Is4In6() || ip.IsUnspecified() || ip.IsMulticast() || ip.IsLoopback() {
			return fmt.Errorf("%q is not an IP address that a container can have", value)
		}
		if key == "ip6" && !ip.Is6() {
			return fmt.Errorf("%q is not an IPv6 address", value)
		}
		a.Addresses = append(a.Addresses, ip)
	case "mac":
		m, err := ParseMAC(value)
		if err != nil {
			return err
		}
		if a.MAC != "" && a.MAC != m {
			return fmt.Errorf("network %q has the MAC address %s already", a.Network, a.MAC)
		}
		a.MAC = m
	case "alias":
		if !validHostname(value) {
			return fmt.Errorf("%q is not an alias: letters, digits, _ . and -, no longer than a host name", value)
		}
		if !slices.Contains(a.Aliases, value) {
			a.Aliases = append(a.Aliases, value)
		}
	case "interface_name":
		if err := CheckInterface(value); err != nil {
			return err
		}
		if value == "lo" || a.Interface != "" && a.Interface != value {
			return fmt.Errorf("the interface can't be %q", value)
		}
		a.Interface = value
	default:
		return fmt.Errorf("unknown option %q: ip, ip6, mac, alias and interface_name", key)
	}
	return nil
}

// check refuses what contradicts itself within an attachment.
func (a Attachment) check() error {
	for i, x := range a.Addresses {
		for _, y := range a.Addresses[:i] {
			if x == y {
				return fmt.Errorf("address %v of network %q is given twice", x, a.Network)
			}
		}
	}
	if a.Network == Default && len(a.Aliases) > 0 {
		return fmt.Errorf("alias %q: the default network knows no names; make one with `proa network create` and use that", a.Aliases[0])
	}
	return nil
}

// ParseMAC reads a MAC address of a single interface, not of a group of them, and returns it as the kernel writes it.
func ParseMAC(s string) (string, error) {
	m, err := net.ParseMAC(s)
	switch {
	case err != nil || len(m) != 6:
		return "", fmt.Errorf("%q is not a MAC address: want six bytes, as 02:42:ac:11:00:02", s)
	case m[0]&1 != 0:
		return "", fmt.Errorf("the MAC address %q is of a group of interfaces: its first byte is to be even", s)
	case m.String() == "00:00:00:00:00:00":
		return "", fmt.Errorf("the MAC address %q is none", s)
	}
	return m.String(), nil
}

// validHostname tells whether s can be a host's name (RFC 1123, with the underscore that users want).
func validHostname(s string) bool {
	if len(s) > 253 {
		return false
	}
	for _, label := range strings.Split(s, ".") {
		bad := func(r rune) bool {
			return !('a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' || r == '-' || r == '_')
		}
		if label == "" || len(label) > 63 || label[0] == '-' || strings.ContainsFunc(label, bad) {
			return false
		}
	}
	return true
}
