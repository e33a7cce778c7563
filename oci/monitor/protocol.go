// Package monitor is the contract between proa and the monitor of a container: the configuration it is started with,
// the files it leaves in the container's run directory, and the packets on its sockets. The serving end is
// oci/monitor/serve. It links into proa and into proa-init, so it imports next to nothing.
package monitor

import (
	"encoding/json"
	"time"

	"github.com/proa-containers/proa/oci/driver"
	"github.com/proa-containers/proa/oci/monitor/event"
)

// The conversation, on SOCK_SEQPACKET sockets; every packet is one kind byte and its payload:
//
//	starter                     monitor                        client (attach socket)
//	   |  fork, fds below          |                              |
//	   |-------------------------->|                              |
//	   |   Prelaunch (optional)    |                              |
//	   |-------------------------->|  forks the init              |
//	   |   Conceived (if Plugged)  |                              |
//	   |<--------------------------|                              |
//	   |   Configure               |                              |
//	   |-------------------------->|  gives the init its plan     |
//	   |   Started or Failed       |                              |
//	   |<--------------------------|   Stdout, Stderr             |
//	   |                           |----------------------------->|
//	   |                           |   Stdin, StdinEOF, Resize    |
//	   |                           |<-----------------------------|
//	   |                           |   Exited                     |
//	   |                           |----------------------------->|  cleans up
//
// A container that its policy starts again ends so for its clients as well, with Restarting in the Exit: who wants to see
// the next run connects again. The starter's own socket, when it stays attached, becomes a client like any other.
//
// A starter that goes away before Configure takes the monitor and the init with it.
const (
	Prelaunch byte = 'p' // starter to monitor: a JSON Embryo
	Conceived byte = 'n' // monitor to starter: a JSON Init, of the init that was forked
	Configure byte = 'c' // starter to monitor: with the descriptors of a JSON Config and of the root, if there is one

	Stdin    byte = 'i' // client to monitor: bytes for the container
	StdinEOF byte = 'e' // client to monitor: close its standard input
	Hold     byte = 'h' // client to monitor: keep the terminal whose master comes along until its end
	Resize   byte = 'w' // client to monitor: a JSON Size
	Stdout   byte = 'o' // monitor to client
	Stderr   byte = 'r' // monitor to client
	Started  byte = 's' // monitor to starter: a JSON Init
	Failed   byte = 'f' // monitor to starter: a JSON Failure
	Exited   byte = 'x' // monitor to client: a JSON Exit, the last packet
	Update   byte = 'u' // client to monitor: a JSON Change
	Recheck  byte = 'k' // client to monitor: with the descriptor of a JSON Checks; monitor to that client: it is done
	Probe    byte = 'b' // client to monitor: make a health check now; monitor to that client: a JSON HealthResult
)

// MaxPayload is the most bytes of a stream in one packet.
const MaxPayload = 64 << 10

// The descriptors that the monitor is started with.
const (
	FDStarter = 3 // the starter's socket
	FDInit    = 4 // the sealed proa-init
)

// Embryo is an init whose namespaces are known before its plan.
type Embryo struct {
	Flags uint64 // CLONE_NEW*
	Later bool   `json:",omitempty"` // no init yet: it waits for its plan, or another runtime makes it
	// Plugged has the monitor tell of the init, whose network namespace is then plugged into networks. If another init is
	// needed after all, it gets that namespace.
	Plugged bool `json:",omitempty"`
	// CgroupDir is the cgroup v2 directory to be born in, which goes with the init if it gets no plan.
	CgroupDir string `json:",omitempty"`
}

// The files in Config.Dir.
const (
	LockFile    = "monitor.lock" // POSIX lock held by the live monitor; holds a JSON Init, without StartedAt, once there is one
	InitFile    = "init"         // a JSON Init, written when the command runs
	ExitFile    = "exit"         // a JSON Exit, written when it ended for good
	RestartFile = "restarts"     // a JSON Restarts, once the policy has had the container started again
	StayFile    = "stay"         // made by who ends the container and wants it to stay so, before the signal
	HealthFile  = "health"       // a JSON HealthState, of a container with a health check
	AttachFile  = "attach"       // the socket for clients
	StartFile   = "start"        // a fifo: a command that is held back runs when it is read, as package plan describes
)

// Config is what a monitor is started with.
type Config struct {
	ID         string
	Dir        string          // the container's run directory, on tmpfs
	Plan       json.RawMessage // a plan.Plan; null with a Runtime
	Runtime    *driver.Runtime `json:",omitempty"` // in place of the bundled one
	HasRoot    bool            // the root's descriptor, a detached mount, comes along
	CgroupDir  string          `json:",omitempty"` // cgroup v2 directory of the container, absolute
	PidsMax    int64           `json:",omitempty"` // for CgroupDir's pids.max when the init has the threads it needs
	OOMFile    string          `json:",omitempty"` // memory.events, or memory.oom_control of v1
	FreezeFile string          `json:",omitempty"` // cgroup.freeze, or freezer.state of v1
	Log        Log
	Terminal   bool
	Stdin      bool    // keep standard input open
	Hold       bool    `json:",omitempty"` // hold the command back until StartFile is read
	Attached   bool    // the starter stays on its socket as a client
	Restart    Policy  `json:",omitzero"`
	Health     *Health `json:",omitempty"`
	Events     event.Source
	Cleanup    []string `json:",omitempty"` // executed when the container ended and no client is left
	CleanupEnv []string `json:",omitempty"`
}

// Log says where the container's output is written.
type Log struct {
	Driver   string // k8s-file, json-file, journald, passthrough or none
	Path     string `json:",omitempty"` // of the file, or of the journal's socket
	Lazy     bool   `json:",omitempty"` // the file and its directory are made with the first output
	MaxSize  int64  `json:",omitempty"` // bytes; 0: unlimited
	MaxFiles int    `json:",omitempty"`
	Compress bool   `json:",omitempty"` // the files that were rotated away
	Buffer   int64  `json:",omitempty"` // bytes of output that may wait for the log before some is dropped; 0: the container waits
	// Attrs are the details that json-file keeps with each line, or the fields of journald's entries.
	Attrs map[string]string `json:",omitempty"`
	// Options that the engine makes Attrs of.
	Options map[string]string `json:",omitempty"`
}

// Size of a terminal, in characters.
type Size struct{ Width, Height uint16 }

// Init is the running container process.
type Init struct {
	PID       int
	StartTime uint64 // field 22 of /proc/PID/stat, clock ticks since boot: tells a taken pid
	StartedAt time.Time
	Held      bool `json:",omitempty"` // as long as StartFile is there, the command does not run yet
}

// Exit is how the container ended.
type Exit struct {
	Code       int // the exit status, or 128 plus the signal
	OOMKilled  bool
	FinishedAt time.Time
	Error      string `json:",omitempty"` // why it could not be started again
	Restarting bool   `json:",omitempty"` // it is about to be started again
}

// Failure is why the container did not start.
type Failure struct {
	Message string
	Code    int // 125, 126 or 127
}
