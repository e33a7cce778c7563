// Package driver runs any executable that has runc's command line in place of the bundled runtime: it owns that
// command line, the mount namespace such a program is started in, and what its errors mean. What a container is comes
// from config.json in the bundle. It runs in the monitor (create, start, delete) and in proa (exec, and what a killed
// monitor left), as uid 0 of proa's user namespace or as root, and imports only the standard library and x/sys because
// the monitor is part of proa-init.
package driver

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// The files in a bundle besides config.json.
const (
	rootDir  = "rootfs"      // where the root is attached, in the runtime's mount namespace alone
	stateDir = "runtime"     // the runtime's own files, its --root
	pidFile  = "runtime.pid" // of the container's init
)

// Runtime is how the runtime of one container is called.
type Runtime struct {
	Args   []string // the executable's absolute path and its global arguments
	Env    []string
	Bundle string // absolute; on tmpfs, since what is in it is true until the next boot
	ID     string // of the container
	Born   bool   // its processes are born in the container's cgroup, since it puts nothing there; see Configure
}

// Streams of a process; a nil one is /dev/null. With Terminal none of them is used.
type Streams struct {
	In, Out, Err *os.File
	Terminal     bool
}

// Process is what a runtime started. Once the runtime has ended it is a child of the nearest subreaper.
type Process struct {
	PID     int
	Console *os.File // the terminal's master, nil without one; the caller closes it
}

// Place is where a process is made.
type Place struct {
	Root   *os.File // the container's root, a detached mount; nil where config.json names a directory
	Cgroup *os.File // the container's cgroup v2 directory, of use with Born; nil: the caller's
}

// Create makes the container, which then waits for Start. Its root stays mounted for as long as it lives. The error is
// an *Error when the runtime refused.
func (r Runtime) Create(p Place, s Streams) (Process, error) {
	if err := os.MkdirAll(r.path(stateDir), 0o700); err != nil {
		return Process{}, fmt.Errorf("making the runtime's directory: %w", err)
	}
	if p.Root != nil {
		if err := os.MkdirAll(r.RootPath(), 0o700); err != nil {
			return Process{}, fmt.Errorf("making the root's mount point: %w", err)
		}
	}
	return r.spawn([]string{"create", "--bundle", r.Bundle}, r.path(pidFile), p, s)
}

// RootPath is where Create attaches the root: what config.json of such a container must name.
func (r Runtime) RootPath() string { return r.path(rootDir) }

// Start lets the created container's command run, if it can be.
func (r Runtime) Start() error {
	if err := r.runnable("start", r.created()); err != nil {
		return err
	}
	return r.run([]string{"start", r.ID}, Place{}, Streams{})
}

// Delete kills the container if it is there and removes what the runtime keeps of it.
func (r Runtime) Delete() error {
	if !r.Known() {
		return nil
	}
	return r.run([]string{"delete", "--force", r.ID}, Place{}, Streams{})
}

// Known tells whether the runtime keeps something of the container.
func (r Runtime) Known() bool {
	_, err := os.Lstat(filepath.Join(r.path(stateDir), r.ID))
	return err == nil
}

// Exec starts a further process in the running container, as a process section of config.json describes it.
func (r Runtime) Exec(process []byte, p Place, s Streams) (Process, error) {
	var c command
	if json.Unmarshal(process, &c) == nil {
		if err := r.runnable("exec", c); err != nil {
			return Process{}, err
		}
	}
	dir, err := os.MkdirTemp(r.Bundle, "exec-")
	if err != nil {
		return Process{}, fmt.Errorf("making a directory for the command: %w", err)
	}
	defer os.RemoveAll(dir)
	file := filepath.Join(dir, "process.json")
	if err := os.WriteFile(file, process, 0o600); err != nil {
		return Process{}, fmt.Errorf("writing the command's process section: %w", err)
	}
	return r.spawn([]string{"exec", "--detach", "--process", file}, filepath.Join(dir, "pid"), p, s)
}

func (r Runtime) path(name string) string { return filepath.Join(r.Bundle, name) }

// spawn runs a verb that leaves a process.
func (r Runtime) spawn(verb []string, pids string, at Place, s Streams) (Process, error) {
	verb = append(verb, "--pid-file", pids)
	var con *console
	if s.Terminal {
		var err error
		if con, err = listenConsole(filepath.Dir(pids)); err != nil {
			return Process{}, err
		}
		defer con.close()
		verb = append(verb, "--console-socket", con.path)
		s = Streams{}
	}
	if err := r.run(append(verb, r.ID), at, s); err != nil {
		return Process{}, err
	}
	pid, err := readPID(pids)
	if err != nil {
		return Process{}, err
	}
	p := Process{PID: pid}
	if con != nil {
		if p.Console, err = con.receive(); err != nil {
			return Process{}, fmt.Errorf("receiving the terminal of process %d from the runtime: %w", pid, err)
		}
	}
	return p, nil
}

func readPID(file string) (int, error) {
	b, err := os.ReadFile(file)
	if err != nil {
		return 0, fmt.Errorf("reading the runtime's pid file: %w", err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(b)))
	if err != nil || pid < 2 {
		return 0, fmt.Errorf("reading the runtime's pid file: %q is no process", b)
	}
	return pid, nil
}

// run executes the runtime and waits for it. It is killed when this process is: a runtime that makes a container nobody
// waits for would leave it waiting for ever.
func (r Runtime) run(verb []string, at Place, s Streams) error {
	log, err := newLog()
	if err != nil {
		return err
	}
	defer log.close()
	args := append([]string{"--root", r.path(stateDir), "--log", log.path(), "--log-format", "json"}, verb...)
	cmd := exec.Command(r.Args[0], append(r.Args[1:len(r.Args):len(r.Args)], args...)...)
	cmd.Dir, cmd.Env = r.Bundle, r.Env
	if s.In != nil { // a nil *os.File in the interface would not be nil
		cmd.Stdin = s.In
	}
	if s.Out != nil {
		cmd.Stdout = s.Out
	}
	if s.Err != nil {
		cmd.Stderr = s.Err
	}
	// A session of its own, or the signals of proa's terminal would end it half way.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Pdeathsig: unix.SIGKILL}
	if at.Cgroup != nil && r.Born {
		cmd.SysProcAttr.UseCgroupFD, cmd.SysProcAttr.CgroupFD = true, int(at.Cgroup.Fd())
	}
	err = inMounts(func() error { return r.mounts(at.Root) }, cmd.Run)
	switch {
	case err == nil:
		return nil
	case cmd.ProcessState == nil: // it was not run
		return fmt.Errorf("running the runtime: %w", err)
	}
	return log.failure(filepath.Base(r.Args[0]), verb[0], err)
}
