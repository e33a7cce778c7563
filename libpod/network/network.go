// Package network owns what a network is: its configuration as netavark's JSON, so that Podman lists the same networks,
// and what a container asks of the networks it is on. It is pure: it touches no kernel object and no socket, and links
// into the hot path. The kernel's side is in its subpackages, in the process proa-netd.
package network

import (
	"net/netip"
	"time"
)

// Default is the name under which the default bridge network is stored, and Bridge what Docker calls it.
const (
	Default = "podman"
	Bridge  = "bridge"
)

// Domain is what containers' names stand below, beside alone. It is Podman's.
const Domain = "dns.podman"

// Network is one network, as netavark stores it in NAME.json.
type Network struct {
	Name             string            `json:"name"`
	ID               string            `json:"id"` // 64 hexadecimal digits
	Driver           string            `json:"driver"`
	NetworkInterface string            `json:"network_interface,omitempty"` // the bridge, or the parent of macvlan and ipvlan
	Created          time.Time         `json:"created"`
	Subnets          []Subnet          `json:"subnets,omitempty"`
	Routes           []Route           `json:"routes,omitempty"`
	IPv6Enabled      bool              `json:"ipv6_enabled"`
	Internal         bool              `json:"internal"`
	DNSEnabled       bool              `json:"dns_enabled"`
	DNSServers       []string          `json:"network_dns_servers,omitempty"`
	Labels           map[string]string `json:"labels,omitempty"`
	Options          map[string]string `json:"options,omitempty"` // mtu, vlan, isolate, com.docker.network.*
	IPAMOptions      map[string]string `json:"ipam_options,omitempty"`
	Proa             bool              `json:"made_by_proa,omitempty"` // else another tool made it, whose containers may use it
}

// Subnet is one range of a network's addresses.
type Subnet struct {
	Subnet     netip.Prefix `json:"subnet"`
	Gateway    netip.Addr   `json:"gateway,omitzero"`
	LeaseRange *LeaseRange  `json:"lease_range,omitempty"`
}

// LeaseRange bounds the addresses given to containers that ask for none.
type LeaseRange struct {
	Start netip.Addr `json:"start_ip,omitzero"`
	End   netip.Addr `json:"end_ip,omitzero"`
}

// Route is a static route of every container on a network.
type Route struct {
	Destination netip.Prefix `json:"destination"`
	Gateway     netip.Addr   `json:"gateway"`
	Metric      *uint32      `json:"metric,omitempty"`
}

// Attachment is what a container asks of one network it is on.
type Attachment struct {
	Network   string       // name; never an alias such as Bridge
	Addresses []netip.Addr `json:",omitempty"` // static ones, at most one a subnet
	MAC       string       `json:",omitempty"`
	Aliases   []string     `json:",omitempty"` // names beside the container's own
	Interface string       `json:",omitempty"` // "": eth0, eth1, ...
}

// Port is a published port, or a range of as many on both sides.
type Port struct {
	HostIP    netip.Addr `json:",omitzero"`  // invalid: every address of the host
	Host      uint16     `json:",omitempty"` // first one; 0: the kernel chooses
	Container uint16     // first one
	Count     uint16     // 1 for a single port
	Spare     uint16     `json:",omitempty"` // how many ports of the host behind Host will do as well, of which a free one is taken
	Protocol  string     // tcp or udp
}

// Lease is what a container got on one network.
type Lease struct {
	Network    string
	Interface  string
	MAC        string
	Addresses  []netip.Prefix // each with its subnet's length
	Gateways   []netip.Addr
	DNSServers []netip.Addr // the resolver of the network, empty where DNS is disabled
}
