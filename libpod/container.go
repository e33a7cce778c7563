package libpod

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/proa-containers/proa/libpod/cgroup"
	"github.com/proa-containers/proa/libpod/network"
	"github.com/proa-containers/proa/libpod/state"
	"github.com/proa-containers/proa/oci/monitor"
	"github.com/proa-containers/proa/oci/spec"
	"github.com/proa-containers/proa/storage/overlay"
	"golang.org/x/sys/unix"
)

// Container is the stored record: what was asked for, and how the last run ended. How it is now is Status.
type Container struct {
	ID          string
	Name        string
	Image       string // as the user named it
	ImageID     string
	Created     time.Time
	AutoRemove  bool
	Config      spec.Config
	Stdin       bool
	Terminal    bool
	Log         monitor.Log
	StopSignal  string
	StopTimeout *int // seconds, -1 for ever; nil: defaultStopTimeout
	Labels      map[string]string
	Annotations map[string]string
	Rootfs      string // a directory in place of an image
	RootfsCopy  bool   // --rootfs PATH:O: changes go to an overlay
	Runtime     string
	Platform    string
	Standing    bool           // made by create: it goes when it has run, not before
	Restart     monitor.Policy `json:",omitzero"`
	Started     bool           `json:",omitempty"` // with a policy: a run began and its end is not in Last
	Last        *Run           `json:",omitempty"`

	// Networks are those that a container with the network mode "bridge" is on, the first of them its way out.
	Networks []network.Attachment `json:",omitempty"`
	Ports    []network.Port       `json:",omitempty"` // published
	Exposed  []network.Port       `json:",omitempty"` // by the image and --expose, without a port of the host

	// PublishAll publishes what is exposed when the container is made, on free ports of the host.
	PublishAll bool           `json:",omitempty"`
	Names      network.Names  `json:",omitzero"`
	Egress     network.Egress `json:",omitzero"`

	// DropVolumes makes the removal of the container that of its anonymous volumes too, as AutoRemove does.
	DropVolumes bool `json:"-"`

	// Replace has the making of the container remove the one that has its name.
	Replace bool `json:"-"`

	layer  *overlay.Options // of a layer just made: Run need not look it up again
	unlock func()           // gives the lock of a container back that is yet to be made; nil without it
}

// Run is how a run ended.
type Run struct {
	StartedAt  time.Time
	FinishedAt time.Time
	ExitCode   int
	OOMKilled  bool
	Error      string
	Restarts   int                  `json:",omitempty"` // by the policy, before this end
	Stay       bool                 `json:",omitempty"` // the user ended it
	Health     *monitor.HealthState `json:",omitempty"` // at the end
}

// State of a container, in Docker's words.
type State string

// The states; they are derived, never stored.
const (
	Created State = "created"
	// Initialized is a container whose namespaces and root are there and whose command does not run yet.
	Initialized State = "initialized"
	Running     State = "running"
	Paused      State = "paused"
	Exited      State = "exited"
	// Restarting is a container that has ended and waits for its monitor to start it again.
	Restarting State = "restarting"
)

// Status is what the kernel and the run directory say about a container.
type Status struct {
	State      State
	PID        int // 0 when it does not run
	MonitorPID int // 0 when the monitor is gone
	Run        Run // of the current or last run
}

// lostMonitor is the exit code of a container whose end nobody saw: its monitor had been killed.
const lostMonitor = 255

func (c *Container) record() (state.Record, error) {
	b, err := json.Marshal(c)
	return state.Record{ID: c.ID, Name: c.Name, Volatile: c.AutoRemove, Data: b}, err
}

func decode(r state.Record) (*Container, error) {
	c := &Container{}
	if err := json.Unmarshal(r.Data, c); err != nil {
		return nil, fmt.Errorf("reading the record of container %.12s: %w", r.ID, err)
	}
	return c, nil
}

// runDir is the container's directory on tmpfs: what is in it is true until the next boot.
func (e *Engine) runDir(id string) string { return filepath.Join(e.paths.RunDir, "containers", id) }

// dataDir is the container's directory on disk: its log.
func (e *Engine) dataDir(id string) string { return filepath.Join(e.paths.DataDir, "containers", id) }

// Status derives how the container is.
func (e *Engine) Status(c *Container) Status {
	dir := e.runDir(c.ID)
	st := Status{State: Created, MonitorPID: e.monitorPID(c.ID)}
	var init monitor.Init
	if readJSON(filepath.Join(dir, monitor.InitFile), &init) != nil {
		switch {
		case c.Started && st.MonitorPID == 0: // and the host was started anew
			st.State, st.Run = Exited, Run{ExitCode: lostMonitor, FinishedAt: bootTime(), Error: "the container ended with the host"}
		case c.Last != nil:
			st.State, st.Run = Exited, *c.Last
		}
		return st
	}
	st.Run.StartedAt = init.StartedAt
	var exit monitor.Exit
	exitFile := filepath.Join(dir, monitor.ExitFile)
	if readJSON(exitFile, &exit) != nil {
		if alive(init) {
			st.State, st.PID = Running, init.PID
			switch {
			case frozen(init.PID) || e.frozenV1(c.ID):
				st.State = Paused
			case init.Held && e.holds(c.ID):
				st.State, st.Run.StartedAt = Initialized, time.Time{}
			}
			return st
		}
		if !e.awaitExit(c.ID, exitFile, &exit) {
			if run, ok := e.restarting(c.ID); ok {
				st.State, st.Run.ExitCode, st.Run.FinishedAt, st.Run.Error = Restarting, run.Code, run.FinishedAt, run.Error
				st.Run.OOMKilled = run.OOMKilled
				return st
			}
			if e.startedAgain(c.ID) {
				return e.Status(c)
			}
			if run, ok := e.writtenDown(c); ok { // by another command, meanwhile
				st.State, st.Run = Exited, run
				return st
			}
			if r, ok := e.restarts(c.ID); ok && r.Waiting { // the monitor was killed between two runs
				st.State, st.Run.ExitCode, st.Run.OOMKilled, st.Run.FinishedAt = Exited, r.Exit.Code, r.Exit.OOMKilled, r.Exit.FinishedAt
				return st
			}
			exit = monitor.Exit{Code: lostMonitor, FinishedAt: modTime(dir)}
			st.Run.Error = "the container ended while its monitor was gone"
		}
	}
	st.State = Exited
	st.Run.ExitCode, st.Run.OOMKilled, st.Run.FinishedAt = exit.Code, exit.OOMKilled, exit.FinishedAt
	if exit.Error != "" {
		st.Run.Error = exit.Error
	}
	return st
}

// Ended is how the last run ended, if it did and somebody saw it.
func (e *Engine) Ended(c *Container) (Run, bool) {
	if st := e.Status(c); st.State != Created {
		return st.Run, st.State == Exited && st.Run.Error == ""
	}
	return e.writtenDown(c)
}

// writtenDown is the last run as the record has it, once the run directory has been cleared.
func (e *Engine) writtenDown(c *Container) (Run, bool) {
	if _, err := os.Stat(filepath.Join(e.runDir(c.ID), monitor.InitFile)); err == nil {
		return Run{}, false
	}
	r, err := e.state.Find(c.ID)
	if err != nil {
		return Run{}, false
	}
	now, err := decode(r)
	if err != nil || now.Last == nil {
		return Run{}, false
	}
	return *now.Last, true
}

// awaitExit waits for the exit file of an init that has ended, for as long as its monitor lives to write it.
func (e *Engine) awaitExit(id, file string, exit *monitor.Exit) bool {
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		live := e.wake(id)
		if readJSON(file, exit) == nil {
			return true
		}
		if !live || e.startedAgain(id) {
			return false
		}
	}
	if stopped(e.monitorPID(id)) {
		e.endMonitor(id)
	}
	return false
}

func readJSON(path string, v any) error {
	b, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	return json.Unmarshal(b, v)
}

func modTime(path string) time.Time {
	if st, err := os.Stat(path); err == nil {
		return st.ModTime()
	}
	return time.Now()
}

// alive tells whether init still runs: the same start time at the same pid, and no zombie.
func alive(init monitor.Init) bool {
	f := statFields(init.PID)
	if len(f) < 20 || f[0] == "Z" || f[0] == "X" {
		return false
	}
	start, err := strconv.ParseUint(f[19], 10, 64)
	return err == nil && start == init.StartTime
}

// frozen tells whether the cgroup of pid is frozen (cgroup v2).
func frozen(pid int) bool {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/cgroup", pid))
	if err != nil {
		return false
	}
	path := cgroup.Path(string(b))
	for _, root := range []string{"/sys/fs/cgroup", "/sys/fs/cgroup/unified"} {
		if ev, err := os.ReadFile(filepath.Join(root, path, "cgroup.events")); err == nil {
			return strings.Contains(string(ev), "frozen 1")
		}
	}
	return false
}

// signal sends sig to the running init through a pidfd, so that a taken pid is never hit.
func (e *Engine) signal(c *Container, sig unix.Signal) error {
	var init monitor.Init
	if err := readJSON(filepath.Join(e.runDir(c.ID), monitor.InitFile), &init); err != nil || !alive(init) {
		return &WrongStateError{c.Name, e.Status(c).State, "is not running"}
	}
	fd, err := unix.PidfdOpen(init.PID, 0)
	if err != nil {
		return &WrongStateError{c.Name, Exited, "is not running"}
	}
	defer unix.Close(fd)
	if !alive(init) {
		return &WrongStateError{c.Name, Exited, "is not running"}
	}
	switch err := unix.PidfdSendSignal(fd, sig, nil, 0); {
	case errors.Is(err, unix.ESRCH): // it ended meanwhile
		return &WrongStateError{c.Name, Exited, "is not running"}
	case err != nil:
		return fmt.Errorf("sending %s to container %q: %w", unix.SignalName(sig), c.Name, err)
	}
	e.say(c, "kill", "signal", strconv.Itoa(int(sig)))
	return nil
}

// WrongStateError says that a container is not in the state that a verb needs.
type WrongStateError struct {
	Name   string
	State  State
	Reason string
}

func (e *WrongStateError) Error() string {
	return fmt.Sprintf("container %q %s (it is %s)", e.Name, e.Reason, e.State)
}
