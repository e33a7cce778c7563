package network

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// hostLocal is the only way of giving out addresses: from the ranges in the file.
const hostLocal = "host-local"

// interfacePrefix begins the names of bridges that are not given one.
const interfacePrefix = "podman"

// reserved are the words of --network that are no network's name.
var reserved = []string{Bridge, "container", "default", "host", "none", "ns", "pasta", "private", "slirp4netns"}

// ValidName tells whether name is one for networks.
func ValidName(name string) bool {
	for i, r := range name {
		plain := r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9'
		if !plain && (i == 0 || !strings.ContainsRune("_.-", r)) {
			return false
		}
	}
	return name != "" && len(name)+len(suffix) <= unix.NAME_MAX
}

// CheckName tells whether a network can be made under that name.
func CheckName(name string) error {
	if !ValidName(name) {
		return fmt.Errorf("invalid network name %q: letters, digits, _ . and -, the first a letter or digit", name)
	}
	if slices.Contains(reserved, name) {
		return fmt.Errorf("invalid network name %q: it is a word of run's --network; choose another", name)
	}
	return nil
}

// CheckInterface tells whether the kernel takes name for a network interface (dev_valid_name in net/core/dev.c).
func CheckInterface(name string) error {
	bad := func(r rune) bool { return r <= ' ' || r == '/' || r == ':' || r > '~' || r == '%' }
	if name == "" || len(name) >= unix.IFNAMSIZ || name == "." || name == ".." || strings.ContainsFunc(name, bad) {
		return fmt.Errorf("invalid interface name %q: 1 to %d printable characters without spaces, /, : and %%", name, unix.IFNAMSIZ-1)
	}
	return nil
}

func hexadecimal(s string) bool {
	return s != "" && !strings.ContainsFunc(s, func(r rune) bool { return !('0' <= r && r <= '9' || 'a' <= r && r <= 'f') })
}

// check tells whether a network is one, whoever made it.
func (n *Network) check() error {
	switch {
	case !ValidName(n.Name):
		return fmt.Errorf("the name %q is none", n.Name)
	case len(n.ID) != 64 || !hexadecimal(n.ID):
		return fmt.Errorf("the id %q is not one of 64 hexadecimal digits", n.ID)
	case n.Driver == "":
		return errors.New("it names no driver")
	}
	if n.NetworkInterface != "" {
		if err := CheckInterface(n.NetworkInterface); err != nil {
			return err
		}
	}
	for i, s := range n.Subnets {
		if err := s.check(); err != nil {
			return err
		}
		for _, o := range n.Subnets[:i] {
			if o.Subnet.Overlaps(s.Subnet) {
				return fmt.Errorf("the subnets %v and %v overlap", o.Subnet, s.Subnet)
			}
		}
	}
	for _, r := range n.Routes {
		if err := r.check(); err != nil {
			return err
		}
	}
	for _, s := range n.DNSServers {
		if _, err := netip.ParseAddr(s); err != nil {
			return fmt.Errorf("the name server %q is not an IP address", s)
		}
	}
	return nil
}

func (s Subnet) check() error {
	p := s.Subnet
	switch {
	case !p.IsValid():
		return errors.New("a subnet is missing")
	case p.Addr().Is4In6():
		return fmt.Errorf("invalid subnet %v: write it as IPv4", p)
	case p != p.Masked():
		return fmt.Errorf("invalid subnet %v: the network is %v", p, p.Masked())
	case p.Addr().IsLoopback() || p.Addr().IsMulticast() || p.Addr().IsLinkLocalUnicast() || p.Addr().IsUnspecified():
		return fmt.Errorf("invalid subnet %v: its addresses can't be given to containers", p)
	case p.Addr().BitLen()-p.Bits() < 2:
		return fmt.Errorf("invalid subnet %v: too small for a gateway and a container; /%d or larger", p, p.Addr().BitLen()-2)
	}
	if s.Gateway.IsValid() {
		if err := usableIn("gateway", s.Gateway, p); err != nil {
			return err
		}
	}
	if r := s.LeaseRange; r != nil {
		for _, a := range []netip.Addr{r.Start, r.End} {
			if a.IsValid() && !p.Contains(a) {
				return fmt.Errorf("the ip range %v-%v is not in the subnet %v", r.Start, r.End, p)
			}
		}
		if from, to := s.Range(); to.Less(from) {
			return fmt.Errorf("the ip range %v-%v has no address for a container", r.Start, r.End)
		}
	}
	return nil
}

// usableIn tells whether an address is one that an interface can have in a subnet.
func usableIn(what string, a netip.Addr, p netip.Prefix) error {
	switch {
	case a.Zone() != "" || !p.Contains(a):
		return fmt.Errorf("the %s %v is not in the subnet %v", what, a, p)
	case a == p.Addr():
		return fmt.Errorf("the %s %v is the network's own address of the subnet %v", what, a, p)
	case a.Is4() && a == last(p):
		return fmt.Errorf("the %s %v is the broadcast address of the subnet %v", what, a, p)
	}
	return nil
}

func (r Route) check() error {
	d := r.Destination
	switch {
	case !d.IsValid() || !r.Gateway.IsValid():
		return errors.New("a route has no destination or no gateway")
	case d != d.Masked():
		return fmt.Errorf("invalid route to %v: the network is %v", d, d.Masked())
	case d.Addr().Is4() != r.Gateway.Is4():
		return fmt.Errorf("the route to %v has the gateway %v, of another family", d, r.Gateway)
	}
	return nil
}
