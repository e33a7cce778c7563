package libpod

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"
	"github.com/proa-containers/proa/oci/launch"
	"github.com/proa-containers/proa/oci/monitor"
	"github.com/proa-containers/proa/oci/plan"
	"github.com/proa-containers/proa/oci/runtime"
	"github.com/proa-containers/proa/oci/spec"
	"golang.org/x/sys/unix"
)

// ExecTarget is a running container that a command can be run in.
type ExecTarget struct {
	PID     int
	PIDFD   *os.File       // of the init; the caller closes it
	Process *specs.Process // the container's own
	Root    *os.File       // the container's root, a handle for look-ups; the caller closes it
}

// execTarget opens the running container c.
func (e *Engine) execTarget(c *Container) (*ExecTarget, error) {
	var init monitor.Init
	notRunning := func() error {
		st := e.Status(c).State
		if st == Running || st == Paused {
			st = Exited // it has no root any more: it is just ending
		}
		return &WrongStateError{c.Name, st, "is not running"}
	}
	if readJSON(filepath.Join(e.runDir(c.ID), monitor.InitFile), &init) != nil || !alive(init) {
		return nil, notRunning()
	}
	if init.Held && e.holds(c.ID) {
		return nil, &WrongStateError{c.Name, Initialized, "is not running"}
	}
	if frozen(init.PID) || e.frozenV1(c.ID) {
		return nil, &WrongStateError{c.Name, Paused, "is paused: unpause it first"}
	}
	fd, err := unix.PidfdOpen(init.PID, 0)
	if err != nil {
		return nil, notRunning()
	}
	t := &ExecTarget{PID: init.PID, PIDFD: os.NewFile(uintptr(fd), "pidfd")}
	root, err := os.OpenFile(fmt.Sprintf("/proc/%d/root", init.PID), unix.O_PATH|unix.O_DIRECTORY, 0)
	if err != nil || !alive(init) {
		t.close()
		return nil, notRunning()
	}
	t.Root = root
	if err := readJSON(filepath.Join(e.runDir(c.ID), processFile), &t.Process); err != nil {
		t.close()
		return nil, fmt.Errorf("reading how container %q was started: %w", c.Name, err)
	}
	return t, nil
}

func (t *ExecTarget) close() {
	t.PIDFD.Close()
	if t.Root != nil {
		t.Root.Close()
	}
}

// ExecOptions of Exec.
type ExecOptions struct {
	Args       []string
	Env        []string
	User, Cwd  string
	Privileged bool
	Terminal   bool
	Size       monitor.Size
	Detach     bool
	DetachKeys []byte     // typed at the terminal, they leave the command in the background; empty: none
	Preserve   []*os.File // become descriptors 3 and up of the command
	Stdin      *os.File   // nil: /dev/null
	Stdout     *os.File
	Stderr     *os.File
}

// Exec runs a further process in the running container c and returns its exit status, 0 at once with Detach. A command
// that can't be run is a *StartError.
func (e *Engine) Exec(ctx context.Context, c *Container, o ExecOptions) (int, error) {
	t, err := e.execTarget(c)
	if err != nil {
		return 0, err
	}
	defer t.close()
	if c.networked() {
		if err := e.healNetd(); err != nil {
			e.warn(fmt.Errorf("mending the networks: %w", err))
		}
	}
	id, command := newID(), strings.Join(o.Args, " ")
	e.say(c, "exec_create: "+command, "execID", id)
	e.say(c, "exec_start: "+command, "execID", id)
	run := e.execBundled
	if c.Runtime != "" {
		run = e.execForeign
	}
	code, err := run(ctx, c, t, o)
	if errors.Is(err, ErrDetached) {
		e.say(c, "exec_detach: "+command, "execID", id)
	}
	if err == nil && !o.Detach { // a command in the background is nobody's
		e.say(c, "exec_die", "execID", id, "exitCode", strconv.Itoa(code))
	}
	return code, err
}

// execBundled runs the command by the bundled runtime.
func (e *Engine) execBundled(ctx context.Context, c *Container, t *ExecTarget, o ExecOptions) (int, error) {
	p, err := e.execPlan(c, t, o)
	if err != nil {
		return 0, err
	}
	prog, err := e.openInit()
	if err != nil {
		return 0, err
	}
	defer prog.Close()
	cfg := &launch.Config{InitFD: prog, Plan: p, JoinHelper: "/proc/self/exe", Preserve: o.Preserve}
	if cfg.CgroupFD, err = e.enterCgroup(ctx, c.ID); err != nil {
		return 0, err
	}
	if f := cfg.CgroupFD; f != nil {
		defer f.Close()
		joinLate(cfg)
	}
	p.CgroupDirs = e.v1Dirs(c.ID)
	relay := &execStreams{opts: o}
	if err := relay.connect(cfg); err != nil {
		return 0, err
	}
	proc, err := launch.Exec(cfg, t.PID, t.PIDFD)
	relay.closeChild()
	if err != nil {
		relay.abandon()
		return 0, notStarted(err)
	}
	defer proc.PidFD.Close()
	if o.Detach {
		return 0, errors.Join(e.leave(c, proc.Console), proc.Release())
	}
	defer forward(proc.PidFD)()
	code, err := relay.wait(proc.Console, proc.Wait)
	if errors.Is(err, ErrDetached) {
		return 0, cmp.Or(errors.Join(e.leave(c, proc.Console), proc.Release()), err)
	}
	return code, err
}

// notStarted is the error of a launch as a *StartError, if it was the plan that could not be performed.
func notStarted(err error) error {
	var step *plan.Error
	if errors.As(err, &step) {
		return &StartError{err.Error(), step.ExitCode()}
	}
	return err
}

// leave has the container's monitor hold the terminal of a command that goes on in the background; nil is none.
func (e *Engine) leave(c *Container, console *os.File) error {
	if console == nil {
		return nil
	}
	defer console.Close()
	e.wake(c.ID)
	conn, err := monitor.Dial(e.runDir(c.ID))
	if err == nil {
		err = conn.SendFiles(monitor.Hold, nil, console)
		conn.Close()
	}
	if err != nil {
		return fmt.Errorf("leaving the command's terminal to the monitor of container %q, without which the command is hung up: %w", c.Name, err)
	}
	return nil
}

// joinLate has the init move into a cgroup that allows fewer processes than it has threads, when it needs no more of
// them: the kernel counts what moves in but holds the limit against fork and clone alone (pids.c).
func joinLate(cfg *launch.Config) {
	dir := cfg.CgroupFD.Name()
	b, err := os.ReadFile(filepath.Join(dir, "pids.max"))
	if err != nil {
		return
	}
	if n, err := strconv.Atoi(strings.TrimSpace(string(b))); err != nil || n >= initThreads {
		return
	}
	cfg.CgroupFD, cfg.Plan.Limit = nil, true
	cfg.Limit = func(pid int) error {
		if err := os.WriteFile(filepath.Join(dir, "cgroup.procs"), []byte(strconv.Itoa(pid)), 0); err != nil {
			return fmt.Errorf("moving the process into the container's cgroup: %w", err)
		}
		return nil
	}
}

// execPlan is what the bundled runtime performs for the command.
func (e *Engine) execPlan(c *Container, t *ExecTarget, o ExecOptions) (*plan.Plan, error) {
	process, err := execProcess(c, t, o)
	if err != nil {
		return nil, err
	}
	p, err := runtime.NewProcess(&specs.Spec{}, process, e.planOptions(c))
	if err != nil {
		return nil, fmt.Errorf("planning the command: %w", err)
	}
	security := c.Config.Security
	security.Privileged = security.Privileged || o.Privileged
	p.Process.Seccomp, err = e.filter(security)
	return p, err
}

// execProcess is the container's process with what the options change.
func execProcess(c *Container, t *ExecTarget, o ExecOptions) (*specs.Process, error) {
	name := o.User
	if name == "" {
		name = c.Config.Process.User
	}
	user, err := spec.ResolveUser(t.Root, name, nil)
	if err != nil {
		return nil, err
	}
	security := c.Config.Security
	security.Privileged = security.Privileged || o.Privileged
	process := spec.Exec(t.Process, security, user, o.Env, o.Terminal)
	process.Args = o.Args
	if err := checkCwd(o.Cwd); err != nil {
		return nil, err
	}
	if o.Cwd != "" {
		process.Cwd = o.Cwd
	}
	if o.Terminal && o.Size.Width > 0 {
		process.ConsoleSize = &specs.Box{Height: uint(o.Size.Height), Width: uint(o.Size.Width)}
	}
	return process, nil
}

// checkCwd refuses a working directory that depends on another; the empty one is the default.
func checkCwd(dir string) error {
	if dir != "" && !filepath.IsAbs(dir) {
		return fmt.Errorf("invalid working directory %q: it must be an absolute path", dir)
	}
	return nil
}

// forward hands the signals that end proa to the command.
func forward(pidfd *os.File) (stop func()) {
	ch := make(chan os.Signal, 8)
	signal.Notify(ch, unix.SIGINT, unix.SIGTERM, unix.SIGHUP, unix.SIGQUIT, unix.SIGUSR1, unix.SIGUSR2)
	go func() {
		for s := range ch {
			unix.PidfdSendSignal(int(pidfd.Fd()), s.(unix.Signal), nil, 0)
		}
	}()
	return func() { signal.Stop(ch); close(ch) }
}
