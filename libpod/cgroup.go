package libpod

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/opencontainers/cgroups"
	"github.com/opencontainers/cgroups/fs2"
	"github.com/opencontainers/cgroups/manager"
	"github.com/opencontainers/runtime-spec/specs-go"
	"github.com/proa-containers/proa/libpod/cgroup"
	"github.com/proa-containers/proa/libpod/rootless"
	"github.com/proa-containers/proa/oci/monitor"
	"github.com/proa-containers/proa/oci/plan"
	"github.com/proa-containers/proa/oci/runtime"
	"github.com/proa-containers/proa/oci/spec"
	"golang.org/x/sys/unix"
)

// cgroupFile in a container's run directory names its cgroup: one line, the directory under cgroup v2; with v1, as root,
// one line for each hierarchy.
const cgroupFile = "cgroup"

func (e *Engine) cgroupOptions() cgroup.Options {
	return cgroup.Options{
		RunDir: e.paths.RunDir, Rootless: rootless.Rootless(), UID: rootless.OuterUID(), Cgroupfs: e.cgroupfs,
		Pause: rootless.Holder(filepath.Join(e.paths.RunDir, "pause.lock")),
	}
}

// findPlace is the place for cgroups, nil when there is none; where systemd should have given one and did not, that is
// a warning, and an error only for a container with limits.
func (e *Engine) findPlace(ctx context.Context, limits spec.Resources) (*cgroup.Place, error) {
	p, err := cgroup.Find(ctx, e.cgroupOptions())
	if err == nil || errors.Is(err, cgroup.ErrNone) {
		return p, nil
	}
	if limits.Set() {
		return nil, err
	}
	e.warn(fmt.Errorf("containers stay in their caller's cgroup: %w", err))
	return nil, nil
}

// limitControllers are the options for limits and the controller that each needs.
func limitControllers(r spec.Resources) map[string]string {
	need := map[string]string{}
	for option, l := range map[string]struct {
		set        bool
		controller string
	}{
		"--memory": {r.Memory != 0 || r.MemorySwap != 0, "memory"}, "--memory-reservation": {r.Reserved != 0, "memory"},
		"--cpus": {r.CPUs != 0, "cpu"}, "--cpu-period": {r.CPUPeriod != 0, "cpu"}, "--cpu-quota": {r.CPUQuota != 0, "cpu"}, "--cpu-shares": {r.CPUShares != 0, "cpu"},
		"--cpuset-cpus": {r.CPUSet != "", "cpuset"}, "--cpuset-mems": {r.CPUSetMems != "", "cpuset"}, "--pids-limit": {r.PidsLimit != 0, "pids"},
		"--blkio-weight": {r.IOWeight != 0, "io"},
	} {
		if l.set {
			need[option] = l.controller
		}
	}
	return need
}

// LimitError says that a limit can't be held on this host.
type LimitError struct {
	Option     string
	Controller string
	Reason     string
}

func (e *LimitError) Error() string {
	return fmt.Sprintf("%s can't be held: it needs the cgroup controller %q, and %s; `proa doctor` says what gives it, or run without the option", e.Option, e.Controller, e.Reason)
}

// limit sets the container's limits on its cgroup, dir under cgroup v2; it returns those of v1, made for it.
func (e *Engine) limit(c *Container, s *specs.Spec, dir string) ([]string, error) {
	r := c.Config.Resources
	if dir == "" {
		if !rootless.Rootless() && !cgroup.Unified() && !runtime.HostOptions().UserNS {
			return e.limitV1(c, s)
		}
		if err := withoutCgroup(r); err != nil {
			return nil, err
		}
		return nil, nil
	}
	if err := checkControllers(r, dir); err != nil {
		return nil, err
	}
	if !r.Set() && rootless.Rootless() {
		return nil, nil
	}
	conv, err := runtime.Resources(s.Linux.Resources)
	if err != nil {
		return nil, err
	}
	// Without root no program that filters devices can be attached; the user namespace denies making them anyway.
	conv.SkipDevices = rootless.Rootless() || c.Config.Security.Privileged
	if c.Runtime == "" && r.PidsLimit > 0 && r.PidsLimit < initThreads {
		conv.PidsLimit = nil // the monitor sets it
	}
	cfg := &cgroups.Cgroup{Resources: conv, Rootless: rootless.Rootless(), Path: "/"}
	m, err := fs2.NewManager(cfg, dir)
	if err == nil {
		err = m.Set(conv)
	}
	if err != nil {
		return nil, fmt.Errorf("setting the container's limits: %w", err)
	}
	return nil, nil
}

// withoutCgroup is the error of limits for a container that has no cgroup of its own.
func withoutCgroup(r spec.Resources) error {
	for option, controller := range limitControllers(r) {
		reason := cgroup.ErrNone.Error()
		if !cgroup.Unified() {
			reason = "without root only cgroup v2 has limits, which this host does not use alone"
		}
		return &LimitError{option, controller, reason}
	}
	return nil
}

// checkControllers wants what r needs in dir, under cgroup v2.
func checkControllers(r spec.Resources, dir string) error {
	b, err := os.ReadFile(filepath.Join(dir, "cgroup.controllers"))
	if err != nil {
		return fmt.Errorf("setting the container's limits: %w", err)
	}
	for option, controller := range limitControllers(r) {
		if !slices.Contains(strings.Fields(string(b)), controller) {
			return &LimitError{option, controller, fmt.Sprintf("%s has only %q", filepath.Dir(dir), strings.TrimSpace(string(b)))}
		}
	}
	if r.IOWeight != 0 && len(weightFiles(dir)) == 0 {
		return &LimitError{"--blkio-weight", "io", "its weights, of BFQ or of io.cost, are not in this kernel"}
	}
	return nil
}

// weightFiles are those of cgroup dir that hold a weight of block input and output, with the kernel's default.
func weightFiles(dir string) map[string]string {
	found := map[string]string{}
	for name, def := range map[string]string{"io.bfq.weight": "100", "io.weight": "100", "blkio.bfq.weight": "100", "blkio.weight": "500"} {
		if path := filepath.Join(dir, name); unix.Access(path, unix.W_OK) == nil {
			found[path] = def
		}
	}
	return found
}

// limitV1 makes cgroups in the hierarchies of version 1, as root.
func (e *Engine) limitV1(c *Container, s *specs.Spec) ([]string, error) {
	conv, err := runtime.Resources(s.Linux.Resources)
	if err != nil {
		return nil, err
	}
	conv.SkipDevices = c.Config.Security.Privileged
	m, err := manager.New(&cgroups.Cgroup{Path: v1Path(c.ID), Resources: conv})
	if err == nil {
		err = m.Apply(-1)
	}
	if err == nil {
		err = m.Set(conv)
	}
	if err != nil {
		return nil, fmt.Errorf("making the container's cgroup: %w", err)
	}
	var paths []string
	for _, p := range m.GetPaths() {
		if _, err := os.Stat(p); err == nil { // none is made to filter devices where nothing is to be filtered
			paths = append(paths, p)
		}
	}
	slices.Sort(paths)
	return slices.Compact(paths), nil
}

// v1Path is the container's cgroup in every hierarchy of version 1.
func v1Path(id string) string { return "/proa/" + id }

// initThreads is more than the threads of an init, which the limit of a cgroup on processes counts as well.
const initThreads = 32

// place gives the container its cgroup before it starts: dir is that of cgroup v2, if it was made.
func (e *Engine) place(c *Container, s *specs.Spec, dir string, p *plan.Plan, cfg *monitor.Config) error {
	v1, err := e.limit(c, s, dir)
	if err != nil {
		return err
	}
	paths := v1
	if dir != "" {
		paths = []string{dir}
		cfg.CgroupDir, cfg.OOMFile, cfg.FreezeFile = dir, filepath.Join(dir, "memory.events"), filepath.Join(dir, "cgroup.freeze")
		if n := c.Config.Resources.PidsLimit; p != nil && n > 0 && n < initThreads {
			cfg.PidsMax = n
			if p != nil {
				p.Limit = true
			}
		}
	}
	if len(paths) == 0 {
		return nil
	}
	if p != nil {
		p.CgroupDirs = v1
	}
	for _, path := range v1 {
		if strings.Contains(path, "/memory/") {
			cfg.OOMFile = filepath.Join(path, "memory.oom_control")
		}
		if strings.Contains(path, "/freezer/") {
			cfg.FreezeFile = filepath.Join(path, "freezer.state")
		}
	}
	if err := os.WriteFile(filepath.Join(e.runDir(c.ID), cgroupFile), []byte(strings.Join(paths, "\n")), 0o600); err != nil {
		return fmt.Errorf("recording the container's cgroup: %w", err)
	}
	return nil
}

// cgroupsOf are the directories of the container's cgroup, none when it has none of its own.
func (e *Engine) cgroupsOf(id string) []string {
	b, err := os.ReadFile(filepath.Join(e.runDir(id), cgroupFile))
	if err != nil {
		return nil
	}
	return strings.Fields(string(b))
}

// noteCgroup notes the directory of a cgroup that is about to be made for a container.
func (e *Engine) noteCgroup(id, dir string) error {
	if _, noted := e.noted(id); slices.Contains(noted, dir) {
		return nil
	}
	return e.note(id, inCgroup+dir)
}

// dropCgroups removes the cgroup of a container that has ended, with what is left in it.
func (e *Engine) dropCgroups(id string) error {
	var errs []error
	dirs := e.cgroupsOf(id)
	if len(dirs) == 0 {
		_, dirs = e.noted(id)
	}
	for _, dir := range dirs {
		if cgroup.Unified() {
			errs = append(errs, cgroup.Remove(dir))
		} else if err := cgroups.RemovePath(dir); err != nil {
			errs = append(errs, fmt.Errorf("removing the container's cgroup: %w", err))
		}
	}
	return errors.Join(errs...)
}

// enterCgroup opens the container's cgroup for a process to be born in, after getting this process where it may do
// that; nil when the container has none.
func (e *Engine) enterCgroup(ctx context.Context, id string) (*os.File, error) {
	dirs := e.cgroupsOf(id)
	if len(dirs) != 1 || !cgroup.Unified() {
		return nil, nil
	}
	if p, err := cgroup.Find(ctx, e.cgroupOptions()); err == nil && p.Attach {
		if err := p.Move(ctx, e.cgroupOptions(), os.Getpid()); err != nil {
			return nil, err
		}
	}
	f, err := os.Open(dirs[0])
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return f, err
}

// thaw unfreezes a container that somebody froze through its cgroup.
func (e *Engine) thaw(c *Container) error {
	var init monitor.Init
	if err := readJSON(filepath.Join(e.runDir(c.ID), monitor.InitFile), &init); err != nil {
		return nil
	}
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/cgroup", init.PID))
	if err != nil {
		return nil
	}
	if e.frozenV1(c.ID) {
		for _, dir := range e.cgroupsOf(c.ID) {
			if strings.Contains(dir, "/freezer/") {
				return cgroup.FreezeV1(dir, false)
			}
		}
	}
	for _, root := range []string{"/sys/fs/cgroup", "/sys/fs/cgroup/unified"} {
		file := filepath.Join(root, cgroup.Path(string(b)), "cgroup.freeze")
		if os.WriteFile(file, []byte("0"), 0) == nil {
			return nil
		}
	}
	return fmt.Errorf("container %q is paused and its cgroup can't be thawed", c.Name)
}

// v1Dirs are the plan's cgroups for a further process under cgroup v1.
func (e *Engine) v1Dirs(id string) []string {
	if cgroup.Unified() {
		return nil
	}
	return e.cgroupsOf(id)
}
