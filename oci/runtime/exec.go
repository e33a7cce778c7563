package runtime

import (
	"fmt"
	"os"

	"github.com/opencontainers/runtime-spec/specs-go"

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
	cg, err := loadCgroup(rec)
	if err != nil {
		return nil, err
	}
	if cg != nil {
		p.Prepare = true
		c.Prepare = func(pid int) error {
			if err := cg.AddPid("", pid); err != nil {
				return fmt.Errorf("enter the container's cgroup: %w", err)
			}
			return nil
		}
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
