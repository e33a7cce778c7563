package network

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
)

// Host is what of the host a network must not take.
type Host struct {
	Routes     []HostRoute
	Interfaces []string // names that are taken where the network's bridge is to be
}

// HostRoute is a route of the host, the default ones left out.
type HostRoute struct {
	Destination netip.Prefix
	Interface   string
	Connected   bool // the host has an address there: no gateway
}

// complete fills in what was not asked for and checks the whole. others are the networks there are.
func complete(n *Network, others []*Network, host Host) error {
	if n.Driver == "" {
		n.Driver = BridgeDriver
	}
	if err := checkDriver(n.Driver); err != nil {
		return err
	}
	if err := nameIt(n, others, host.Interfaces); err != nil {
		return err
	}
	n.ID = idOf(n.Name)
	n.IPAMOptions = map[string]string{"driver": hostLocal}
	if err := address(n, others, host.Routes); err != nil {
		return err
	}
	if n.Driver != BridgeDriver {
		n.DNSEnabled = false // the resolver is on the bridge
	}
	if len(n.DNSServers) > 0 && !n.DNSEnabled {
		return fmt.Errorf("the network has no DNS, so the name servers %v would never be asked", n.DNSServers)
	}
	if n.IPv6Enabled && n.Options[OptionMTU] != "" {
		if err := inRange(n.Options[OptionMTU], 1280, 65535); err != nil {
			return fmt.Errorf("invalid option mtu=%q with IPv6: %w (RFC 8200, section 5)", n.Options[OptionMTU], err)
		}
	}
	for _, r := range n.Routes {
		if !slices.ContainsFunc(n.Subnets, func(s Subnet) bool { return s.Subnet.Contains(r.Gateway) }) {
			return fmt.Errorf("the gateway %v of the route to %v is in no subnet of the network", r.Gateway, r.Destination)
		}
	}
	return n.check()
}

// nameIt chooses the names of the network and its bridge: podmanN, as Podman does.
func nameIt(n *Network, others []*Network, interfaces []string) error {
	taken := func(name string) bool {
		return slices.Contains(interfaces, name) || slices.ContainsFunc(others, func(o *Network) bool {
			return o.NetworkInterface == name && o.Driver == BridgeDriver
		})
	}
	bridge := n.Driver == BridgeDriver
	switch {
	case n.NetworkInterface != "":
		if err := CheckInterface(n.NetworkInterface); err != nil {
			return err
		}
		if bridge && taken(n.NetworkInterface) {
			return fmt.Errorf("interface %q is taken; choose another --interface-name", n.NetworkInterface)
		}
		if !bridge && len(interfaces) > 0 && !slices.Contains(interfaces, n.NetworkInterface) {
			return fmt.Errorf("the parent interface %q is not there; `ip link` lists them", n.NetworkInterface)
		}
	case !bridge:
		return fmt.Errorf("driver %s needs the interface of the host that it is to be on: --opt parent=INTERFACE", n.Driver)
	}
	for i := 1; n.Name == "" || n.NetworkInterface == ""; i++ {
		name := interfacePrefix + strconv.Itoa(i)
		if taken(name) || n.Name == "" && slices.ContainsFunc(others, func(o *Network) bool { return o.Name == name }) {
			continue
		}
		if n.NetworkInterface == "" {
			n.NetworkInterface = name
		}
		if n.Name == "" {
			n.Name = name
		}
	}
	return nil
}

// address gives the network its subnets and gateways.
func address(n *Network, others []*Network, routes []HostRoute) error {
	if err := apart(n.Subnets, others, routes); err != nil {
		return err
	}
	var taken []netip.Prefix
	for _, o := range others {
		for _, s := range o.Subnets {
			taken = append(taken, s.Subnet)
		}
	}
	for _, r := range routes {
		taken = append(taken, r.Destination)
	}
	var v4, v6 bool
	for _, s := range n.Subnets {
		taken = append(taken, s.Subnet)
		v4, v6 = v4 || s.Subnet.Addr().Is4(), v6 || s.Subnet.Addr().Is6()
	}
	if n.Driver != BridgeDriver && len(n.Subnets) == 0 {
		return fmt.Errorf("driver %s needs --subnet: proa does not ask a DHCP server", n.Driver)
	}
	if len(n.Subnets) == 0 || n.IPv6Enabled && !v4 {
		p, err := freeIPv4(taken)
		if err != nil {
			return err
		}
		n.Subnets = slices.Insert(n.Subnets, 0, Subnet{Subnet: p})
	}
	if n.IPv6Enabled && !v6 {
		n.Subnets = append(n.Subnets, Subnet{Subnet: freeIPv6(taken)})
	}
	n.IPv6Enabled = n.IPv6Enabled || v6
	for i := range n.Subnets {
		s := &n.Subnets[i]
		if err := s.check(); err != nil {
			return err
		}
		// Where nothing leaves and nobody asks for names, nobody needs an address of the bridge.
		if !s.Gateway.IsValid() && (!n.Internal || n.DNSEnabled) {
			s.Gateway = first(s.Subnet).Next()
		}
		if from, to := s.Range(); from == to && from == s.Gateway {
			return fmt.Errorf("the ip range %v-%v has the gateway %v alone, and no address for a container", from, to, s.Gateway)
		}
	}
	return nil
}

// apart refuses subnets that are another network's or the host's own. A route of the host through a gateway, as a VPN's
// to a wide range, is no hindrance to who names a subnet: the container's network is the more specific.
func apart(subnets []Subnet, others []*Network, routes []HostRoute) error {
	for _, s := range subnets {
		if !s.Subnet.IsValid() {
			return errors.New("a subnet is missing")
		}
		for _, o := range others {
			for _, theirs := range o.Subnets {
				if theirs.Subnet.Overlaps(s.Subnet) {
					return fmt.Errorf("the subnet %v overlaps %v of network %q; choose another", s.Subnet, theirs.Subnet, o.Name)
				}
			}
		}
		for _, r := range routes {
			if r.Connected && r.Destination.Overlaps(s.Subnet) {
				return fmt.Errorf("the subnet %v overlaps %v, which the host has on interface %q; choose another", s.Subnet, r.Destination, r.Interface)
			}
		}
	}
	return nil
}

// editServers is a network's list of name servers with some added and some dropped.
func editServers(n *Network, add, drop []string) ([]string, error) {
	if !n.DNSEnabled {
		return nil, errors.New("it has no DNS, so its name servers are never asked")
	}
	list := slices.Clone(n.DNSServers)
	for _, s := range drop {
		i := slices.Index(list, s)
		if i < 0 {
			return nil, fmt.Errorf("%q is none of its name servers: %q", s, list)
		}
		list = slices.Delete(list, i, i+1)
	}
	for _, s := range add {
		if err := CheckServer(s); err != nil {
			return nil, err
		}
		if !slices.Contains(list, s) {
			list = append(list, s)
		}
	}
	return list, nil
}

// CheckServer tells whether s can be a name server.
func CheckServer(s string) error {
	if a, err := netip.ParseAddr(s); err != nil || a.IsUnspecified() || a.IsMulticast() {
		return fmt.Errorf("invalid name server %q: want an IP address", s)
	}
	return nil
}
