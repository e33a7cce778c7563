package libpod

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"

	"github.com/proa-containers/proa/libpod/cgroup"
	"github.com/proa-containers/proa/libpod/network/netd"
	"github.com/proa-containers/proa/oci/monitor"
	"github.com/proa-containers/proa/oci/spec"
	"golang.org/x/sys/unix"
)

// monitorProcess is a monitor that waits for its configuration.
type monitorProcess struct {
	conn *monitor.Conn
	cmd  *exec.Cmd
}

// startMonitor starts a monitor in place's leaf.
func (e *Engine) startMonitor(ctx context.Context, passthrough bool, place *cgroup.Place) (*monitorProcess, error) {
	prog, err := e.openInit()
	if err != nil {
		return nil, err
	}
	defer prog.Close()
	null, err := os.OpenFile("/dev/null", os.O_RDWR, 0)
	if err != nil {
		return nil, fmt.Errorf("opening /dev/null: %w", err)
	}
	defer null.Close()
	conn, theirs, err := monitor.Pair()
	if err != nil {
		return nil, err
	}
	defer theirs.Close()
	cmd := exec.Command("/proc/self/fd/4", "monitor")
	cmd.Args[0] = "proa-monitor"
	cmd.ExtraFiles = []*os.File{theirs, prog}
	cmd.Stdin, cmd.Stdout, cmd.Stderr = null, null, null
	if passthrough {
		cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	}
	cmd.Dir = "/"
	// What an idle monitor has allocated is less than what a collection needs; nor does one then come every two minutes.
	// The limit counts 5 MiB of tables that are hardly touched.
	cmd.Env = []string{"GOMAXPROCS=1", "GOGC=off", "GOMEMLIMIT=8MiB"}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if place != nil && place.Leaf != "" && !place.Attach {
		leaf, err := os.OpenFile(place.Leaf, unix.O_DIRECTORY|os.O_RDONLY, 0)
		if err != nil {
			conn.Close()
			return nil, fmt.Errorf("opening the monitors' cgroup: %w", err)
		}
		defer leaf.Close()
		cmd.SysProcAttr.UseCgroupFD, cmd.SysProcAttr.CgroupFD = true, int(leaf.Fd())
	}
	if err := cmd.Start(); err != nil {
		conn.Close()
		return nil, fmt.Errorf("starting the monitor: %w", err)
	}
	m := &monitorProcess{conn, cmd}
	if place != nil && place.Attach {
		if err := place.Move(ctx, e.cgroupOptions(), cmd.Process.Pid); err != nil {
			m.discard()
			return nil, err
		}
	}
	return m, nil
}

// conceive makes the monitor fork the init, when the namespaces are known already. The monitor has the last word on
// whether it is of use.
func (m *monitorProcess) conceive(c *Container, cgroupDir string) error {
	flags, ok := newNamespaces(c.Config.Namespaces)
	later := !ok || c.Runtime != "" || c.pinned()
	e := monitor.Embryo{Flags: flags, Later: later, CgroupDir: cgroupDir, Plugged: c.networked() && !later}
	b, err := json.Marshal(e)
	if err != nil {
		return err
	}
	return m.conn.Send(monitor.Prelaunch, b)
}

// conceived is the init that the monitor has forked ahead.
func (m *monitorProcess) conceived() (init monitor.Init, err error) {
	kind, payload, err := m.conn.Receive(make([]byte, 4<<10))
	switch {
	case err != nil:
		return init, fmt.Errorf("hearing of the container's init: %w", err)
	case kind == monitor.Failed:
		var f monitor.Failure
		if err := json.Unmarshal(payload, &f); err != nil {
			return init, fmt.Errorf("reading the monitor's answer: %w", err)
		}
		return init, &StartError{f.Message, f.Code}
	}
	return init, json.Unmarshal(payload, &init)
}

// newNamespaces are the CLONE_NEW* flags that clone(2) takes for the container; ok is false when it joins others.
func newNamespaces(n spec.Namespaces) (flags uint64, ok bool) {
	flags = unix.CLONE_NEWNS
	for _, ns := range []struct {
		mode string
		flag uint64
	}{{n.PID, unix.CLONE_NEWPID}, {n.Network, unix.CLONE_NEWNET}, {n.IPC, unix.CLONE_NEWIPC}, {n.UTS, unix.CLONE_NEWUTS}} {
		switch {
		case strings.Contains(ns.mode, ":"):
			return 0, false
		case ns.mode != "host":
			flags |= ns.flag
		}
	}
	return flags, true
}

// discard ends a monitor that has not been configured, or whose container did not start.
func (m *monitorProcess) discard() {
	m.conn.Close()
	m.cmd.Process.Kill()
	m.cmd.Wait()
}

// Warm is a monitor, and its container's init, started while the container is still being made.
type Warm struct {
	engine *Engine
	ctr    *Container
	ready  chan struct{}
	m      *monitorProcess
	cgroup string        // directory of the container's cgroup; "" when it has none of its own
	nets   *netd.Session // the container's networks being set up; nil without
	err    error
}

// Warm starts the monitor for c, to which it gives an id and its lock. What comes of it goes to Run or Start, or is to
// be cancelled.
func (e *Engine) Warm(ctx context.Context, c *Container) *Warm {
	w := &Warm{engine: e, ctr: c, ready: make(chan struct{})}
	if c.ID == "" {
		c.ID = newID()
		if c.unlock, w.err = e.lock(c.ID); w.err != nil {
			close(w.ready)
			return w
		}
	}
	go func(c Container) {
		defer close(w.ready)
		w.err = w.start(ctx, e, &c)
	}(*c)
	return w
}

func (w *Warm) start(ctx context.Context, e *Engine, c *Container) error {
	place, err := e.findPlace(ctx, c.Config.Resources)
	if err != nil {
		return err
	}
	if c.networked() && !netd.Lives(e.netdDir()) {
		go e.netd().Revive() // beside the monitor's start; who dials waits for it
	}
	if w.m, err = e.startMonitor(ctx, c.Log.Driver == "passthrough", place); err != nil {
		return err
	}
	if place != nil {
		// Killed between this and its word to the monitor, proa alone knows of the cgroup.
		if err := e.noteCgroup(c.ID, place.Path(c.ID)); err != nil {
			return err
		}
		if w.cgroup, err = place.Make(c.ID); err != nil {
			return err
		}
	}
	if err := w.m.conceive(c, w.cgroup); err != nil || !c.networked() || c.Replace { // the container that goes may have its ports and addresses
		return err
	}
	w.nets, err = e.plug(c, w.m)
	return err
}

// take is the monitor, which is then the caller's, with the cgroup; nil when it was cancelled.
func (w *Warm) take() (*monitorProcess, error) {
	<-w.ready
	m, err := w.m, w.err
	w.m = nil
	if err != nil && m != nil {
		m.discard()
		w.dropCgroup()
	}
	return m, err
}

// Cancel ends what was started and not used. It may be called at any time, also on nil.
func (w *Warm) Cancel() {
	if w == nil {
		return
	}
	<-w.ready
	if w.m != nil {
		// The monitor takes its init and the cgroup along when its starter goes; it may have been killed before that.
		stop := w.m.guard()
		w.m.conn.Close()
		w.m.cmd.Wait()
		stop()
		w.m = nil
		w.dropCgroup()
	}
	w.nets.Close()
	w.nets = nil
	w.engine.dropLock(w.ctr)
}

// dropCgroup removes the cgroup of a container that did not start, with the init if that is still in it.
func (w *Warm) dropCgroup() {
	if w.cgroup != "" {
		cgroup.Remove(w.cgroup)
	}
}
