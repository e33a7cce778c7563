package libpod

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"

	"github.com/opencontainers/runtime-spec/specs-go"
	"github.com/proa-containers/proa/oci/monitor"
	"golang.org/x/sys/unix"
)

// ExecTarget is a running container that a command can be run in.
type ExecTarget struct {
	PID   int
	PIDFD int // of the init; the caller closes it
	Spec  *specs.Spec
	Root  *os.File // the container's root, a handle for look-ups; the caller closes it
}

// execTarget opens the running container c.
func (e *Engine) execTarget(c *Container) (*ExecTarget, error) {
	var init monitor.Init
	notRunning := func() error { return &WrongStateError{c.Name, e.Status(c).State, "is not running"} }
	if readJSON(filepath.Join(e.runDir(c.ID), monitor.InitFile), &init) != nil || !alive(init) {
		return nil, notRunning()
	}
	if frozen(init.PID) {
		return nil, &WrongStateError{c.Name, Paused, "is paused: unpause it first"}
	}
	fd, err := unix.PidfdOpen(init.PID, 0)
	if err != nil {
		return nil, notRunning()
	}
	t := &ExecTarget{PID: init.PID, PIDFD: fd}
	root, err := os.OpenFile(fmt.Sprintf("/proc/%d/root", init.PID), unix.O_PATH|unix.O_DIRECTORY, 0)
	if err != nil || !alive(init) {
		t.close()
		return nil, notRunning()
	}
	t.Root = root
	b, err := os.ReadFile(filepath.Join(e.runDir(c.ID), "config.json"))
	if err == nil {
		err = json.Unmarshal(b, &t.Spec)
	}
	if err != nil {
		t.close()
		return nil, fmt.Errorf("reading how container %q was started: %w", c.Name, err)
	}
	return t, nil
}

func (t *ExecTarget) close() {
	unix.Close(t.PIDFD)
	if t.Root != nil {
		t.Root.Close()
	}
}
