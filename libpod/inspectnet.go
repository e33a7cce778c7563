package libpod

import (
	"crypto/sha256"
	"encoding/hex"
	"net/netip"
	"slices"
	"strconv"

	"github.com/proa-containers/proa/libpod/network"
	"github.com/proa-containers/proa/libpod/network/netd"
)

// InspectedNetwork is Docker's NetworkSettings. What stands beside Networks is of the default network, as there.
type InspectedNetwork struct {
	SandboxID, SandboxKey string
	Ports                 map[string][]InspectedPort
	InspectedAddress
	Networks map[string]InspectedEndpoint
}

// InspectedPort is where a port of the container is on the host.
type InspectedPort struct{ HostIp, HostPort string }

// InspectedAddress is a container's place on a network.
type InspectedAddress struct {
	EndpointID          string
	Gateway             string
	IPAddress           string
	IPPrefixLen         int
	IPv6Gateway         string
	GlobalIPv6Address   string
	GlobalIPv6PrefixLen int
	MacAddress          string
}

// InspectedEndpoint is a container on one network.
type InspectedEndpoint struct {
	IPAMConfig *InspectedIPAM
	Links      []string
	Aliases    []string
	DriverOpts map[string]string
	NetworkID  string
	InspectedAddress
	DNSNames []string
}

// InspectedIPAM is what addresses were asked for.
type InspectedIPAM struct {
	IPv4Address string `json:",omitempty"`
	IPv6Address string `json:",omitempty"`
}

// dockerName is the name that Docker has for a network.
func dockerName(name string) string {
	if name == network.Default {
		return network.Bridge
	}
	return name
}

// NetworkNames are the networks of the container, by Docker's names; of one that has none of its own, the mode.
func (c *Container) NetworkNames() []string {
	if !c.networked() {
		return []string{c.Config.Namespaces.Network}
	}
	var out []string
	for _, a := range c.Networks {
		out = append(out, dockerName(a.Network))
	}
	return out
}

// networkMode is Docker's NetworkMode.
func (c *Container) networkMode() string {
	if c.networked() && len(c.Networks) > 0 {
		return dockerName(c.Networks[0].Network)
	}
	return c.Config.Namespaces.Network
}

func (e *Engine) inspectNetwork(c *Container, st Status, out *Inspected) error {
	s := &out.NetworkSettings
	s.Ports, s.Networks = map[string][]InspectedPort{}, map[string]InspectedEndpoint{}
	out.HostConfig.NetworkMode = c.networkMode()
	out.HostConfig.PortBindings = portMap(c.Ports)
	for _, p := range slices.Concat(c.Exposed, c.Ports) {
		for i := range max(p.Count, 1) {
			if out.Config.ExposedPorts == nil {
				out.Config.ExposedPorts = map[string]struct{}{}
			}
			out.Config.ExposedPorts[portKey(p, i)] = struct{}{}
		}
	}
	switch mode := c.Config.Namespaces.Network; {
	case c.networked():
	case mode == "none" || mode == "host":
		s.Networks[mode] = InspectedEndpoint{}
		return nil
	default:
		return nil
	}
	var rec *netd.Record
	if st.PID != 0 || st.State == Restarting {
		var err error
		if rec, err = e.netRecord(c); err != nil {
			return err
		}
	}
	for _, a := range c.Networks {
		s.Networks[dockerName(a.Network)] = inspectEndpoint(c, a, rec)
	}
	if rec == nil {
		return nil
	}
	for p := range out.Config.ExposedPorts {
		s.Ports[p] = nil
	}
	for p, hosts := range portMap(rec.Bound) {
		s.Ports[p] = hosts
	}
	s.SandboxID, s.SandboxKey = digest(c.ID, "sandbox"), "/proc/"+strconv.Itoa(st.PID)+"/ns/net"
	s.InspectedAddress = s.Networks[network.Bridge].InspectedAddress
	return nil
}

// inspectEndpoint is the container on one network; rec is nil when it does not run.
func inspectEndpoint(c *Container, a network.Attachment, rec *netd.Record) InspectedEndpoint {
	out := InspectedEndpoint{Aliases: a.Aliases, DNSNames: slices.Concat([]string{c.Name}, a.Aliases, []string{c.ID[:min(12, len(c.ID))]})}
	if a.Network == network.Default {
		out.DNSNames = nil
	}
	if len(a.Addresses) > 0 {
		out.IPAMConfig = &InspectedIPAM{}
		for _, ip := range a.Addresses {
			if ip.Is4() {
				out.IPAMConfig.IPv4Address = ip.String()
			} else {
				out.IPAMConfig.IPv6Address = ip.String()
			}
		}
	}
	out.MacAddress = a.MAC
	if rec == nil {
		return out
	}
	for _, n := range rec.Networks {
		if n.Name == a.Network {
			out.NetworkID = n.ID
		}
	}
	for _, l := range rec.Leases {
		if l.Network == a.Network {
			out.EndpointID, out.MacAddress = digest(c.ID, a.Network), l.MAC
			out.fill(l)
		}
	}
	return out
}

func (a *InspectedAddress) fill(l network.Lease) {
	for _, p := range l.Addresses {
		if p.Addr().Is4() {
			a.IPAddress, a.IPPrefixLen = p.Addr().String(), p.Bits()
		} else {
			a.GlobalIPv6Address, a.GlobalIPv6PrefixLen = p.Addr().String(), p.Bits()
		}
	}
	for _, gw := range l.Gateways {
		if gw.Is4() {
			a.Gateway = gw.String()
		} else {
			a.IPv6Gateway = gw.String()
		}
	}
}

// digest is an id that stays as long as what it names.
func digest(parts ...string) string {
	h := sha256.New()
	for _, p := range parts {
		h.Write([]byte(p + "\x00"))
	}
	return hex.EncodeToString(h.Sum(nil))
}

func portKey(p network.Port, i uint16) string {
	return strconv.Itoa(int(p.Container+i)) + "/" + p.Protocol
}

// portMap is the ports as Docker has them, by the container's.
func portMap(ports []network.Port) map[string][]InspectedPort {
	out := map[string][]InspectedPort{}
	for _, p := range ports {
		for i := range max(p.Count, 1) {
			at := InspectedPort{HostPort: ""}
			if p.Host != 0 {
				at.HostPort = strconv.Itoa(int(p.Host + i))
				if p.Spare > 0 {
					at.HostPort += "-" + strconv.Itoa(int(p.Host+p.Spare))
				}
			}
			if p.HostIP.IsValid() {
				at.HostIp = p.HostIP.String()
			}
			out[portKey(p, i)] = append(out[portKey(p, i)], at)
		}
	}
	return out
}

// Bound is one published port of a running container.
type Bound struct {
	Port     uint16 // the container's
	Protocol string
	Host     netip.AddrPort
}

// Bound lists the published ports of a container; one that does not run has none.
func (e *Engine) Bound(c *Container) ([]Bound, error) {
	if !c.networked() || len(c.Ports) == 0 {
		return nil, nil
	}
	rec, err := e.netRecord(c)
	if err != nil || rec == nil {
		return nil, err
	}
	var out []Bound
	for _, p := range rec.Bound {
		for i := range max(p.Count, 1) {
			for _, ip := range hostAddresses(p) {
				out = append(out, Bound{p.Container + i, p.Protocol, netip.AddrPortFrom(ip, p.Host+i)})
			}
		}
	}
	return out, nil
}

// hostAddresses are where a port listens, every address of the host being two.
func hostAddresses(p network.Port) []netip.Addr {
	if p.HostIP.IsValid() {
		return []netip.Addr{p.HostIP}
	}
	return []netip.Addr{netip.IPv4Unspecified(), netip.IPv6Unspecified()}
}
