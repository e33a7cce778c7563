package runtime

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/opencontainers/cgroups"
	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/proa-containers/proa/oci/launch"
)

// ExecOptions are what exec takes besides the process.
type ExecOptions struct {
	Preserve              int
	Stdin, Stdout, Stderr *os.File
	Console               func(*os.File) error
}

// Exec starts a further process in a container. The caller waits for it or lets it go.
func (r *Runtime) Exec(id string, process *specs.Process, opts ExecOptions) (*launch.Process, error) {
	rec, err := r.Load(id)
	if err != nil {
		return nil, err
	}
	switch st := r.Status(rec); st {
	case specs.StateStopped, statusPaused:
		return nil, fmt.Errorf("execute in container %q: it is %s", id, st)
	}
	init := r.openInit()
	defer init.close()
	host := HostOptions()
	host.Bundle, host.CompileSeccomp = rec.Bundle, r.CompileSeccomp
	p, err := NewProcess(rec.Config.Spec(), process, host)
	if err != nil {
		return nil, err
	}
	if process.Terminal && opts.Console == nil {
		return nil, fmt.Errorf("a terminal needs --console-socket when the process is detached")
	}
	pidfd, err := rec.open()
	if err != nil {
		return nil, err
	}
	defer pidfd.Close()
	prog, err := init.file()
	if err != nil {
		return nil, err
	}
	c := &launch.Config{InitFD: prog, Plan: p, JoinHelper: r.JoinHelper, Stdin: opts.Stdin, Stdout: opts.Stdout, Stderr: opts.Stderr}
	if process.Terminal {
		c.Stdin, c.Stdout = nil, nil
	}
	for fd := 3; fd < 3+opts.Preserve; fd++ {
		c.Preserve = append(c.Preserve, os.NewFile(uintptr(fd), "preserved"))
	}
	if !rec.hasOwn(specs.MountNamespace) {
		if c.RootFD, err = os.OpenFile(fmt.Sprintf("/proc/%d/root", rec.Pid), unix.O_PATH|unix.O_DIRECTORY, 0); err != nil {
			return nil, fmt.Errorf("open the container's root: %w", err)
		}
		defer c.RootFD.Close()
	}
	if c.CgroupFD, err = rec.openCgroup(); err != nil {
		return nil, err
	}
	if c.CgroupFD != nil {
		defer c.CgroupFD.Close()
	} else if err := enterLater(rec, c); err != nil {
		return nil, err
	}
	proc, err := launch.Exec(c, rec.Pid, pidfd)
	if err != nil {
		return nil, err
	}
	if proc.Console != nil {
		if err := opts.Console(proc.Console); err != nil {
			return nil, err
		}
	}
	return proc, nil
}

// openCgroup is the cgroup v2 that a further process is born in: where the container's first process is by now, which
// may have moved deeper when it is an init of its own. Nil without one.
func (r *Record) openCgroup() (*os.File, error) {
	dir, ok := r.CgroupPaths[""]
	if !ok || !cgroups.IsCgroup2UnifiedMode() {
		return nil, nil
	}
	if own, err := cgroups.ParseCgroupFile(fmt.Sprintf("/proc/%d/cgroup", r.Pid)); err == nil {
		if now := filepath.Join("/sys/fs/cgroup", own[""]); strings.HasPrefix(now, dir+"/") {
			dir = now
		}
	}
	f, err := os.Open(dir)
	if err != nil {
		return nil, fmt.Errorf("open the container's cgroup: %w", err)
	}
	return f, nil
}

// enterLater moves a process to the cgroups v1 of the container.
func enterLater(rec *Record, c *launch.Config) error {
	cg, err := loadCgroup(rec)
	if err != nil || cg == nil {
		return err
	}
	c.Plan.Prepare = true
	c.Prepare = func(pid int) error {
		if err := cg.AddPid("", pid); err != nil {
			return fmt.Errorf("enter the container's cgroup: %w", err)
		}
		return nil
	}
	return nil
}
