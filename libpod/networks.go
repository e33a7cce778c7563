package libpod

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/proa-containers/proa/libpod/network"
	"github.com/proa-containers/proa/oci/monitor/event"
)

// ResolveNetworks puts the names of the networks that c is to be on in the place of what the user called them.
// network.ErrNotFound says that one is not there.
func (e *Engine) ResolveNetworks(c *Container) error {
	for i := range c.Networks {
		a := &c.Networks[i]
		if a.Network == network.Default && len(a.Addresses) == 0 {
			continue // it is always there
		}
		s, err := e.Networks()
		if err != nil {
			return err
		}
		n, err := s.Get(a.Network)
		if err != nil {
			return err
		}
		if err := n.Admits(*a); err != nil {
			return err
		}
		if slices.ContainsFunc(c.Networks[:i], func(o network.Attachment) bool { return o.Network == n.Name }) {
			return fmt.Errorf("network %q is given twice, once as %q", n.Name, a.Network)
		}
		a.Network = n.Name
	}
	return nil
}

// holdNetworks keeps the networks of c from being removed until release is called: until its record names them.
func (e *Engine) holdNetworks(ctx context.Context, c *Container) (release func(), err error) {
	if !slices.ContainsFunc(c.Networks, func(a network.Attachment) bool { return a.Network != network.Default }) {
		return func() {}, nil
	}
	s, err := e.Networks()
	if err != nil {
		return nil, err
	}
	if release, err = s.Hold(ctx); err != nil {
		return nil, err
	}
	if err := e.ResolveNetworks(c); err != nil {
		release()
		return nil, err
	}
	return release, nil
}

// onNetworks are the containers of each network, running or not.
func (e *Engine) onNetworks() (map[string][]*Container, error) {
	records, err := e.state.List()
	if err != nil {
		return nil, err
	}
	out := map[string][]*Container{}
	for _, r := range records {
		c, err := decode(r)
		if err != nil {
			return nil, err
		}
		if c.networked() {
			for _, a := range c.Networks {
				out[a.Network] = append(out[a.Network], c)
			}
		}
	}
	return out, nil
}

// NetworkUsers are the containers of each network, as users are told of them.
func (e *Engine) NetworkUsers() (map[string][]string, error) {
	containers, err := e.onNetworks()
	out := map[string][]string{}
	for name, list := range containers {
		for _, c := range list {
			out[name] = append(out[name], fmt.Sprintf("container %q (%.12s)", c.Name, c.ID))
		}
	}
	return out, err
}

// NetworkContainers are the containers of one network.
func (e *Engine) NetworkContainers(name string) ([]*Container, error) {
	containers, err := e.onNetworks()
	return containers[name], err
}

// RemoveNetworks removes those of list that no container is on.
func (e *Engine) RemoveNetworks(ctx context.Context, list []*network.Network) (gone []*network.Network, errs []error) {
	s, err := e.Networks()
	if err != nil {
		return nil, []error{err}
	}
	if _, err := e.List(ctx); err != nil { // what has ended and is to go, goes
		return nil, []error{err}
	}
	gone, errs = s.Remove(ctx, list, e.NetworkUsers)
	for _, n := range gone {
		e.SayNetwork("destroy", n)
	}
	return gone, errs
}

// SayNetwork writes an event of a network, "create" or "destroy".
func (e *Engine) SayNetwork(action string, n *network.Network) {
	err := event.Append(e.eventDir(), event.Event{Type: "network", Action: action, ID: n.ID, Attributes: map[string]string{"name": n.Name, "type": n.Driver}})
	if err != nil {
		e.warn(err)
	}
}

// sayMember writes an event of a container that is put on a network or taken off it.
func (e *Engine) sayMember(action string, n *network.Network, c *Container) {
	err := event.Append(e.eventDir(), event.Event{Type: "network", Action: action, ID: n.ID, Attributes: map[string]string{"name": n.Name, "type": n.Driver, "container": c.ID}})
	if err != nil {
		e.warn(err)
	}
}

// InspectedNet is a network in the shape of Docker's inspect, with the fields that Podman's has beside.
type InspectedNet struct {
	Name       string
	ID         string `json:"Id"`
	Created    string
	Scope      string
	Driver     string
	EnableIPv4 bool
	EnableIPv6 bool
	IPAM       InspectedNetIPAM
	Internal   bool
	Attachable bool
	Ingress    bool
	ConfigFrom struct{ Network string }
	ConfigOnly bool
	Containers map[string]InspectedNetMember
	Options    map[string]string
	Labels     map[string]string

	NetworkInterface  string            `json:"network_interface"`
	Subnets           []network.Subnet  `json:"subnets"`
	Routes            []network.Route   `json:"routes,omitempty"`
	IPv6Enabled       bool              `json:"ipv6_enabled"`
	DNSEnabled        bool              `json:"dns_enabled"`
	NetworkDNSServers []string          `json:"network_dns_servers,omitempty"`
	IPAMOptions       map[string]string `json:"ipam_options"`
}

// InspectedNetIPAM is how a network's addresses are given out.
type InspectedNetIPAM struct {
	Driver  string
	Options map[string]string
	Config  []InspectedNetRange
}

// InspectedNetRange is one subnet.
type InspectedNetRange struct {
	Subnet  string
	IPRange string `json:",omitempty"`
	Gateway string `json:",omitempty"`
}

// InspectedNetMember is a running container on a network.
type InspectedNetMember struct{ Name, EndpointID, MacAddress, IPv4Address, IPv6Address string }

// InspectNetwork describes n.
func (e *Engine) InspectNetwork(n *network.Network) (*InspectedNet, error) {
	out := &InspectedNet{
		Name: dockerName(n.Name), ID: n.ID, Created: n.Created.Format("2006-01-02T15:04:05.999999999Z07:00"), Scope: "local", Driver: n.Driver, EnableIPv6: n.IPv6Enabled,
		IPAM: InspectedNetIPAM{"default", map[string]string{}, []InspectedNetRange{}}, Internal: n.Internal,
		Containers: map[string]InspectedNetMember{}, Options: n.Options, Labels: n.Labels,
		NetworkInterface: n.NetworkInterface, Subnets: n.Subnets, Routes: n.Routes, IPv6Enabled: n.IPv6Enabled, DNSEnabled: n.DNSEnabled,
		NetworkDNSServers: n.DNSServers, IPAMOptions: n.IPAMOptions,
	}
	for _, m := range []*map[string]string{&out.Options, &out.Labels} {
		if *m == nil {
			*m = map[string]string{}
		}
	}
	for _, s := range n.Subnets {
		r := InspectedNetRange{Subnet: s.Subnet.String(), IPRange: s.RangeText()}
		if s.Gateway.IsValid() {
			r.Gateway = s.Gateway.String()
		}
		out.EnableIPv4 = out.EnableIPv4 || s.Subnet.Addr().Is4()
		out.IPAM.Config = append(out.IPAM.Config, r)
	}
	list, err := e.NetworkContainers(n.Name)
	if err != nil {
		return nil, err
	}
	for _, c := range list {
		if e.Status(c).PID == 0 {
			continue
		}
		m, err := e.member(c, n.Name)
		if err != nil {
			return nil, err
		}
		out.Containers[c.ID] = m
	}
	return out, nil
}

// member is a running container as its network has it.
func (e *Engine) member(c *Container, name string) (InspectedNetMember, error) {
	m := InspectedNetMember{Name: c.Name, EndpointID: digest(c.ID, name)}
	rec, err := e.netRecord(c)
	if err != nil || rec == nil {
		return m, err
	}
	for _, l := range rec.Leases {
		if l.Network != name {
			continue
		}
		m.MacAddress = l.MAC
		for _, p := range l.Addresses {
			if p.Addr().Is4() {
				m.IPv4Address = p.String()
			} else {
				m.IPv6Address = p.String()
			}
		}
	}
	return m, nil
}

// UsedOnly tells whether err says nothing but that a network stays for its containers, or is gone already.
func UsedOnly(err error) bool {
	var used *network.UsedError
	return errors.As(err, &used) || errors.Is(err, network.ErrNotFound)
}
