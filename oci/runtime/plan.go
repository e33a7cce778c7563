// Package runtime owns what turns a bundle into a container: the pure conversion of config.json to a plan, and
// the verbs of the OCI command line (create, start, state, kill, delete, ...). It runs in the parent, in the
// caller's namespaces; what happens inside the container is left to oci/perform.
package runtime

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/proa-containers/proa/oci/plan"
)

// Options are what a plan depends on besides config.json.
type Options struct {
	// Bundle is the directory that relative paths of config.json start at.
	Bundle string
	// UserNS says that the caller is in a user namespace other than the host's.
	UserNS bool
	// MappedGIDs are the gids the caller's user namespace maps; see HostOptions.
	MappedGIDs []plan.IDMap
	// UnifiedCgroup says that /sys/fs/cgroup is cgroup v2.
	UnifiedCgroup bool
	// AppArmor and SELinux say what the kernel enforces.
	AppArmor, SELinux bool
	// OOMScoreAdj is the caller's own; only privilege lowers it.
	OOMScoreAdj int
	// Grantable are the capabilities the caller has to give, as a mask; zero when that is not known.
	Grantable uint64
	NoPivot   bool
	// CompileSeccomp compiles a profile to BPF and seccomp(2) flags.
	CompileSeccomp func(*specs.LinuxSeccomp) (filter []byte, flags uint64, err error)
	// DeviceNumber returns st_mode and st_rdev of a host path.
	DeviceNumber func(path string) (mode uint32, dev uint64, err error)
}

// planner is one conversion.
type planner struct {
	Options
	spec *specs.Spec
	plan *plan.Plan
	// confined: the container is in a user namespace, its own or the caller's
	confined bool
}

// NewPlan converts a spec. It decides everything and changes nothing; an unsupported setting is an error.
func NewPlan(spec *specs.Spec, opts Options) (*plan.Plan, error) {
	p := &planner{Options: opts, spec: spec, plan: &plan.Plan{}, confined: opts.UserNS}
	steps := []func() error{
		p.refuse, p.namespaces, p.root, p.process, p.mounts, p.paths, p.devices, p.sysctls, p.hooks,
	}
	for _, step := range steps {
		if err := step(); err != nil {
			return nil, err
		}
	}
	return p.plan, nil
}

// refuse names what config.json may ask for and this runtime does not do.
func (p *planner) refuse() error {
	if p.spec.Root == nil {
		return errors.New("config.json: root is missing")
	}
	l := p.spec.Linux
	switch {
	case l == nil:
		return errors.New("config.json: linux is missing")
	case len(l.NetDevices) > 0:
		return errors.New("config.json: linux.netDevices is not supported; move devices from a createRuntime hook")
	case l.IntelRdt != nil:
		return errors.New("config.json: linux.intelRdt is not supported")
	case l.MemoryPolicy != nil:
		return errors.New("config.json: linux.memoryPolicy is not supported; use linux.resources.cpu.mems")
	}
	return nil
}

var namespaceFlags = map[specs.LinuxNamespaceType]uint64{
	specs.PIDNamespace: unix.CLONE_NEWPID, specs.NetworkNamespace: unix.CLONE_NEWNET, specs.MountNamespace: unix.CLONE_NEWNS,
	specs.IPCNamespace: unix.CLONE_NEWIPC, specs.UTSNamespace: unix.CLONE_NEWUTS, specs.UserNamespace: unix.CLONE_NEWUSER,
	specs.CgroupNamespace: unix.CLONE_NEWCGROUP, specs.TimeNamespace: unix.CLONE_NEWTIME,
}

func (p *planner) namespaces() error {
	l := p.spec.Linux
	seen := map[specs.LinuxNamespaceType]bool{}
	for _, n := range l.Namespaces {
		flag, ok := namespaceFlags[n.Type]
		if !ok {
			return fmt.Errorf("config.json: unknown namespace type %q", n.Type)
		}
		if seen[n.Type] {
			return fmt.Errorf("config.json: the namespace type %q is there twice", n.Type)
		}
		seen[n.Type] = true
		p.plan.Namespaces = append(p.plan.Namespaces, plan.Namespace{Type: flag, Path: n.Path})
		if n.Type == specs.UserNamespace {
			p.confined = true
		}
	}
	own := func(t specs.LinuxNamespaceType, what string, wanted bool) error {
		if wanted && !seen[t] {
			return fmt.Errorf("config.json: %s needs a %s namespace of the container's own", what, t)
		}
		return nil
	}
	if err := errors.Join(
		own(specs.UTSNamespace, "hostname", p.spec.Hostname != ""),
		own(specs.UTSNamespace, "domainname", p.spec.Domainname != ""),
		own(specs.UserNamespace, "linux.uidMappings", len(l.UIDMappings)+len(l.GIDMappings) > 0),
		own(specs.TimeNamespace, "linux.timeOffsets", len(l.TimeOffsets) > 0),
	); err != nil {
		return err
	}
	p.plan.Hostname, p.plan.Domainname = p.spec.Hostname, p.spec.Domainname
	p.plan.UIDMaps, p.plan.GIDMaps = idMaps(l.UIDMappings), idMaps(l.GIDMappings)
	if p.creates(unix.CLONE_NEWUSER) && (len(p.plan.UIDMaps) == 0 || len(p.plan.GIDMaps) == 0) {
		return errors.New("config.json: a new user namespace needs linux.uidMappings and linux.gidMappings")
	}
	for clock, t := range l.TimeOffsets {
		p.plan.Time = append(p.plan.Time, plan.TimeOffset{Clock: clock, Secs: t.Secs, Nanosecs: t.Nanosecs})
	}
	return nil
}

// creates reports whether the container gets a new namespace of a type.
func (p *planner) creates(flag uint64) bool {
	for _, n := range p.plan.Namespaces {
		if n.Type == flag {
			return n.Path == ""
		}
	}
	return false
}

func idMaps(in []specs.LinuxIDMapping) []plan.IDMap {
	var out []plan.IDMap
	for _, m := range in {
		out = append(out, plan.IDMap{Container: m.ContainerID, Host: m.HostID, Size: m.Size})
	}
	return out
}

func (p *planner) root() error {
	r := p.spec.Root
	p.plan.Root = plan.Root{Path: p.absolute(r.Path), Readonly: r.Readonly, NoPivot: p.NoPivot}
	if s := p.spec.Linux.RootfsPropagation; s != "" {
		o, ok := mountOptions[s]
		if !ok || o.propagation == 0 {
			return fmt.Errorf("config.json: unknown linux.rootfsPropagation %q; it is shared, slave, private or unbindable, with or without a leading r", s)
		}
		p.plan.Root.Propagation, p.plan.Root.Recursive = o.propagation, o.recursive
	}
	return nil
}

func (p *planner) absolute(path string) string {
	if path == "" || filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(p.Bundle, path)
}

func (p *planner) paths() error {
	p.plan.Masked, p.plan.Readonly = p.spec.Linux.MaskedPaths, p.spec.Linux.ReadonlyPaths
	return nil
}

// sysctls accepts those that belong to a namespace the container does not share with the host.
func (p *planner) sysctls() error {
	for name, value := range p.spec.Linux.Sysctl {
		path := sysctlPath(name)
		var flag uint64
		switch {
		case filepath.Clean("/"+path) != "/"+path:
			return fmt.Errorf("invalid sysctl %q: it has an empty part, or one of dots", name)
		case strings.HasPrefix(path, "net/"):
			flag = unix.CLONE_NEWNET
		case strings.HasPrefix(path, "fs/mqueue/"), ipcSysctl(path):
			flag = unix.CLONE_NEWIPC
		case path == "kernel/domainname", path == "kernel/hostname":
			flag = unix.CLONE_NEWUTS
		case strings.HasPrefix(path, "user/"):
			flag = unix.CLONE_NEWUSER
		default:
			return fmt.Errorf("sysctl %q belongs to no namespace and would change the host; set it on the host", name)
		}
		if !p.hasNamespace(flag) {
			return fmt.Errorf("sysctl %q would change the host; give the container a namespace of its own for it", name)
		}
		p.plan.Sysctls = append(p.plan.Sysctls, plan.Sysctl{Path: path, Value: value})
	}
	return nil
}

func (p *planner) hasNamespace(flag uint64) bool {
	for _, n := range p.plan.Namespaces {
		if n.Type == flag {
			return true
		}
	}
	return false
}

func ipcSysctl(path string) bool {
	switch path {
	case "kernel/msgmax", "kernel/msgmnb", "kernel/msgmni", "kernel/sem", "kernel/shmall", "kernel/shmmax", "kernel/shmmni",
		"kernel/shm_rmid_forced", "kernel/msg_next_id", "kernel/sem_next_id", "kernel/shm_next_id", "kernel/auto_msgmni":
		return true
	}
	return false
}

// sysctlPath converts a name as sysctl(8): the first separator decides which of "." and "/" separates.
func sysctlPath(name string) string {
	if i := strings.IndexAny(name, "./"); i < 0 || name[i] == '/' {
		return name
	}
	return strings.NewReplacer(".", "/", "/", ".").Replace(name)
}

func (p *planner) hooks() error {
	h := p.spec.Hooks
	if h == nil {
		return nil
	}
	p.plan.Hooks = plan.Hooks{
		CreateRuntime:   len(h.Prestart)+len(h.CreateRuntime) > 0, //nolint:staticcheck // prestart is deprecated and still to be run
		CreateContainer: hooks(h.CreateContainer),
		StartContainer:  hooks(h.StartContainer),
	}
	return nil
}

func hooks(in []specs.Hook) []plan.Hook {
	var out []plan.Hook
	for _, h := range in {
		o := plan.Hook{Path: h.Path, Args: h.Args, Env: h.Env}
		if h.Timeout != nil {
			o.Timeout = *h.Timeout
		}
		out = append(out, o)
	}
	return out
}
