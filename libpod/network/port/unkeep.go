package port

import (
	"errors"
	"fmt"
	"net"

	"github.com/google/nftables"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// UnkeepSource removes what KeepSource made, from a namespace that outlives the ports. It runs on a thread there, and does
// nothing where KeepSource was not called.
func UnkeepSource() error {
	var errs []error
	for _, f := range []struct{ family, bits int }{{unix.AF_INET, 32}, {unix.AF_INET6, 128}} {
		rule := netlink.NewRule()
		rule.Family, rule.Mark, rule.Table, rule.Priority = f.family, Mark, route, order
		all := &net.IPNet{IP: make(net.IP, f.bits/8), Mask: net.CIDRMask(0, f.bits)}
		for _, err := range []error{
			netlink.RuleDel(rule),
			netlink.RouteDel(&netlink.Route{Dst: all, Table: route, Scope: unix.RT_SCOPE_HOST, Type: unix.RTN_LOCAL, Family: f.family}),
		} {
			if err != nil && !errors.Is(err, unix.ENOENT) && !errors.Is(err, unix.ESRCH) && !errors.Is(err, unix.EAFNOSUPPORT) && !errors.Is(err, unix.EOPNOTSUPP) {
				errs = append(errs, err)
			}
		}
	}
	c, err := nftables.New()
	if err == nil {
		table := &nftables.Table{Family: nftables.TableFamilyINet, Name: Table}
		c.AddTable(table) // or there may be nothing to delete
		c.DelTable(table)
		err = c.Flush()
	}
	if err = errors.Join(append(errs, err)...); err != nil {
		return fmt.Errorf("remove the way back to clients' addresses: %w", err)
	}
	return nil
}
