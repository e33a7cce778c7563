package link

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Plug is a veth pair between a container and a bridge.
type Plug struct {
	Bridge    string
	Port      string   // the bridge's end
	NetNS     *os.File // the container's
	Interface string   // the container's end
	MAC       net.HardwareAddr
	MTU       int
	Addresses []netip.Prefix
	Routes    []Route // by way of this interface
	IPv6      bool    // the network has IPv6: without it, the interface has none either
	Isolated  bool    // from the bridge's other isolated ports
	VLAN      int     // 0 is none
}

// Route of a container. A default route has an empty prefix of its family.
type Route struct {
	To     netip.Prefix
	By     netip.Addr
	Metric *uint32
}

// Default is the route of all that has no other.
func Default(by netip.Addr) Route {
	if by.Is4() {
		return Route{To: netip.PrefixFrom(netip.IPv4Unspecified(), 0), By: by}
	}
	return Route{To: netip.PrefixFrom(netip.IPv6Unspecified(), 0), By: by}
}

// Insert makes the pair and sets the container's end up. On an error nothing is left of it.
func (n *Namespace) Insert(p Plug) error {
	bridge, err := n.nl.LinkByName(p.Bridge)
	if err != nil {
		return fmt.Errorf("plugging into the bridge %q: %w", p.Bridge, err)
	}
	inside, err := handle(p.NetNS)
	if err != nil {
		return err
	}
	defer inside.Close()
	if err := n.pair(p, bridge); err != nil {
		return err
	}
	if err = n.setPort(p); err == nil {
		err = configure(inside, p)
	}
	if err != nil {
		return errors.Join(err, n.Remove(p.Port))
	}
	return nil
}

// setPort sets what a port of a bridge has. Frames between two ports do not pass nftables' tables of IP, so those of
// isolated containers are kept apart here.
func (n *Namespace) setPort(p Plug) error {
	if !p.Isolated && p.VLAN == 0 {
		return nil
	}
	port, err := n.nl.LinkByName(p.Port)
	if err == nil && p.Isolated {
		err = n.nl.LinkSetIsolated(port, true)
	}
	if err == nil && p.VLAN != 0 {
		err = n.nl.BridgeVlanAdd(port, uint16(p.VLAN), true, true, false, true)
	}
	if err != nil {
		return fmt.Errorf("setting the container's port of the bridge %q: %w", p.Bridge, err)
	}
	return nil
}

func (n *Namespace) pair(p Plug, bridge netlink.Link) error {
	attrs := netlink.NewLinkAttrs()
	attrs.Name, attrs.MTU, attrs.MasterIndex, attrs.Flags = p.Port, p.MTU, bridge.Attrs().Index, net.FlagUp
	veth := &netlink.Veth{
		LinkAttrs: attrs, PeerName: p.Interface, PeerHardwareAddr: p.MAC, PeerMTU: uint32(p.MTU),
		PeerNamespace: netlink.NsFd(int(p.NetNS.Fd())),
	}
	err := n.nl.LinkAdd(veth)
	if errors.Is(err, unix.EEXIST) { // of a run that the kernel has not yet cleared away, or the container has one of the name
		if err := n.Remove(p.Port); err != nil {
			return err
		}
		err = n.nl.LinkAdd(veth)
	}
	if errors.Is(err, unix.EEXIST) {
		return fmt.Errorf("the container has an interface %q already", p.Interface)
	}
	if err != nil {
		return fmt.Errorf("making a veth pair to the bridge %q: %w", p.Bridge, err)
	}
	return nil
}

func configure(inside *netlink.Handle, p Plug) error {
	link, err := inside.LinkByName(p.Interface)
	if err != nil {
		return fmt.Errorf("finding the container's interface %q: %w", p.Interface, err)
	}
	if !p.IPv6 {
		err := doIn(p.NetNS, func() error { return setSysctl("net.ipv6.conf."+slashed(p.Interface)+".disable_ipv6", "1") })
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
	}
	for _, a := range p.Addresses {
		if err := inside.AddrAdd(link, address(a)); err != nil {
			return fmt.Errorf("giving the container the address %v: %w", a, err)
		}
	}
	if err := inside.LinkSetUp(link); err != nil {
		return fmt.Errorf("raising the container's interface %q: %w", p.Interface, err)
	}
	for _, r := range p.Routes {
		if err := addRoute(inside, link, r); err != nil {
			return err
		}
	}
	return nil
}

func addRoute(inside *netlink.Handle, link netlink.Link, r Route) error {
	route := &netlink.Route{LinkIndex: link.Attrs().Index, Gw: r.By.AsSlice(), Dst: &net.IPNet{IP: r.To.Addr().AsSlice(), Mask: net.CIDRMask(r.To.Bits(), r.To.Addr().BitLen())}}
	if r.Metric != nil {
		route.Priority = int(*r.Metric)
	}
	if err := inside.RouteReplace(route); err != nil {
		return fmt.Errorf("setting the container's route to %v by %v: %w", r.To, r.By, err)
	}
	return nil
}

// Reroute gives the container of netns routes by way of its interface.
func Reroute(ns *os.File, name string, routes []Route) error {
	inside, err := handle(ns)
	if err != nil {
		return err
	}
	defer inside.Close()
	link, err := inside.LinkByName(name)
	if err != nil {
		return fmt.Errorf("finding the container's interface %q: %w", name, err)
	}
	for _, r := range routes {
		if err := addRoute(inside, link, r); err != nil {
			return err
		}
	}
	return nil
}
