package link

import (
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Bridge is the interface that the containers of one network are plugged into.
type Bridge struct {
	Name     string
	Gateways []netip.Prefix // its own addresses, each with its subnet's length
	MTU      int
	Internal bool // there is no way out of the network
	Isolated bool // its containers do not reach each other
	Open     bool // its containers reach those of other open ones
	Unmasked bool // packets leave with the addresses of the containers
	VLAN     int  // of its ports; 0 is none
}

// noDAD has an IPv6 address be of use at once: addresses are given out here, nobody else has them.
const noDAD = unix.IFA_F_NODAD

// Add makes the bridge, or brings one of that name in line.
func (n *Namespace) Add(b Bridge) error {
	attrs := netlink.NewLinkAttrs()
	attrs.Name, attrs.MTU, attrs.Flags = b.Name, b.MTU, net.FlagUp
	// Without an address of its own a bridge has the lowest of its ports', another one as containers come and go, and those
	// that run send to the last one for as long as they remember it.
	attrs.HardwareAddr = make(net.HardwareAddr, 6)
	rand.Read(attrs.HardwareAddr)
	attrs.HardwareAddr[0] = attrs.HardwareAddr[0]&^1 | 2 // of one host, administered locally
	err := n.nl.LinkAdd(&netlink.Bridge{LinkAttrs: attrs})
	if err != nil && !errors.Is(err, unix.EEXIST) {
		return fmt.Errorf("making the bridge %q: %w", b.Name, err)
	}
	link, err := n.nl.LinkByName(b.Name)
	if err != nil {
		return fmt.Errorf("making the bridge %q: %w", b.Name, err)
	}
	if link.Type() != "bridge" {
		return fmt.Errorf("making the bridge %q: an interface of that name is there already, and it is of the kind %s", b.Name, link.Type())
	}
	if err := n.tune(b); err != nil {
		return err
	}
	if err := n.setVLAN(link, b.VLAN); err != nil {
		return err
	}
	for _, gw := range b.Gateways {
		if err := n.nl.AddrReplace(link, address(gw)); err != nil {
			return fmt.Errorf("giving the bridge %q the address %v: %w", b.Name, gw, err)
		}
	}
	return n.nl.LinkSetUp(link)
}

// setVLAN has the bridge itself be in a VLAN, so that its ports in it reach the gateway.
func (n *Namespace) setVLAN(bridge netlink.Link, vlan int) error {
	if vlan == 0 {
		return nil
	}
	err := n.nl.BridgeSetVlanFiltering(bridge, true)
	if err == nil {
		err = n.nl.BridgeVlanAdd(bridge, uint16(vlan), true, true, true, false)
	}
	if errors.Is(err, unix.EOPNOTSUPP) {
		return fmt.Errorf("putting the bridge %q into VLAN %d: the kernel was built without CONFIG_BRIDGE_VLAN_FILTERING; make the network without --opt vlan", bridge.Attrs().Name, vlan)
	}
	if err != nil {
		return fmt.Errorf("putting the bridge %q into VLAN %d: %w", bridge.Attrs().Name, vlan, err)
	}
	return nil
}

func (n *Namespace) tune(b Bridge) error {
	return n.Do(func() error {
		if !n.own {
			if err := forward(); err != nil {
				return err
			}
		}
		// A container's router advertisement is not to give the bridge an address, or a way out.
		err := setSysctl("net.ipv6.conf."+slashed(b.Name)+".accept_ra", "0")
		if errors.Is(err, os.ErrNotExist) {
			return nil
		}
		return err
	})
}

// slashed is an interface's name as setSysctl takes it within a key.
func slashed(name string) string { return strings.ReplaceAll(name, ".", "/") }

// Remove removes a bridge; one that is not there is none of its business.
func (n *Namespace) Remove(name string) error {
	link, err := n.nl.LinkByName(name)
	if err == nil {
		err = n.nl.LinkDel(link)
	}
	var missing netlink.LinkNotFoundError
	if err != nil && !errors.As(err, &missing) && !errors.Is(err, unix.ENODEV) { // the kernel was faster
		return fmt.Errorf("removing the interface %q: %w", name, err)
	}
	return nil
}

// Has tells whether the namespace has an interface of that name.
func (n *Namespace) Has(name string) bool {
	_, err := n.nl.LinkByName(name)
	return err == nil
}

// Bridges are the names of all bridges of the namespace.
func (n *Namespace) Bridges() ([]string, error) {
	links, err := n.nl.LinkList()
	if err != nil {
		return nil, fmt.Errorf("listing the bridges: %w", err)
	}
	var out []string
	for _, l := range links {
		if l.Type() == "bridge" {
			out = append(out, l.Attrs().Name)
		}
	}
	return out, nil
}

func address(p netip.Prefix) *netlink.Addr {
	a := &netlink.Addr{IPNet: &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}}
	if p.Addr().Is6() {
		a.Flags = noDAD
	}
	return a
}
