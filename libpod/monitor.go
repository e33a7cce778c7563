package libpod

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"

	"github.com/proa-containers/proa/oci/monitor"
	"github.com/proa-containers/proa/oci/spec"
	"golang.org/x/sys/unix"
)

// monitorProcess is a monitor that waits for its configuration.
type monitorProcess struct {
	conn *monitor.Conn
	cmd  *exec.Cmd
}

func (e *Engine) startMonitor(passthrough bool) (*monitorProcess, error) {
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
	cmd.Env = []string{}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		conn.Close()
		return nil, fmt.Errorf("starting the monitor: %w", err)
	}
	return &monitorProcess{conn, cmd}, nil
}

// conceive makes the monitor fork the init, when the namespaces are known already. The monitor has the last word on
// whether it is of use.
func (m *monitorProcess) conceive(c *Container) error {
	flags, ok := newNamespaces(c.Config.Namespaces)
	if !ok {
		return nil
	}
	b, err := json.Marshal(monitor.Embryo{Flags: flags})
	if err != nil {
		return err
	}
	return m.conn.Send(monitor.Prelaunch, b)
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
	ready chan struct{}
	m     *monitorProcess
	err   error
}

// Warm starts the monitor for c. What comes of it goes to Run or Start, or is to be cancelled.
func (e *Engine) Warm(c *Container) *Warm {
	w := &Warm{ready: make(chan struct{})}
	go func() {
		defer close(w.ready)
		if w.m, w.err = e.startMonitor(c.Log.Driver == "passthrough"); w.err == nil && c.Runtime == "" {
			w.err = w.m.conceive(c)
		}
	}()
	return w
}

// take is the monitor, which is then the caller's; nil when it was cancelled.
func (w *Warm) take() (*monitorProcess, error) {
	if w == nil {
		return nil, nil
	}
	<-w.ready
	m, err := w.m, w.err
	w.m = nil
	if err != nil && m != nil {
		m.discard()
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
		// The monitor takes its init along when its starter goes; a kill would leave it.
		w.m.conn.Close()
		w.m.cmd.Process.Release()
		w.m = nil
	}
}
