// Package plan owns the description of a container that the init performs: every decision already made, in
// the units of the kernel. It is written by oci/runtime in the parent, carried in a memfd, and read once by
// oci/perform. It imports only the standard library, since it is linked into proa-init.
package plan

import (
	"encoding/json"
	"fmt"
	"io"
	"syscall"
)

// Plan is all that an init has to do between its first instruction and execve.
type Plan struct {
	Process    Process      `json:"process"`
	Root       Root         `json:"root"`
	Namespaces []Namespace  `json:"ns,omitempty"`
	UIDMaps    []IDMap      `json:"uids,omitempty"`
	GIDMaps    []IDMap      `json:"gids,omitempty"`
	Hostname   string       `json:"hostname,omitempty"`
	Domainname string       `json:"domainname,omitempty"`
	Sysctls    []Sysctl     `json:"sysctls,omitempty"`
	Mounts     []Mount      `json:"mounts,omitempty"`
	Devices    []Device     `json:"devices,omitempty"`
	DevLinks   []Link       `json:"links,omitempty"`
	Masked     []string     `json:"masked,omitempty"`
	Readonly   []string     `json:"ro,omitempty"`
	Hooks      Hooks        `json:"hooks,omitzero"`
	Time       []TimeOffset `json:"time,omitempty"`
	// CgroupDirs are directories whose cgroup.procs the parent writes the init's pid to before it proceeds.
	CgroupDirs []string `json:"cgroups,omitempty"`
	// Prepare makes the init wait for the launcher's Prepare callback before it does anything.
	Prepare bool `json:"prepare,omitempty"`
	// Limit makes the init wait for the launcher's Limit callback last of all: the limit of a cgroup on processes counts
	// threads, and an init has more of them than a command may be allowed.
	Limit bool `json:"limit,omitempty"`
	// JoinFlags are the CLONE_NEW* namespaces of FDs.Target an exec's init enters itself, and forks, when the
	// launcher could not: an unprivileged launcher has rights over a container's namespaces only in its user namespace.
	JoinFlags int `json:"joinFlags,omitempty"`
	// JoinCgroup makes an exec's init enter the cgroup namespace of FDs.Target, when it is born in a cgroup within.
	JoinCgroup bool `json:"joinCgroup,omitempty"`
	// Late makes a launcher leave aside an init that was started ahead: its copy of the mounts is older than a bind's source.
	Late bool `json:"late,omitempty"`
	// SameMounts tells that FDs.Target has the launcher's mount namespace.
	SameMounts bool `json:"sameMounts,omitempty"`
	// Init keeps a reaping pid 1 that forwards signals to the command.
	Init bool `json:"init,omitempty"`
	// Lifeline makes what Init keeps one that is not pid 1, as a rule: the first preserved descriptor is its own, a pipe
	// that the launcher holds the other end of, and what descends from the command ends with the command and the pipe.
	Lifeline bool `json:"lifeline,omitempty"`
	// FDs are the numbers of descriptors the launcher hands over; filled in by oci/launch.
	FDs FDs `json:"fds"`
}

// FDs are the descriptors an init inherits besides 0-2. Zero means absent.
type FDs struct {
	Preserve int   `json:"preserve,omitempty"` // 3 .. 3+Preserve-1 stay open in the container
	Root     int   `json:"root,omitempty"`     // detached mount of the root filesystem; for exec, the root directory to change to
	Fifo     int   `json:"fifo,omitempty"`     // O_PATH handle of the fifo that holds the start back
	Target   int   `json:"target,omitempty"`   // pidfd or mount namespace to enter (exec)
	IDMaps   []int `json:"idmaps,omitempty"`   // user namespaces of idmapped mounts
}

// Process is the part of a plan that exec shares with init.
type Process struct {
	Args   []string `json:"args"`
	Env    []string `json:"env,omitempty"`
	Cwd    string   `json:"cwd,omitempty"`
	UID    uint32   `json:"uid"`
	GID    uint32   `json:"gid"`
	Groups []uint32 `json:"groups,omitempty"`
	// KeepGroups leaves the supplementary groups alone: setgroups(2) is denied in a single-id user namespace.
	KeepGroups bool    `json:"keepGroups,omitempty"`
	Umask      *uint32 `json:"umask,omitempty"`
	// Caps nil leaves the capabilities the kernel gives on setuid and execve.
	Caps            *Caps      `json:"caps,omitempty"`
	NoNewPrivileges bool       `json:"nnp,omitempty"`
	Seccomp         *Seccomp   `json:"seccomp,omitempty"`
	Rlimits         []Rlimit   `json:"rlimits,omitempty"`
	OOMScoreAdj     *int       `json:"oom,omitempty"`
	Terminal        bool       `json:"tty,omitempty"`
	ConsoleRows     uint16     `json:"rows,omitempty"`
	ConsoleCols     uint16     `json:"cols,omitempty"`
	AppArmor        string     `json:"apparmor,omitempty"`
	SELinux         string     `json:"selinux,omitempty"`
	Personality     *uint64    `json:"personality,omitempty"`
	Scheduler       *Scheduler `json:"sched,omitempty"`
	IOPriority      *int       `json:"ioprio,omitempty"` // as ioprio_set(2) takes it
	CPUs            []byte     `json:"cpus,omitempty"`   // sched_setaffinity(2) mask, little endian (exec)
}

// Caps are capability sets as bit masks.
type Caps struct {
	Bounding    uint64 `json:"b"`
	Effective   uint64 `json:"e"`
	Permitted   uint64 `json:"p"`
	Inheritable uint64 `json:"i,omitempty"`
	Ambient     uint64 `json:"a,omitempty"`
}

// Seccomp is a compiled filter: an array of struct sock_filter, and seccomp(2) flags.
type Seccomp struct {
	Filter []byte `json:"bpf"`
	Flags  uint64 `json:"flags,omitempty"`
}

// Rlimit is one prlimit(2).
type Rlimit struct {
	Resource int    `json:"r"`
	Soft     uint64 `json:"s"`
	Hard     uint64 `json:"h"`
}

// Scheduler is struct sched_attr without its size.
type Scheduler struct {
	Policy   uint32 `json:"policy"`
	Flags    uint64 `json:"flags,omitempty"`
	Nice     int32  `json:"nice,omitempty"`
	Priority uint32 `json:"prio,omitempty"`
	Runtime  uint64 `json:"runtime,omitempty"`
	Deadline uint64 `json:"deadline,omitempty"`
	Period   uint64 `json:"period,omitempty"`
}

// Root is the root filesystem: FDs.Root if set, otherwise Path.
type Root struct {
	Path     string `json:"path,omitempty"`
	Readonly bool   `json:"ro,omitempty"`
	// Propagation is MS_SHARED, MS_SLAVE, MS_PRIVATE or MS_UNBINDABLE; Recursive adds MS_REC. Zero is rprivate.
	Propagation uint64 `json:"prop,omitempty"`
	Recursive   bool   `json:"rec,omitempty"`
	// NoPivot moves the root over "/" and chroots, for a host whose root is the initial ramfs.
	NoPivot bool `json:"noPivot,omitempty"`
}

// Namespace is a namespace to create, or to join when Path is set. Type is a CLONE_NEW* flag.
type Namespace struct {
	Type uint64 `json:"t"`
	Path string `json:"p,omitempty"`
}

// IDMap is one extent of a uid_map or gid_map.
type IDMap struct {
	Container uint32 `json:"c"`
	Host      uint32 `json:"h"`
	Size      uint32 `json:"s"`
}

// Sysctl is a value for /proc/sys/Path.
type Sysctl struct {
	Path  string `json:"k"`
	Value string `json:"v"`
}

// MountKind says how a mount is made.
type MountKind uint8

// The kinds of mounts.
const (
	MountFS      MountKind = iota // fsopen(FSType)
	MountBind                     // open_tree(Source)
	MountCgroup1                  // a tmpfs holding every v1 hierarchy
)

// Mount is one mount, in order. A destination that is missing is created.
type Mount struct {
	Kind   MountKind `json:"kind,omitempty"`
	FSType string    `json:"fs,omitempty"`
	Source string    `json:"src,omitempty"`
	Dest   string    `json:"dst"`
	// Data are key or key=value parameters of the filesystem.
	Data []string `json:"data,omitempty"`
	// Set and Clear are MOUNT_ATTR_*; RecSet and RecClear apply to the whole tree.
	Set      uint64 `json:"set,omitempty"`
	Clear    uint64 `json:"clr,omitempty"`
	RecSet   uint64 `json:"rset,omitempty"`
	RecClear uint64 `json:"rclr,omitempty"`
	// Propagation is an MS_* propagation type, made after attaching.
	Propagation    uint64 `json:"prop,omitempty"`
	PropagationRec bool   `json:"proprec,omitempty"`
	Recursive      bool   `json:"rec,omitempty"`    // rbind
	CopyUp         bool   `json:"copyup,omitempty"` // fill a tmpfs with what it covers
	NoFollow       bool   `json:"nofollow,omitempty"`
	// Fallback is a bind source for when the filesystem may not be mounted in this user namespace.
	Fallback string `json:"fallback,omitempty"`
	// IDMap indexes FDs.IDMaps plus one; zero for none.
	IDMap    int     `json:"idmap,omitempty"`
	IDMapRec bool    `json:"idmaprec,omitempty"`
	UIDMaps  []IDMap `json:"muids,omitempty"`
	GIDMaps  []IDMap `json:"mgids,omitempty"`
	// Subpath is what to bind of Source, looked up in it when the mount is made: links lead nowhere else.
	Subpath string `json:"sub,omitempty"`
}

// Device is a device node. With Bind it is a bind mount of the host's node at the same path.
type Device struct {
	Path string `json:"p"`
	Mode uint32 `json:"m"` // type and permissions, as mknod(2) takes them
	Dev  uint64 `json:"d"`
	UID  uint32 `json:"u,omitempty"`
	GID  uint32 `json:"g,omitempty"`
	Bind string `json:"b,omitempty"` // host path
}

// Link is a symbolic link to make unless something is there.
type Link struct {
	Path   string `json:"p"`
	Target string `json:"t"`
}

// Hooks are those the init runs or waits for. Runtime hooks are run by the launcher's callback.
type Hooks struct {
	CreateRuntime   bool   `json:"cr,omitempty"` // ask the launcher to run prestart and createRuntime
	CreateContainer []Hook `json:"cc,omitempty"`
	StartContainer  []Hook `json:"sc,omitempty"`
}

// Hook is a program that gets the container's state on its standard input. Timeout is in seconds; 0 is none.
type Hook struct {
	Path    string   `json:"path"`
	Args    []string `json:"args,omitempty"`
	Env     []string `json:"env,omitempty"`
	Timeout int      `json:"timeout,omitempty"`
}

// TimeOffset is one line of timens_offsets.
type TimeOffset struct {
	Clock    string `json:"c"`
	Secs     int64  `json:"s,omitempty"`
	Nanosecs uint32 `json:"n,omitempty"`
}

// OwnMounts reports whether a mount namespace is made for the container.
func (p *Plan) OwnMounts() bool {
	for _, n := range p.Namespaces {
		if n.Type == syscall.CLONE_NEWNS {
			return n.Path == ""
		}
	}
	return false
}

// SharedMounts reports whether the container's mounts are made in a mount namespace that outlives it: they are put
// beneath a mount at Root.Path, which has to be unmounted when the container is deleted.
func (p *Plan) SharedMounts() bool {
	return !p.OwnMounts() && (len(p.Mounts)+len(p.Masked)+len(p.Readonly) > 0 || p.Root.Readonly || p.Process.Terminal)
}

// Encode writes p.
func (p *Plan) Encode(w io.Writer) error {
	if err := json.NewEncoder(w).Encode(p); err != nil {
		return fmt.Errorf("encode the container's plan: %w", err)
	}
	return nil
}

// Outline reads of a plan what its launcher acts on, and leaves the rest, most of it the seccomp filter, to the init.
func Outline(b []byte) (*Plan, error) {
	var o struct {
		Namespaces []Namespace `json:"ns"`
		UIDMaps    []IDMap     `json:"uids"`
		GIDMaps    []IDMap     `json:"gids"`
		CgroupDirs []string    `json:"cgroups"`
		Late       bool        `json:"late"`
	}
	if err := json.Unmarshal(b, &o); err != nil {
		return nil, fmt.Errorf("decode the container's plan: %w", err)
	}
	return &Plan{Namespaces: o.Namespaces, UIDMaps: o.UIDMaps, GIDMaps: o.GIDMaps, CgroupDirs: o.CgroupDirs, Late: o.Late}, nil
}

// Decode reads a plan.
func Decode(b []byte) (*Plan, error) {
	p := new(Plan)
	if err := json.Unmarshal(b, p); err != nil {
		return nil, fmt.Errorf("decode the container's plan: %w", err)
	}
	return p, nil
}
