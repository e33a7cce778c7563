// Package netd is the contract between proa and proa-netd, the process that holds a user's networks while containers use
// them: the conversation on its socket, the files that it leaves, and the client, which starts it when it is not there.
// The serving end is libpod/network/netd/serve. The package runs in proa as root of proa's user namespace, is in the hot
// path and links no netlink.
package netd

import (
	"net/netip"

	"github.com/proa-containers/proa/libpod/network"
	"github.com/proa-containers/proa/oci/monitor"
	"github.com/proa-containers/proa/oci/monitor/event"
)

// The conversation, on a SOCK_SEQPACKET socket; every packet is one kind byte and its JSON:
//
//	proa                            proa-netd
//	  |   Setup and the descriptor    |
//	  |------------------------------>|  gives addresses, makes the interfaces, binds the ports
//	  |   Name                        |
//	  |------------------------------>|  from here on the container is known by its names
//	  |   Answer                      |
//	  |<------------------------------|
//
// A client that goes away before its Name takes all back: the container did not come to be. Connect, Disconnect and
// Reload are one request and one answer each. Nobody tells of a container's end: netd sees it.
const (
	Setup      byte = 's' // a Request, with the container's network namespace
	Name       byte = 'n' // a Names
	Connect    byte = 'c' // a Change, with the container's network namespace
	Disconnect byte = 'd' // a Change, with the container's network namespace
	Reload     byte = 'r' // nothing
	Reply      byte = 'a' // an Answer
)

// The files in the directory of netd, on tmpfs.
const (
	LockFile      = "lock"       // POSIX lock of the live netd
	StartFile     = "start"      // flock of who starts one
	SocketFile    = "socket"     //
	NamespaceFile = "netns"      // the network namespace, mounted: it outlives a netd that was killed
	PinsDir       = "pins"       // network namespaces of containers, mounted, see Request.Pin
	LogFile       = "log"        // what netd had to complain about, the last one's in .old
	RecordsDir    = "containers" // a JSON Record each, by the container's id
	BridgesFile   = "bridges"    // in the host's namespace: the names of those made there, one a line
)

// The descriptors that netd is started with: FDReady gets an empty packet when it listens, or the reason why it does not.
const FDReady = 3

// Request is what a container wants.
type Request struct {
	ID   string
	Name string // of the container in errors, if it has one yet
	// Init is the container's init, or the monitor that will fork it. While it lives, or a monitor or an init that is named
	// in RunDir, the container's run directory, the container is on its networks.
	Init   monitor.Init
	RunDir string
	// Pin has the network namespace outlive the init: its monitor starts another one in it.
	Pin         bool                 `json:",omitempty"`
	Attachments []network.Attachment // the first is its way out
	Networks    []network.Network    // the configuration of each
	Ports       []network.Port       `json:",omitempty"`
	DNS         []netip.Addr         `json:",omitempty"` // servers to ask in place of the host's
	Egress      network.Egress       `json:",omitzero"`
}

// HostNames are what containers call the host: Docker's name and Podman's.
var HostNames = [...]string{"host.docker.internal", "host.containers.internal"}

// Names are those that the other containers on its networks know a container by.
type Names struct {
	Name  string
	Links map[string]string `json:",omitempty"` // names that only this container uses, of others
	// Events has netd tell of what the egress policy refused.
	Events event.Source `json:",omitzero"`
}

// Change puts a running container on one more network or takes it off one.
type Change struct {
	ID         string
	Attachment network.Attachment
	Network    network.Network
}

// Answer is what came of a request.
type Answer struct {
	Error  string          `json:",omitempty"`
	Leases []network.Lease `json:",omitempty"`
	Ports  []network.Port  `json:",omitempty"` // with the host's port of each
	Host   []netip.Addr    `json:",omitempty"` // lead to the host
}

// Record is a container on its networks, as its file has it.
type Record struct {
	Request
	Names  Names
	Named  bool // Name came
	Leases []network.Lease
	Bound  []network.Port // the published ports
}
