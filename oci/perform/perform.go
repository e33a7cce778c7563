// Package perform is the init's side of a container: it carries out a plan, step by step, on one locked OS
// thread inside the new namespaces, and executes the command. It decides nothing. It is linked into proa-init
// only and runs as the container's root, with what the namespaces give it and no more. Paths of the root
// filesystem are reached through handles (openat2 with RESOLVE_IN_ROOT) and mounts are made on file
// descriptors, so that no exchange of a path by another process can redirect them.
package perform

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/proa-containers/proa/oci/plan"
)

// performer is the state of one init.
type performer struct {
	*plan.Plan
	link     link
	mem      int    // the plan
	pid      int    // own pid in the launcher's pid namespace
	state    []byte // OCI state for hooks
	root     int    // top of the root filesystem
	proc     int    // procfs mounted by the plan, -1 if none
	devpts   int    // devpts mounted by the plan, -1 if none
	fifo     int    // what holds the start back, from then to execve, -1 otherwise
	attr     int    // open attr file for the LSM label, -1 if none
	self     int    // proa-init itself, for the reaper
	readonly []int  // mounts to make read-only once everything beneath is in place
	masks    int    // first tmpfs over a masked directory, -1 if none
	path     string // the command
}

// Init performs the plan of a new container. It returns only when it fails, with the exit code.
func Init(args []string) int { return start(args, (*performer).init) }

// Exec performs the plan of a further process in a running container; see Init.
func Exec(args []string) int { return start(args, (*performer).exec) }

// ExecJoined is the second half of Exec, in the process forked after the namespaces were joined.
func ExecJoined(args []string) int { return start(args, (*performer).execJoined) }

func start(args []string, run func(*performer) error) int {
	runtime.LockOSThread()
	debug.SetGCPercent(-1)
	p, err := open(args)
	if err == nil {
		err = run(p)
	}
	e := asError(err)
	if p == nil || !p.reportStart(e) && !p.link.report(e) {
		fmt.Fprintln(os.Stderr, "proa-init:", e)
	}
	return e.ExitCode()
}

// open reads the numbers of the link's and the plan's descriptors, and the plan.
func open(args []string) (*performer, error) {
	stranger := &plan.Error{Text: "proa-init is started by proa, not by hand"}
	if len(args) != 2 {
		return nil, stranger
	}
	sync, err := strconv.Atoi(args[0])
	if err != nil {
		return nil, stranger
	}
	unix.CloseOnExec(sync)
	p := &performer{link: link{fd: sync}, proc: -1, devpts: -1, fifo: -1, attr: -1, self: -1, masks: -1}
	root := 0
	if args[1] == plan.Unborn {
		if p.mem, root, err = p.link.awaitPlan(); err != nil {
			return p, err
		}
	} else if p.mem, err = strconv.Atoi(args[1]); err != nil {
		return nil, stranger
	}
	var st unix.Stat_t
	if err := unix.Fstat(p.mem, &st); err != nil {
		return p, fail("read the container's plan", err)
	}
	b := make([]byte, st.Size)
	if _, err := unix.Pread(p.mem, b, 0); err != nil {
		return p, fail("read the container's plan", err)
	}
	unix.CloseOnExec(p.mem)
	if p.Plan, err = plan.Decode(b); err != nil {
		return p, &plan.Error{Text: err.Error()}
	}
	if root != 0 {
		p.FDs.Root = root
	}
	return p, nil
}

func (p *performer) init() error {
	if err := p.enter(); err != nil {
		return err
	}
	if err := p.openTrusted(); err != nil {
		return err
	}
	// From here on nothing in a shared pid namespace may trace this process.
	if err := unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0); err != nil {
		return fail("become undumpable", err)
	}
	unix.Umask(0o022)
	if err := p.buildRoot(); err != nil {
		return err
	}
	if err := p.setNames(); err != nil {
		return err
	}
	if err := p.raiseLoopback(); err != nil {
		return err
	}
	// A container can be created without a process, only not started.
	if p.FDs.Fifo == 0 || len(p.Process.Args) > 0 {
		if err := p.lookPath(); err != nil {
			return err
		}
	}
	if err := p.awaitStart(); err != nil {
		return err
	}
	if err := p.runHooks("startContainer", p.Hooks.StartContainer, "running"); err != nil {
		return err
	}
	return p.become()
}

// buildRoot makes the root filesystem and enters it.
func (p *performer) buildRoot() error {
	steps := []func() error{
		p.attachRoot, p.makeMounts, p.makeDevices, p.makeLinks, p.openConsole,
		p.setSysctls, p.runtimeHooks, p.containerHooks,
		p.maskPaths, p.readonlyPaths, p.sealMounts, p.pivot,
	}
	switch {
	case p.SharedMounts():
		steps[0] = p.attachShared
	case !p.OwnMounts():
		steps = []func() error{p.setSysctls, p.runtimeHooks, p.containerHooks, p.chroot}
	}
	for _, step := range steps {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

func (p *performer) has(ns uint64) bool {
	for _, n := range p.Namespaces {
		if n.Type == ns {
			return true
		}
	}
	return false
}

func (p *performer) setNames() error {
	if p.Hostname != "" {
		err := unix.Sethostname([]byte(p.Hostname))
		if err == unix.EPERM {
			return &plan.Error{Step: fmt.Sprintf("set the host name %q", p.Hostname), Text: "operation not permitted; within a container that works when that one runs with --security-opt seccomp=unconfined, or --privileged"}
		}
		if err != nil {
			return fail(fmt.Sprintf("set the host name %q", p.Hostname), err)
		}
	}
	if p.Domainname != "" {
		if err := unix.Setdomainname([]byte(p.Domainname)); err != nil {
			return fail(fmt.Sprintf("set the domain name %q", p.Domainname), err)
		}
	}
	return nil
}

// awaitStart blocks in open(2) of the fifo until somebody reads it, as OCI's create and start need. What is written
// is described in package plan.
func (p *performer) awaitStart() error {
	if p.FDs.Fifo == 0 {
		return nil
	}
	if err := p.link.send(plan.MsgCreated, nil); err != nil {
		return fail("report that the container is created", err)
	}
	// The handle is re-opened through a procfs known to be one: the host's is gone after the pivot.
	fd, err := p.reopen(p.FDs.Fifo, unix.O_WRONLY)
	if err != nil {
		return fail("open the start fifo", err)
	}
	if _, err := unix.Write(fd, []byte{plan.FifoOpen}); err != nil {
		return fail("write to the start fifo", err)
	}
	p.fifo = fd
	unix.Close(p.FDs.Fifo)
	return nil
}

// reportStart tells the reader of the fifo why the command could not be executed; false when it is not read yet.
func (p *performer) reportStart(e *plan.Error) bool {
	if p.fifo < 0 {
		return false
	}
	b, err := json.Marshal(e)
	if err != nil {
		return false
	}
	_, err = unix.Write(p.fifo, b)
	return err == nil
}

// fail wraps err as a step of the plan.
func fail(step string, err error) error {
	var e *plan.Error
	if errors.As(err, &e) {
		return e
	}
	var no syscall.Errno
	if errors.As(err, &no) {
		return &plan.Error{Step: step, Errno: no}
	}
	return &plan.Error{Step: step, Text: err.Error()}
}

func asError(err error) *plan.Error {
	var e *plan.Error
	if errors.As(err, &e) {
		return e
	}
	return &plan.Error{Text: err.Error()}
}
