package serve

import (
	"errors"
	"fmt"
	"net/netip"
	"reflect"
	"slices"
	"strconv"

	"github.com/proa-containers/proa/libpod/network"
	"github.com/proa-containers/proa/libpod/network/link"
	"github.com/proa-containers/proa/libpod/network/port"
	"github.com/proa-containers/proa/libpod/network/uplink"
)

// served is a network that is there: its bridge is made.
type served struct {
	network.Network
	pool   *pool
	bridge link.Bridge
	users  int // containers on it
}

// use makes the network n, if it is not there, for one more container. The caller holds mu.
func (s *server) use(n network.Network) (*served, error) {
	if old := s.networks[n.Name]; old != nil && sameNetwork(old.Network, n) {
		old.users++
		if !slices.Equal(old.DNSServers, n.DNSServers) {
			old.Network = n
			s.names.SetNetwork(s.zone(old))
		}
		return old, nil
	}
	if n.Driver != "bridge" {
		return nil, fmt.Errorf("network %q has the driver %q, which proa puts no container on yet: make one of the driver bridge", n.Name, n.Driver)
	}
	if err := s.makeRoom(n); err != nil {
		return nil, err
	}
	b, err := bridgeOf(n, s.defaultMTU())
	if err != nil {
		return nil, err
	}
	if !s.ns.Own() && s.ns.Has(b.Name) && !slices.Contains(s.notedBridges(), b.Name) {
		return nil, fmt.Errorf("network %q can't be set up: the host has an interface %q that another program made, as Podman for containers of its own on that network; stop those, or use another network", n.Name, b.Name)
	}
	if err := s.noteBridge(b.Name); err != nil {
		return nil, err
	}
	if err := s.ns.Add(b); err != nil {
		return nil, err
	}
	out := &served{Network: n, pool: newPool(n), bridge: b, users: 1}
	s.networks[n.Name] = out
	err = s.ns.SetRules(s.bridges())
	if err == nil {
		err = s.serveNames(out)
	}
	if err != nil {
		s.removeNetwork(out)
		return nil, err
	}
	return out, nil
}

// release is for a container that is no longer on the network. The bridge stays for the next one.
func (s *server) release(n *served) { n.users-- }

func sameNetwork(a, b network.Network) bool {
	return a.ID == b.ID && a.NetworkInterface == b.NetworkInterface && a.Internal == b.Internal &&
		reflect.DeepEqual(a.Subnets, b.Subnets) && reflect.DeepEqual(a.Options, b.Options) && reflect.DeepEqual(a.Routes, b.Routes)
}

// makeRoom removes what is in the way of the network n: a network that was removed and that no container is on any more.
func (s *server) makeRoom(n network.Network) error {
	for _, old := range s.networks {
		conflict := ""
		switch {
		case old.Name == n.Name:
			conflict = "it was made anew"
		case old.NetworkInterface == n.NetworkInterface:
			conflict = fmt.Sprintf("it has the same bridge %q", n.NetworkInterface)
		case slices.ContainsFunc(old.Subnets, func(o network.Subnet) bool {
			return slices.ContainsFunc(n.Subnets, func(m network.Subnet) bool { return o.Subnet.Overlaps(m.Subnet) })
		}):
			conflict = "their subnets overlap"
		default:
			continue
		}
		if old.users > 0 {
			return fmt.Errorf("network %q can't be set up while %d containers are on network %q as it was before: %s; stop them first", n.Name, old.users, old.Name, conflict)
		}
		s.removeNetwork(old)
	}
	return nil
}

// reload makes the rules again, which another program may have removed.
func (s *server) reload() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.ns.SetRules(s.bridges()); err != nil {
		return err
	}
	return s.ns.Do(port.KeepSource)
}

func (s *server) removeNetwork(n *served) {
	delete(s.networks, n.Name)
	s.names.RemoveNetwork(n.Name)
	if err := s.ns.Remove(n.bridge.Name); err != nil {
		s.log.Error("removing a network", "network", n.Name, "error", err)
	}
}

// closeNetworks removes what netd made in a namespace that outlives it.
func (s *server) closeNetworks() {
	if s.ns.Own() {
		return
	}
	for _, n := range s.networks {
		s.removeNetwork(n)
	}
	if err := errors.Join(s.ns.SetRules(nil), s.ns.Do(port.UnkeepSource)); err != nil {
		s.log.Error("ending", "error", err)
	}
}

func (s *server) bridges() []link.Bridge {
	out := make([]link.Bridge, 0, len(s.networks))
	for _, n := range s.networks {
		out = append(out, n.bridge)
	}
	slices.SortFunc(out, func(a, b link.Bridge) int {
		if a.Name < b.Name {
			return -1
		}
		return 1
	})
	return out
}

// defaultMTU is that of a bridge whose network says nothing: the uplink's, for which large packets cost less, or
// Ethernet's where the host routes.
func (s *server) defaultMTU() int {
	if s.ns.Own() {
		return uplink.DefaultMTU
	}
	return 1500
}

func bridgeOf(n network.Network, mtu int) (link.Bridge, error) {
	b := link.Bridge{Name: n.NetworkInterface, MTU: mtu, Internal: n.Internal}
	for _, key := range []string{"mtu", "com.docker.network.driver.mtu"} {
		if v := n.Options[key]; v != "" {
			mtu, err := strconv.Atoi(v)
			if err != nil || mtu < 68 || mtu > 65535 {
				return b, fmt.Errorf("network %q has the option %s=%q: a number from 68 to 65535", n.Name, key, v)
			}
			b.MTU = mtu
		}
	}
	b.Isolated, b.Unmasked = n.Off(network.OptionICC), n.Off(network.OptionMasquerade)
	b.Open = n.Off(network.OptionIsolate)
	if v := n.Options[network.OptionVLAN]; v != "" {
		vlan, err := strconv.Atoi(v)
		if err != nil || vlan < 0 || vlan > 4094 {
			return b, fmt.Errorf("network %q has the option vlan=%q: a number from 1 to 4094", n.Name, v)
		}
		b.VLAN = vlan
	}
	for _, s := range n.Subnets {
		if s.Gateway.IsValid() {
			b.Gateways = append(b.Gateways, netip.PrefixFrom(s.Gateway, s.Subnet.Bits()))
		}
	}
	if b.Name == "" {
		return b, fmt.Errorf("network %q names no interface for its bridge: its file is damaged", n.Name)
	}
	return b, nil
}
