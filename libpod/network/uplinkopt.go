package network

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// slirpOptions are Podman's of slirp4netns.
var slirpOptions = []string{"allow_host_loopback", "cidr", "enable_ipv6", "mtu", "outbound_addr", "outbound_addr6", "port_handler"}

// checkUplink checks the options of a container that has an uplink of its own. Those of pasta are its own words,
// separated by commas.
func checkUplink(name, options string, given bool) error {
	if !given {
		return nil
	}
	for _, o := range strings.Split(options, ",") {
		if o == "" || strings.ContainsFunc(o, func(r rune) bool { return r < ' ' || r == 0x7f }) {
			return fmt.Errorf("an option of %s is empty or has control characters", name)
		}
		if name == ModePasta {
			if strings.HasPrefix(o, "-") && slices.Contains([]string{"--netns", "--userns", "--netns-only", "--config-net", "--runas", "--pid", "--log-file", "--foreground", "-f", "-P", "-l"}, strings.SplitN(o, "=", 2)[0]) {
				return fmt.Errorf("the option %s of pasta is proa's to set", o)
			}
			continue
		}
		k, v, ok := strings.Cut(o, "=")
		if !ok || !slices.Contains(slirpOptions, k) {
			return fmt.Errorf("unknown option %q of slirp4netns: %s, as KEY=VALUE", o, strings.Join(slirpOptions, ", "))
		}
		if err := checkSlirp(k, v); err != nil {
			return fmt.Errorf("option %s=%q of slirp4netns: %w", k, v, err)
		}
	}
	return nil
}

func checkSlirp(key, value string) error {
	switch key {
	case "allow_host_loopback", "enable_ipv6":
		if _, err := strconv.ParseBool(value); err != nil {
			return errors.New("want true or false")
		}
	case "mtu":
		return inRange(value, 1280, 65520)
	case "cidr":
		p, err := netip.ParsePrefix(value)
		if err != nil || !p.Addr().Is4() || p.Bits() > 25 {
			return errors.New("want an IPv4 subnet of at least 128 addresses, as 10.0.2.0/24")
		}
	case "port_handler":
		if value != "rootlesskit" && value != "slirp4netns" {
			return errors.New("want rootlesskit or slirp4netns")
		}
	case "outbound_addr", "outbound_addr6":
		a, err := netip.ParseAddr(value)
		if err != nil {
			return CheckInterface(value)
		}
		if a.Is6() != (key == "outbound_addr6") {
			return errors.New("the address is of the other family")
		}
	}
	return nil
}
