package spec

import (
	"fmt"
	"math"
	"path/filepath"
	"slices"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"
	"github.com/opencontainers/runtime-tools/generate"
)

// defaultPath is Docker's PATH for a container whose image names none.
const defaultPath = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// defaultShm is the size of /dev/shm in bytes, Docker's.
const defaultShm = 64 << 20

// cpuPeriod is the microseconds in which a container may run for its quota, Docker's; defaultShares are everyone's.
const (
	cpuPeriod     = 100000
	defaultShares = 1024
)

// New is the runtime configuration of a container. The seccomp section is left out: the filter is compiled beside it.
func New(cfg Config, env Env) (*specs.Spec, error) {
	g := generate.NewFromSpec(&specs.Spec{Version: specs.Version, Process: &specs.Process{}, Root: &specs.Root{}, Linux: &specs.Linux{}})
	g.SetRootPath(env.Root)
	g.SetRootReadonly(cfg.Mounts.ReadonlyRoot)
	g.Config.Annotations = env.Annotations
	process(&g, cfg, env)
	if err := namespaces(&g, cfg, env); err != nil {
		return nil, err
	}
	capabilities(&g, cfg)
	if err := mounts(&g, cfg, env); err != nil {
		return nil, err
	}
	paths(&g, cfg.Security)
	resources(&g, cfg, env)
	return g.Config, nil
}

func process(g *generate.Generator, cfg Config, env Env) {
	p := cfg.Process
	g.SetProcessArgs(p.Args)
	g.SetProcessCwd(p.Cwd)
	if p.Cwd == "" {
		g.SetProcessCwd("/")
	}
	g.SetProcessTerminal(p.Terminal)
	g.SetProcessUID(env.User.UID)
	g.SetProcessGID(env.User.GID)
	g.Config.Process.User.AdditionalGids = env.User.Groups
	g.Config.Process.NoNewPrivileges = cfg.Security.NoNewPrivileges
	g.Config.Process.ApparmorProfile = cfg.Security.AppArmor
	g.Config.Process.OOMScoreAdj = p.OOMScore
	g.Config.Process.Env = environment(cfg, env)
	for _, r := range p.Rlimits {
		g.AddProcessRlimits("RLIMIT_"+strings.ToUpper(r.Name), limit(r.Hard), limit(r.Soft))
	}
	for k, v := range p.Sysctls {
		g.AddLinuxSysctl(k, v)
	}
}

func limit(n int64) uint64 {
	if n < 0 {
		return math.MaxUint64
	}
	return uint64(n)
}

// environment is Docker's: PATH, HOSTNAME, TERM with a terminal, the image's and the user's, HOME.
func environment(cfg Config, env Env) []string {
	out := []string{defaultPath, "HOSTNAME=" + hostname(cfg, env)}
	if cfg.Process.Terminal {
		out = append(out, "TERM=xterm")
	}
	out = merge(out, cfg.Process.Env)
	if !slices.ContainsFunc(out, func(o string) bool { return strings.HasPrefix(o, "HOME=") }) {
		out = append(out, "HOME="+env.User.Home)
	}
	return out
}

// merge puts over's variables into env, in the place of those of the same name; a name alone unsets.
func merge(env, over []string) []string {
	for _, e := range over {
		key, _, set := strings.Cut(e, "=")
		i := slices.IndexFunc(env, func(o string) bool { return strings.HasPrefix(o, key+"=") })
		switch {
		case set && i >= 0:
			env[i] = e
		case set:
			env = append(env, e)
		case i >= 0:
			env = slices.Delete(env, i, i+1)
		}
	}
	return env
}

// hostname of the container: its own, or the first 12 characters of its id.
func hostname(cfg Config, env Env) string {
	if cfg.Namespaces.Hostname != "" {
		return cfg.Namespaces.Hostname
	}
	return env.ID[:min(12, len(env.ID))]
}

func namespaces(g *generate.Generator, cfg Config, env Env) error {
	n := cfg.Namespaces
	g.Config.Linux.Namespaces = []specs.LinuxNamespace{{Type: specs.MountNamespace}}
	for _, ns := range []struct {
		kind specs.LinuxNamespaceType
		mode string
	}{{specs.PIDNamespace, n.PID}, {specs.NetworkNamespace, n.Network}, {specs.IPCNamespace, n.IPC}, {specs.UTSNamespace, n.UTS}, {specs.CgroupNamespace, n.Cgroup}} {
		path, byPath := strings.CutPrefix(ns.mode, "ns:")
		other, shared := strings.CutPrefix(ns.mode, "container:")
		switch {
		case ns.mode == "host":
			continue
		case byPath:
		case shared:
			var err error
			if path, err = env.Namespace(other, procName(ns.kind)); err != nil {
				return fmt.Errorf("sharing the %s namespace of container %q: %w", ns.kind, other, err)
			}
		case ns.kind == specs.NetworkNamespace && ns.mode == "bridge":
			path = env.NetNS
		case ns.mode == "", ns.mode == "private", ns.mode == "none" && ns.kind == specs.NetworkNamespace:
			path = ""
		default:
			return fmt.Errorf("unknown %s namespace mode %q: private, host, container:NAME or ns:PATH", ns.kind, ns.mode)
		}
		g.Config.Linux.Namespaces = append(g.Config.Linux.Namespaces, specs.LinuxNamespace{Type: ns.kind, Path: path})
	}
	if n.UTS == "host" {
		return nil
	}
	// Who joins another's namespace does not rename that one, unless it is told to.
	if own := n.UTS == "" || n.UTS == "private"; own || n.Hostname != "" {
		g.SetHostname(hostname(cfg, env))
	}
	g.Config.Domainname = n.Domainname
	return nil
}

// procName is the name of a namespace in /proc/PID/ns.
func procName(kind specs.LinuxNamespaceType) string {
	if kind == specs.NetworkNamespace {
		return "net"
	}
	return string(kind)
}

func capabilities(g *generate.Generator, cfg Config) {
	caps := cfg.Security.Capabilities()
	c := &specs.LinuxCapabilities{Bounding: caps, Permitted: caps, Effective: caps}
	if g.Config.Process.User.UID != 0 {
		// A user other than root starts without: what it may gain through files is bounded by caps (CVE-2022-29162).
		c.Permitted, c.Effective = nil, nil
	}
	g.Config.Process.Capabilities = c
}

// masked and readonly are Docker's.
var (
	masked = [...]string{
		"/proc/acpi", "/proc/asound", "/proc/interrupts", "/proc/kcore", "/proc/keys", "/proc/latency_stats", "/proc/sched_debug",
		"/proc/scsi", "/proc/timer_list", "/proc/timer_stats", "/sys/devices/virtual/powercap", "/sys/firmware",
	}
	readonly = [...]string{"/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"}
)

func paths(g *generate.Generator, s Security) {
	g.Config.Linux.MaskedPaths, g.Config.Linux.ReadonlyPaths = s.Paths()
}

// Paths are those that the container can't see into, and those that it can't write to.
func (s Security) Paths() (mask, ro []string) {
	if s.Privileged {
		return nil, nil
	}
	keep := func(list []string) (out []string) {
		for _, p := range list {
			if !slices.ContainsFunc(s.Unmask, func(u string) bool {
				hit, _ := filepath.Match(u, p)
				return strings.EqualFold(u, "all") || hit || strings.HasPrefix(p, u+"/")
			}) {
				out = append(out, p)
			}
		}
		return out
	}
	return append(keep(masked[:]), s.Mask...), keep(readonly[:])
}

func resources(g *generate.Generator, cfg Config, env Env) {
	g.SetLinuxCgroupsPath(env.CgroupPath)
	limits(g, cfg.Resources)
}

func limits(g *generate.Generator, r Resources) {
	if r.Memory != 0 {
		g.SetLinuxResourcesMemoryLimit(r.Memory)
		swap := r.MemorySwap
		if swap == 0 {
			swap = 2 * r.Memory // Docker's default: as much swap as memory
		}
		g.SetLinuxResourcesMemorySwap(swap)
	}
	if r.CPUs != 0 {
		g.SetLinuxResourcesCPUPeriod(cpuPeriod)
		g.SetLinuxResourcesCPUQuota(int64(r.CPUs * cpuPeriod))
	}
	if r.CPUPeriod != 0 {
		g.SetLinuxResourcesCPUPeriod(r.CPUPeriod)
	}
	if r.CPUQuota != 0 {
		g.SetLinuxResourcesCPUQuota(r.CPUQuota)
	}
	if r.CPUSetMems != "" {
		g.SetLinuxResourcesCPUMems(r.CPUSetMems)
	}
	if r.Reserved != 0 {
		g.SetLinuxResourcesMemoryReservation(r.Reserved)
	}
	if r.CPUShares != 0 {
		g.SetLinuxResourcesCPUShares(r.CPUShares)
	}
	if r.CPUSet != "" {
		g.SetLinuxResourcesCPUCpus(r.CPUSet)
	}
	if r.PidsLimit != 0 {
		g.SetLinuxResourcesPidsLimit(r.PidsLimit)
	}
	if r.IOWeight != 0 {
		g.SetLinuxResourcesBlockIOWeight(r.IOWeight)
	}
}

// Limits are the limits of a running container that had those of old and is to have r's: what is no more is unlimited.
func Limits(r, old Resources) *specs.LinuxResources {
	g := generate.NewFromSpec(&specs.Spec{Linux: &specs.Linux{}})
	if r.Memory == 0 && old.Memory != 0 {
		g.SetLinuxResourcesMemoryLimit(-1)
		g.SetLinuxResourcesMemorySwap(-1)
	}
	if r.CPUs == 0 && (old.CPUs != 0 || old.CPUQuota != 0 || old.CPUPeriod != 0) {
		g.SetLinuxResourcesCPUPeriod(cpuPeriod)
		g.SetLinuxResourcesCPUQuota(-1)
	}
	if r.CPUShares == 0 && old.CPUShares != 0 {
		g.SetLinuxResourcesCPUShares(defaultShares)
	}
	if r.PidsLimit == 0 && old.PidsLimit != 0 {
		g.SetLinuxResourcesPidsLimit(-1)
	}
	limits(&g, r)
	return g.Config.Linux.Resources
}

// Exec is the process section of a further process in a container whose own is init: its environment with env over
// it, the container's capabilities, or all of a privileged one's, and the user's home.
func Exec(init *specs.Process, security Security, user User, env []string, terminal bool) *specs.Process {
	caps := security.Capabilities()
	p := &specs.Process{
		Cwd: init.Cwd, Terminal: terminal, Rlimits: init.Rlimits, NoNewPrivileges: init.NoNewPrivileges,
		ApparmorProfile: init.ApparmorProfile, SelinuxLabel: init.SelinuxLabel, OOMScoreAdj: init.OOMScoreAdj,
		User:         specs.User{UID: user.UID, GID: user.GID, AdditionalGids: user.Groups},
		Capabilities: &specs.LinuxCapabilities{Bounding: caps, Permitted: caps, Effective: caps},
	}
	if user.UID != 0 && !security.Privileged {
		p.Capabilities.Permitted, p.Capabilities.Effective = nil, nil
	}
	if p.Cwd == "" {
		p.Cwd = "/"
	}
	base := slices.Clone(init.Env)
	if terminal {
		base = merge(base, []string{"TERM=xterm"})
	}
	if user.UID != init.User.UID {
		base = merge(base, []string{"HOME=" + user.Home})
	}
	p.Env = merge(base, env)
	return p
}
