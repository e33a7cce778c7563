// Package spec turns what was asked for a container into the OCI runtime configuration: pure conversion, no look at
// the host. The sections declared here are each option's only declaration: flags bind to them and the container's
// record stores them. It runs in proa.
package spec

import "time"

// Config is what a container is made of, section by section; the zero value is Docker's default container.
type Config struct {
	Process    Process
	Namespaces Namespaces
	Security   Security
	Mounts     Mounts
	Resources  Resources
	Health     *Health `json:",omitempty"`
}

// Process is what runs.
type Process struct {
	Args       []string          // the command line, entrypoint and command together
	Entrypoint []string          `json:",omitempty"`
	Cmd        []string          `json:",omitempty"`
	Env        []string          `json:",omitempty"` // KEY=VALUE; the image's, then --env-file's, then --env's
	Unset      []string          `json:"-"`          // names of the image's variables to leave out when the container is made
	UnsetAll   bool              `json:"-"`
	Cwd        string            `json:",omitempty"`
	User       string            `json:",omitempty"` // NAME|UID[:NAME|GID]
	Groups     []string          `json:",omitempty"` // supplementary, names or ids
	Terminal   bool              `json:",omitempty"`
	Init       bool              `json:",omitempty"` // a reaping process 1
	Rlimits    []Rlimit          `json:",omitempty"`
	OOMScore   *int              `json:",omitempty"`
	Sysctls    map[string]string `json:",omitempty"`
}

// Rlimit is a --ulimit; -1 is unlimited.
type Rlimit struct {
	Name       string // as "nofile"
	Soft, Hard int64
}

// Namespaces are modes: "" and "private" for one of its own, "host", "container:NAME", "ns:PATH". Network also knows
// "none", and "bridge" for one that the networks of the container's record are plugged into.
type Namespaces struct {
	PID, Network, IPC, UTS, Cgroup string
	Hostname, Domainname           string
	ExtraHosts                     []string `json:",omitempty"` // NAME:IP
}

// Security of the process.
type Security struct {
	Privileged      bool     `json:",omitempty"`
	CapAdd, CapDrop []string `json:",omitempty"` // CAP_NAME or ALL
	NoNewPrivileges bool     `json:",omitempty"`
	Seccomp         string   `json:",omitempty"` // "", "unconfined" or the path of a profile
	AppArmor        string   `json:",omitempty"`
	Label           string   `json:",omitempty"` // SELinux: "disable" or ""
	Mask            []string `json:",omitempty"`
	Unmask          []string `json:",omitempty"` // "ALL" or paths
}

// Mounts of the container besides its root.
type Mounts struct {
	ReadonlyRoot bool     `json:",omitempty"`
	List         []Mount  `json:",omitempty"`
	Devices      []Device `json:",omitempty"`
	ShmSize      int64    `json:",omitempty"` // bytes; 0: 64 MiB
	VolumesFrom  []string `json:",omitempty"` // CONTAINER[:OPTIONS], whose mounts are in List when the container is made
	ImageVolumes string   `json:",omitempty"` // what an image's volumes become: "" a volume each, "tmpfs" or "ignore"
}

// Mount is a --volume, --mount or --tmpfs.
type Mount struct {
	Type    string   // bind, tmpfs or volume
	Source  string   `json:",omitempty"` // absolute
	Target  string   // absolute
	Options []string `json:",omitempty"` // in mount(8)'s words
	Chown   bool     `json:",omitempty"` // U: give the content to the container's user at each start
	Volume  *Volume  `json:",omitempty"` // of the type volume
}

// Volume is what a mount says of its volume.
type Volume struct {
	Name      string            `json:",omitempty"` // empty until the container is made: one of its own
	Anonymous bool              `json:",omitempty"` // it goes with the container
	Inherited bool              `json:",omitempty"` // by --volumes-from, or of the image
	NoCopy    bool              `json:",omitempty"` // leave out the copy of the image's content
	Subpath   string            `json:",omitempty"` // the part of the volume to mount
	Labels    map[string]string `json:",omitempty"` // and options, of a volume that is to be made
	Options   map[string]string `json:",omitempty"`
	Mounted   bool              `json:",omitempty"` // the volume is mounted while containers use it
}

// Device is a --device.
type Device struct {
	Source, Target string
	Access         string // of r, w and m
}

// Resources are limits; zero is none.
type Resources struct {
	Memory     int64   `json:",omitempty"` // bytes
	MemorySwap int64   `json:",omitempty"` // bytes, memory included; -1 unlimited
	Reserved   int64   `json:",omitempty"` // bytes of memory that are reclaimed last
	CPUs       float64 `json:",omitempty"`
	CPUPeriod  uint64  `json:",omitempty"` // microseconds, in place of CPUs
	CPUQuota   int64   `json:",omitempty"` // microseconds in each period
	CPUShares  uint64  `json:",omitempty"`
	CPUSet     string  `json:",omitempty"`
	CPUSetMems string  `json:",omitempty"`
	PidsLimit  int64   `json:",omitempty"`
	IOWeight   uint16  `json:",omitempty"` // 10 to 1000
}

// Set tells whether a limit is asked for.
func (r Resources) Set() bool { return r != Resources{} }

// Health is how the container's health is checked; what is zero is the image's, or Docker's default. Test is Docker's
// with CMD, CMD-SHELL or NONE first, or HTTP and a URL, or TCP and an address.
type Health struct {
	Test                           []string `json:",omitempty"`
	Interval, Timeout, StartPeriod time.Duration
	StartInterval                  time.Duration `json:",omitempty"`
	Retries                        int
	OnFailure                      string `json:",omitempty"` // kill, restart or stop
}

// The first words of Health.Test.
const (
	HealthCommand = "CMD"
	HealthShell   = "CMD-SHELL"
	HealthNone    = "NONE"
	HealthHTTP    = "HTTP"
	HealthTCP     = "TCP"
)

// Checks tells whether there is something to check.
func (h *Health) Checks() bool { return h != nil && len(h.Test) > 0 && h.Test[0] != HealthNone }

// Env are the facts about this host and run that the conversion needs.
type Env struct {
	ID          string
	Rootless    bool
	Root        string // config.json's root.path
	User        User
	Files       map[string]string // container path to host path: hosts, resolv.conf, hostname
	CgroupPath  string
	HostMqueue  bool // the host has /dev/mqueue, which --ipc host then shares
	Annotations map[string]string
	// Namespace is the path of the namespace kind, as /proc names it, of a running container.
	Namespace func(container, kind string) (string, error)
	NetNS     string                  // a network namespace made for a container of the mode bridge, "" for one to be made
	Devices   []Device                // the host's devices, for a privileged container
	Volumes   map[string]VolumeSource // by the target of the mount
}

// VolumeSource is where a volume's content is on the host.
type VolumeSource struct {
	Path    string
	Options []string // of the mount, before those of the container's
}
