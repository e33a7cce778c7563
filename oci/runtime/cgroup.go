package runtime

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/opencontainers/cgroups"
	"github.com/opencontainers/cgroups/fs2"
	"github.com/opencontainers/cgroups/manager"
	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// newCgroup makes the manager of a container's cgroup, or nil when it gets none: rootless, on a host that
// delegates no cgroup, a container stays in its caller's, unless limits or a cgroup were asked for.
func newCgroup(id string, spec *specs.Spec, systemd, rootless bool) (cgroups.Manager, error) {
	var res *specs.LinuxResources
	path := ""
	if spec.Linux != nil {
		res, path = spec.Linux.Resources, spec.Linux.CgroupsPath
	}
	base := "/"
	if rootless && !systemd {
		if base = delegated(); base == "" {
			if limits := Limits(res); len(limits) > 0 {
				return nil, fmt.Errorf("limit %s: no cgroup is delegated to this user; use a systemd user session on cgroup v2, or remove the limits", strings.Join(limits, ", "))
			}
			return nil, nil
		}
	}
	if res != nil && res.Memory != nil && res.Memory.KernelTCP != nil && cgroups.IsCgroup2UnifiedMode() {
		return nil, errors.New("config.json: linux.resources.memory.kernelTCP: cgroup v2 has no such limit; memory.limit counts TCP buffers too")
	}
	conv, err := Resources(res)
	if err != nil {
		return nil, err
	}
	// Attaching a device program needs privilege over the host's devices, which a user namespace denies anyway.
	conv.SkipDevices = rootless
	cg := &cgroups.Cgroup{Resources: conv, Systemd: systemd, Rootless: rootless}
	if systemd {
		err = nameUnit(cg, id, path)
	} else {
		cg.Path = cgroupPath(id, path, base)
	}
	if err != nil {
		return nil, err
	}
	m, err := manager.New(cg)
	if err != nil {
		return nil, fmt.Errorf("prepare the container's cgroup: %w", err)
	}
	return m, nil
}

// cgroupPath is where a cgroup manager other than systemd's puts the container, by linux.cgroupsPath of config.json.
func cgroupPath(id, path, base string) string {
	switch {
	case path == "":
		return filepath.Join(base, id)
	case filepath.IsAbs(path):
		return path
	default:
		return filepath.Join(base, path)
	}
}

// nameUnit reads a cgroupsPath of the form SLICE:PREFIX:NAME.
func nameUnit(cg *cgroups.Cgroup, id, path string) error {
	cg.Name, cg.ScopePrefix = id, "proa"
	if path == "" {
		return nil
	}
	part := strings.Split(path, ":")
	if len(part) != 3 {
		return fmt.Errorf("config.json: linux.cgroupsPath %q must be SLICE:PREFIX:NAME with the systemd cgroup manager", path)
	}
	cg.Parent, cg.ScopePrefix, cg.Name = part[0], part[1], part[2]
	return nil
}

// birthplace makes the cgroup before its first process, which clone(2) then puts there: to move a process later
// waits for an RCU grace period, ten times what all of the rest takes. Nil where that can't be: cgroup v1 has no such
// clone, systemd wants to know the process, and the kernel refuses a threaded cgroup. made is the directory if it is
// there already.
func birthplace(rec *Record, m cgroups.Manager, made *os.File) (*os.File, error) {
	cfg, err := m.GetCgroups()
	if err != nil {
		return nil, err
	}
	if cfg.Systemd || !cgroups.IsCgroup2UnifiedMode() {
		return nil, nil
	}
	dir := m.Path("")
	f := made
	if f == nil {
		if err := fs2.CreateCgroupPath(dir, cfg); err != nil {
			return nil, fmt.Errorf("make the container's cgroup: %w", err)
		}
		if readLine(filepath.Join(dir, "cgroup.type")) != "domain" {
			return nil, nil
		}
		if f, err = os.Open(dir); err != nil {
			return nil, fmt.Errorf("open the container's cgroup: %w", err)
		}
	}
	if err := m.Set(cfg.Resources); err != nil {
		if made == nil {
			f.Close()
		}
		return nil, limitError(m, rec.Config.Linux.Resources, err)
	}
	return f, nil
}

// noteParents remembers the cgroups above the container's that will be made with it, the lowest first.
func (r *Record) noteParents(m cgroups.Manager) {
	for _, path := range m.GetPaths() {
		for dir := filepath.Dir(path); dir != "/" && unix.Access(dir, unix.F_OK) != nil; dir = filepath.Dir(dir) {
			r.CgroupParents = append(r.CgroupParents, dir)
		}
	}
}

// removeParents removes them, but for those that others use by now.
func (r *Record) removeParents() {
	for _, dir := range r.CgroupParents {
		_ = unix.Rmdir(dir)
	}
}

// enterCgroup makes the cgroup around a process.
func enterCgroup(rec *Record, m cgroups.Manager, pid int) error {
	if err := m.Apply(pid); err != nil {
		return fmt.Errorf("enter the container's cgroup: %w", err)
	}
	cfg, err := m.GetCgroups()
	if err != nil {
		return err
	}
	legacy := !cfg.Systemd && !cgroups.IsCgroup2UnifiedMode()
	res := *cfg.Resources
	res.SkipDevices = res.SkipDevices || legacy && canApplyInOrder(res.Devices)
	if err := m.Set(&res); err != nil {
		return limitError(m, rec.Config.Linux.Resources, err)
	}
	if legacy {
		if err := setLegacy(m, cfg.Resources, rec.Config.Linux.Resources); err != nil {
			return fmt.Errorf("set the container's limits: %w", err)
		}
	}
	rec.CgroupPaths = m.GetPaths()
	return nil
}

// loadCgroup opens the manager of an existing container; nil when it has no cgroup.
func loadCgroup(r *Record) (cgroups.Manager, error) {
	if len(r.CgroupPaths) == 0 {
		return nil, nil
	}
	cg := &cgroups.Cgroup{Resources: &cgroups.Resources{}, Systemd: r.Systemd, Rootless: r.Rootless, Path: "/" + r.ID}
	if r.Systemd {
		cg.Path = ""
		if err := nameUnit(cg, r.ID, r.Config.Linux.CgroupsPath); err != nil {
			return nil, err
		}
	}
	m, err := manager.NewWithPaths(cg, r.CgroupPaths)
	if err != nil {
		return nil, fmt.Errorf("open the container's cgroup: %w", err)
	}
	return m, nil
}

// leftCgroup is loadCgroup where a rmdir does not do: most containers leave an empty cgroup v2, and nothing else in it.
func leftCgroup(r *Record) (cgroups.Manager, error) {
	if dir := r.CgroupPaths[""]; dir != "" && len(r.CgroupPaths) == 1 && !r.Systemd && r.Config.Linux != nil && r.hasOwn(specs.PIDNamespace) {
		if err := unix.Rmdir(dir); err == nil || err == unix.ENOENT {
			return nil, nil
		}
	}
	return loadCgroup(r)
}

// needCgroup is loadCgroup for verbs that can do nothing without one.
func needCgroup(r *Record, verb string) (cgroups.Manager, error) {
	m, err := loadCgroup(r)
	if err == nil && m == nil {
		err = fmt.Errorf("%s container %q: it has no cgroup of its own; cgroup v2 delegation is needed for that", verb, r.ID)
	}
	return m, err
}

// delegated is the cgroup beneath which the caller may make others, relative to the cgroup mount, or "". It is the
// parent of the caller's own, where that is writable: a cgroup that holds processes can't give controllers to its
// children (cgroups(7), "no internal processes").
func delegated() string {
	if !cgroups.IsCgroup2UnifiedMode() {
		return ""
	}
	paths, err := cgroups.ParseCgroupFile("/proc/self/cgroup")
	if err != nil {
		return ""
	}
	own := paths[""]
	for _, dir := range []string{filepath.Dir(own), own} {
		host := filepath.Join("/sys/fs/cgroup", dir)
		// Moving a process also needs the cgroup.procs of the common ancestor.
		if unix.Access(host, unix.W_OK) == nil && unix.Access(host+"/cgroup.procs", unix.W_OK) == nil {
			return dir
		}
	}
	return ""
}
