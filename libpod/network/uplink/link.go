package uplink

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// configure gives the interface its addresses and the default routes, and tells whether it was there. It runs in the
// containers' namespace, which also has IPv6 where that is off by default.
func (l link) configure() (bool, error) {
	dev, err := netlink.LinkByName(Interface)
	if missing := (netlink.LinkNotFoundError{}); errors.As(err, &missing) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("find interface %s: %w", Interface, err)
	}
	if err := netlink.LinkSetMTU(dev, l.mtu); err != nil {
		return false, fmt.Errorf("set the MTU %d of %s: %w", l.mtu, Interface, err)
	}
	// slirp4netns announces itself as a router, with another address than these. Where that can't be turned off, as with a
	// read-only /proc/sys, it only adds one.
	_ = os.WriteFile("/proc/sys/net/ipv6/conf/"+Interface+"/accept_ra", []byte("0"), 0)
	for _, p := range l.addresses {
		// No duplicates are looked for: nobody else is on this link, and the search takes a second.
		a := &netlink.Addr{IPNet: ipnet(p.Addr(), p.Bits()), Flags: unix.IFA_F_NODAD}
		if err := netlink.AddrReplace(dev, a); err != nil && !(p.Addr().Is6() && withoutIPv6(err)) {
			return false, fmt.Errorf("give %s the address %s: %w", Interface, p, err)
		}
	}
	if err := netlink.LinkSetUp(dev); err != nil {
		return false, fmt.Errorf("bring up %s: %w", Interface, err)
	}
	for _, g := range l.gateways {
		r := &netlink.Route{LinkIndex: dev.Attrs().Index, Gw: g.AsSlice(), Dst: ipnet(netip.IPv6Unspecified(), 0)}
		if g.Is4() {
			r.Dst = ipnet(netip.IPv4Unspecified(), 0)
		}
		if err := netlink.RouteReplace(r); err != nil && !(g.Is6() && withoutIPv6(err)) {
			return false, fmt.Errorf("add a route by %s: %w", g, err)
		}
	}
	return true, nil
}

// withoutIPv6 tells whether the kernel, or a sysctl of the namespace, has IPv6 off.
func withoutIPv6(err error) bool {
	return errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.EAFNOSUPPORT) || errors.Is(err, unix.EACCES) ||
		errors.Is(err, unix.EPERM) || errors.Is(err, unix.ENETUNREACH)
}

func ipnet(a netip.Addr, bits int) *net.IPNet {
	return &net.IPNet{IP: a.AsSlice(), Mask: net.CIDRMask(bits, a.BitLen())}
}
