// Package launch starts the init of a container or of a further process in one: it makes the namespaces by
// clone(2), hands the plan over, writes id maps and cgroups, receives the terminal, and learns whether execve
// succeeded. It runs in the monitor or in a foreground proa, with the privilege of its caller, and imports only
// the standard library and x/sys because the monitor is part of proa-init.
package launch

import (
	"bytes"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/proa-containers/proa/oci/plan"
)

// Config is what a launch needs. The launcher closes none of the files.
type Config struct {
	// InitFD is proa-init, in a sealed memfd or any file.
	InitFD *os.File
	Plan   *plan.Plan
	// Encoded is the plan as it was encoded, in place of Plan: an embryo gets it as it is.
	Encoded []byte
	// RootFD is the root filesystem as a detached mount; nil to use Plan.Root.Path. For Exec it is the container's root
	// directory, needed where the container has no mount namespace of its own.
	RootFD                *os.File
	Stdin, Stdout, Stderr *os.File // nil is /dev/null
	// Preserve become descriptors 3 and up of the command.
	Preserve []*os.File
	// CgroupFD is a cgroup v2 directory to be born in.
	CgroupFD *os.File
	// Embryo is an init to use, in the cgroup already; one that doesn't fit the plan is discarded.
	Embryo *Embryo
	// Plugged has the network namespace of such an Embryo be the container's all the same: networks are plugged into it.
	Plugged bool
	// Fifo is an O_PATH handle; the command starts when somebody opens the fifo for reading. Start then returns as
	// soon as the container is created, and later errors go to Stderr.
	Fifo *os.File
	// IDMaps are user namespaces of the plan's idmapped mounts.
	IDMaps []*os.File
	// Hooks is called when the namespaces and mounts exist, if Plan.Hooks wants it: it runs the prestart and
	// createRuntime hooks and returns the container's OCI state.
	Hooks func(pid int) (state []byte, err error)
	// Prepare is called before the init does anything, if Plan.Prepare wants it: it sets up the cgroups.
	Prepare func(pid int) error
	// Limit is called when the init is about to become the command, if Plan.Limit wants it: it limits the processes of
	// the cgroup, or moves the init there.
	Limit func(pid int) error
	// Born is called when the init is there and, of one that is an Embryo, before it can do anything of the plan. Its error
	// ends the init. nil is not called.
	Born func(*Process) error
	// JoinHelper is a program that, given _PROA_JOIN_USERNS=USERNS:EXEC, joins the user namespace of descriptor
	// USERNS and executes descriptor EXEC with its own arguments. It is needed to enter a user namespace, which a
	// process with several threads can't.
	JoinHelper string
}

// Process is a started init: soon, or already, the command.
type Process struct {
	Pid int
	// PidFD is close-on-exec; the caller closes it.
	PidFD *os.File
	// StartTime is field 22 of /proc/PID/stat, in clock ticks since boot.
	StartTime uint64
	// Console is the terminal's master, nil without one. The caller closes it.
	Console *os.File
}

// Wait waits for the process to end.
func (p *Process) Wait() (syscall.WaitStatus, error) {
	var ws syscall.WaitStatus
	for {
		_, err := syscall.Wait4(p.Pid, &ws, 0, nil)
		if err == nil {
			return ws, nil
		}
		if err != unix.EINTR {
			return 0, fmt.Errorf("wait for process %d: %w", p.Pid, err)
		}
	}
}

// Release gives up waiting: the process is left to a subreaper or to pid 1.
func (p *Process) Release() error { return p.PidFD.Close() }

// cloned are the namespaces made by clone(2). The init makes cgroup and time namespaces itself.
const cloned = unix.CLONE_NEWNS | unix.CLONE_NEWUTS | unix.CLONE_NEWIPC | unix.CLONE_NEWPID | unix.CLONE_NEWNET | unix.CLONE_NEWUSER

// Start starts a container. The error is a *plan.Error when the init could not perform the plan; nothing of the
// container is left then.
func Start(c *Config) (*Process, error) {
	if c.Plan == nil {
		p, err := plan.Outline(c.Encoded)
		if err != nil {
			return nil, err
		}
		c.Plan = p
	}
	var flags uintptr
	var joins []join
	defer func() { closeJoins(joins) }()
	for _, n := range c.Plan.Namespaces {
		switch {
		case n.Path == "":
			flags |= uintptr(n.Type) & cloned
		case n.Type == unix.CLONE_NEWNS:
			// by the init
		default:
			f, err := os.Open(n.Path)
			if err != nil {
				return nil, fmt.Errorf("join a namespace: %w", err)
			}
			joins = append(joins, join{f, int(n.Type)})
		}
	}
	for _, j := range joins {
		if j.flags == unix.CLONE_NEWUSER {
			if same, err := ownNamespace(j.file, "user"); err != nil || !same {
				return nil, fmt.Errorf("join the user namespace %q: start proa inside it instead, with nsenter --user", j.file.Name())
			}
		}
	}
	if e := c.Embryo; e != nil {
		if e.fits(c, flags, joins) {
			return e.deliver(c)
		}
		if c.Plugged && flags&e.flags&unix.CLONE_NEWNET != 0 {
			j, err := e.bequeath()
			if err != nil {
				e.Discard()
				return nil, err
			}
			joins, flags = append(joins, j), flags&^unix.CLONE_NEWNET
		}
		e.Discard()
	}
	if c.Encoded != nil {
		p, err := plan.Decode(c.Encoded)
		if err != nil {
			return nil, err
		}
		c.Plan = p
	}
	return c.launch("init", flags, joins)
}

// join is a namespace to enter before the fork.
type join struct {
	file  *os.File
	flags int
}

func closeJoins(joins []join) {
	for _, j := range joins {
		j.file.Close()
	}
}

// launch forks the init and holds the conversation with it.
func (c *Config) launch(mode string, flags uintptr, joins []join) (*Process, error) {
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("make a socket for the container's init: %w", err)
	}
	defer unix.Close(pair[0])
	theirs := os.NewFile(uintptr(pair[1]), "init")
	p, err := c.onThread(joins, func() (*Process, error) { return c.fork(mode, flags, theirs, joins) })
	theirs.Close()
	if err != nil {
		return nil, err
	}
	if err = c.born(p); err == nil {
		err = c.converse(pair[0], p)
	}
	if err != nil {
		p.discard()
		return nil, err
	}
	return p, nil
}

func (c *Config) born(p *Process) error {
	if c.Born == nil {
		return nil
	}
	return c.Born(p)
}

// onThread forks from a thread that has joined the given namespaces. Such a thread is not given back to the
// scheduler: it ends with its goroutine.
func (c *Config) onThread(joins []join, fork func() (*Process, error)) (*Process, error) {
	if len(joins) == 0 {
		return fork()
	}
	type result struct {
		p   *Process
		err error
	}
	done := make(chan result)
	go func() {
		runtime.LockOSThread()
		if unix.Gettid() == unix.Getpid() {
			// Go can't end the first thread: it would stay in the container, and /proc/self would tell of its namespaces.
			p, err := c.onThread(joins, fork)
			runtime.UnlockOSThread()
			done <- result{p, err}
			return
		}
		for _, j := range joins {
			if j.flags == unix.CLONE_NEWUSER || j.flags == 0 {
				continue // by the helper; nothing to join
			}
			if err := unix.Setns(int(j.file.Fd()), j.flags); err != nil {
				done <- result{nil, fmt.Errorf("join the namespace %q: %w", j.file.Name(), err)}
				return
			}
		}
		p, err := fork()
		done <- result{p, err}
	}()
	r := <-done
	return r.p, r.err
}

// discard ends a process that could not become what it should.
func (p *Process) discard() {
	_ = unix.PidfdSendSignal(int(p.PidFD.Fd()), unix.SIGKILL, nil, 0)
	_, _ = p.Wait()
	p.PidFD.Close()
	if p.Console != nil {
		p.Console.Close()
	}
}

// fork starts proa-init. Descriptors are numbered after those the command keeps.
func (c *Config) fork(mode string, flags uintptr, link *os.File, joins []join) (*Process, error) {
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	defer null.Close()
	files := []*os.File{c.Stdin, c.Stdout, c.Stderr}
	for i := range files {
		if files[i] == nil {
			files[i] = null
		}
	}
	files = append(files, c.Preserve...)
	add := func(f *os.File) int {
		if f == nil {
			return 0
		}
		files = append(files, f)
		return len(files) - 1
	}
	target := c.Plan.FDs.Target
	fds := plan.FDs{Preserve: len(c.Preserve), Root: add(c.RootFD), Fifo: add(c.Fifo)}
	for _, f := range c.IDMaps {
		fds.IDMaps = append(fds.IDMaps, add(f))
	}
	if target != 0 {
		fds.Target = add(joins[0].file)
	}
	p := *c.Plan
	p.FDs = fds
	mem, err := planFile(&p)
	if err != nil {
		return nil, err
	}
	defer mem.Close()
	args := []string{"proa-init", mode, strconv.Itoa(add(link)), strconv.Itoa(add(mem))}
	return c.start(args, add, &files, flags, joins)
}

func (c *Config) start(args []string, add func(*os.File) int, files *[]*os.File, flags uintptr, joins []join) (*Process, error) {
	// Out of the way of the numbers the child's descriptors get.
	exe, err := unix.FcntlInt(c.InitFD.Fd(), unix.F_DUPFD_CLOEXEC, len(*files)+64)
	if err != nil {
		return nil, fmt.Errorf("duplicate the descriptor of proa-init: %w", err)
	}
	defer unix.Close(exe)
	name := "/proc/self/fd/" + strconv.Itoa(exe)
	env := []string{"GOGC=off", "GOMAXPROCS=1", "GODEBUG=asyncpreemptoff=1"}
	for _, j := range joins {
		if j.flags&unix.CLONE_NEWUSER == 0 {
			continue
		}
		if same, err := ownNamespace(j.file, "user"); err == nil && same {
			continue
		}
		if c.JoinHelper == "" {
			return nil, fmt.Errorf("join the container's user namespace: no helper is configured")
		}
		name = c.JoinHelper
		env = append(env, fmt.Sprintf("_PROA_JOIN_USERNS=%d:%d", add(j.file), add(c.InitFD)))
	}
	pidfd := -1
	sys := &syscall.SysProcAttr{Cloneflags: flags, PidFD: &pidfd}
	if c.CgroupFD != nil {
		sys.UseCgroupFD, sys.CgroupFD = true, int(c.CgroupFD.Fd())
	}
	if flags&unix.CLONE_NEWUSER != 0 {
		// execve as a user without a mapping would drop the new namespace's capabilities.
		if sys.AmbientCaps, err = allCaps(); err != nil {
			return nil, err
		}
	}
	// os.StartProcess would first fork a process to find out whether pidfds work, for half a millisecond.
	attr := &syscall.ProcAttr{Dir: "/", Env: env, Sys: sys}
	for _, f := range *files {
		attr.Files = append(attr.Files, f.Fd())
	}
	pid, _, err := syscall.StartProcess(name, args, attr)
	runtime.KeepAlive(*files)
	if err != nil {
		return nil, fmt.Errorf("start the container's init: %w", err)
	}
	p := &Process{Pid: pid, PidFD: os.NewFile(uintptr(pidfd), "pidfd")}
	p.StartTime, err = StartTime(p.Pid)
	if err != nil {
		p.discard()
		return nil, err
	}
	return p, nil
}

// planFile writes the plan to a memfd.
func planFile(p *plan.Plan) (*os.File, error) {
	var b bytes.Buffer
	if err := p.Encode(&b); err != nil {
		return nil, err
	}
	return memFile(b.Bytes())
}

// memFile is an encoded plan as a memfd.
func memFile(b []byte) (*os.File, error) {
	fd, err := unix.MemfdCreate("proa-plan", unix.MFD_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("make a memfd for the plan: %w", err)
	}
	f := os.NewFile(uintptr(fd), "plan")
	if _, err := f.Write(b); err != nil {
		f.Close()
		return nil, fmt.Errorf("write the plan: %w", err)
	}
	return f, nil
}
