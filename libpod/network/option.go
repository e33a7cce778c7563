package network

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// Drivers of networks.
const (
	BridgeDriver  = "bridge"
	MacvlanDriver = "macvlan"
	IpvlanDriver  = "ipvlan"
)

// The keys of Network.Options.
const (
	OptionMTU     = "mtu"     // of every interface on the network
	OptionVLAN    = "vlan"    // of the bridge's ports
	OptionIsolate = "isolate" // a boolean, or strict; absent: true, as Docker's networks are; false: reached by others that say so
	OptionMode    = "mode"    // of macvlan and ipvlan

	OptionICC         = "com.docker.network.bridge.enable_icc"           // false: containers don't reach each other
	OptionMasquerade  = "com.docker.network.bridge.enable_ip_masquerade" // false: packets leave with the container's address
	OptionHostBinding = "com.docker.network.bridge.host_binding_ipv4"    // the address of -p without one
	OptionIfacePrefix = "com.docker.network.container_iface_prefix"      // in place of eth
)

// Docker's keys of what has a field, or a key of Podman's.
const (
	dockerMTU    = "com.docker.network.driver.mtu"
	dockerBridge = "com.docker.network.bridge.name"
)

// optionsOf are the options of each driver, as users write them.
var optionsOf = map[string][]string{
	BridgeDriver:  {OptionMTU, OptionVLAN, OptionIsolate, dockerMTU, dockerBridge, OptionICC, OptionMasquerade, OptionHostBinding, OptionIfacePrefix},
	MacvlanDriver: {"parent", OptionMTU, OptionMode},
	IpvlanDriver:  {"parent", OptionMTU, OptionMode},
}

// SetOption sets an option of a network that is to be made, whose Driver is known. An error says that there is none of
// that name, or that the value is wrong.
func (n *Network) SetOption(key, value string) error {
	known, ok := optionsOf[n.Driver]
	if !ok {
		return checkDriver(n.Driver)
	}
	if !slices.Contains(known, key) {
		return fmt.Errorf("unknown option %q of driver %s: it has %s", key, n.Driver, strings.Join(known, ", "))
	}
	switch key {
	case dockerMTU:
		key = OptionMTU
	case dockerBridge, "parent":
		if n.NetworkInterface != "" && n.NetworkInterface != value {
			return fmt.Errorf("option %s=%q: the interface is %q already", key, value, n.NetworkInterface)
		}
		n.NetworkInterface = value
		return CheckInterface(value)
	}
	if err := checkOption(n.Driver, key, value); err != nil {
		return fmt.Errorf("invalid option %s=%q: %w", key, value, err)
	}
	if n.Options == nil {
		n.Options = map[string]string{}
	}
	if b, err := strconv.ParseBool(value); err == nil && slices.Contains([]string{OptionIsolate, OptionICC, OptionMasquerade}, key) {
		value = strconv.FormatBool(b)
	}
	n.Options[key] = value
	return nil
}

func checkOption(driver, key, value string) error {
	switch key {
	case OptionMTU:
		return inRange(value, 68, 65535) // 1280 with IPv6, see complete
	case OptionVLAN:
		return inRange(value, 1, 4094)
	case OptionIsolate:
		if _, err := strconv.ParseBool(value); err != nil && value != "strict" {
			return errors.New("want true, false or strict")
		}
	case OptionICC, OptionMasquerade:
		if _, err := strconv.ParseBool(value); err != nil {
			return errors.New("want true or false")
		}
	case OptionHostBinding:
		if a, err := netip.ParseAddr(value); err != nil || !a.Is4() {
			return errors.New("want an IPv4 address")
		}
	case OptionIfacePrefix:
		return CheckInterface(value + "99")
	case OptionMode:
		modes := []string{"bridge", "private", "vepa", "passthru"}
		if driver == IpvlanDriver {
			modes = []string{"l2", "l3", "l3s"}
		}
		if !slices.Contains(modes, value) {
			return fmt.Errorf("want %s", strings.Join(modes, ", "))
		}
	}
	return nil
}

func checkDriver(driver string) error {
	if _, ok := optionsOf[driver]; !ok {
		return fmt.Errorf("unknown driver %q: %s, %s or %s", driver, BridgeDriver, MacvlanDriver, IpvlanDriver)
	}
	return nil
}

func inRange(s string, low, high int) error {
	if n, err := strconv.Atoi(s); err != nil || n < low || n > high {
		return fmt.Errorf("want a number from %d to %d", low, high)
	}
	return nil
}

// Off tells whether an option that is on without a word is off.
func (n *Network) Off(key string) bool {
	on, err := strconv.ParseBool(n.Options[key])
	return err == nil && !on
}
