package libpod

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/moby/sys/signal"
	"github.com/proa-containers/proa/oci/monitor"
	"golang.org/x/sys/unix"
)

// restarts is what the container's monitor says of its restarts; false: there was none.
func (e *Engine) restarts(id string) (monitor.Restarts, bool) {
	var r monitor.Restarts
	return r, readJSON(filepath.Join(e.runDir(id), monitor.RestartFile), &r) == nil
}

// restarting tells whether the container waits for its monitor to start it again, and how its last run ended.
func (e *Engine) restarting(id string) (monitor.Exit, bool) {
	r, ok := e.restarts(id)
	return r.Exit, ok && r.Waiting && e.monitorPID(id) != 0
}

// startedAgain tells whether the monitor waits to start the container again, or has.
func (e *Engine) startedAgain(id string) bool {
	r, ok := e.restarts(id)
	if !ok || r.Waiting {
		return ok && e.monitorPID(id) != 0 // a monitor that was killed starts nothing
	}
	var init monitor.Init
	return readJSON(filepath.Join(e.runDir(id), monitor.InitFile), &init) == nil && alive(init)
}

// stayPut leaves word that the container is not to be started again when it ends. It goes before the signal: the
// monitor looks for it when it has seen the end.
func (e *Engine) stayPut(c *Container) error {
	if !c.restarts() {
		return nil
	}
	err := os.WriteFile(filepath.Join(e.runDir(c.ID), monitor.StayFile), nil, 0o600)
	if errors.Is(err, fs.ErrNotExist) {
		return nil // it does not run
	}
	return err
}

// restarts tells whether the monitor may start the container again.
func (c *Container) restarts() bool {
	return c.Restart.Name != "" || c.Config.Health.Checks() && c.Config.Health.OnFailure != ""
}

// endWait has the monitor of a restarting container, which was told to stay put, give up waiting; it returns when it
// has, or the container runs.
func (e *Engine) endWait(c *Container) {
	for i := range 300 {
		if e.Status(c).State != Restarting {
			return
		}
		if i%50 == 0 {
			e.tellMonitor(c.ID, monitor.Change{Stay: true})
		}
		time.Sleep(10 * time.Millisecond)
	}
	e.endMonitor(c.ID)
}

// tellMonitor sends a change to the container's monitor, if there is one.
func (e *Engine) tellMonitor(id string, change monitor.Change) {
	if conn, err := monitor.Dial(e.runDir(id)); err == nil {
		conn.SendJSON(monitor.Update, change)
		conn.Close()
	}
}

// endingSignal tells whether a user who sends sig wants the container to end: with Docker any signal says so where the
// container has no stop signal of its own, a SIGHUP to reload a configuration too.
func (c *Container) endingSignal(sig unix.Signal) bool {
	own, err := signal.ParseSignal(c.StopSignal)
	return err == nil && own == sig || slices.Contains([]unix.Signal{unix.SIGKILL, unix.SIGTERM, unix.SIGINT, unix.SIGQUIT}, sig)
}

// Cleanup is Finish for a container whose monitor has no client left to do it. It starts a container again whose policy
// came when it ran already: its monitor was not made for that.
func (e *Engine) Cleanup(ctx context.Context, c *Container) error {
	var exit monitor.Exit
	again := readJSON(filepath.Join(e.runDir(c.ID), monitor.ExitFile), &exit) == nil && exit.Restarting
	if err := e.Finish(c); err != nil || !again {
		return err
	}
	now, err := e.Lookup(c.ID)
	if err == nil {
		_, err = e.Start(ctx, now, StartOptions{})
	}
	return err
}

// noteStart records that a container with a policy runs: after a reboot nothing else tells.
func (e *Engine) noteStart(c *Container) error {
	if c.Restart.Name == "" || c.Started {
		return nil
	}
	now, err := e.Lookup(c.ID)
	if err != nil {
		return err
	}
	c.Started, now.Started = true, true
	r, err := now.record()
	if err != nil {
		return err
	}
	return e.state.Put(r)
}

// DueAfterBoot tells whether c, which does not run, is to be started when the host was: Docker's rule for the start of
// its daemon.
func DueAfterBoot(c *Container, st Status) bool {
	if st.State != Exited && !(st.State == Created && c.Started) {
		return false // it runs, or never did
	}
	stays := !c.Started && c.Last != nil && c.Last.Stay
	switch c.Restart.Name {
	case monitor.Always:
		return true
	case monitor.UnlessStopped:
		return !stays
	case monitor.OnFailure:
		return !stays && (c.Started || st.Run.ExitCode != 0)
	}
	return false
}

// bootTime is when the host was started.
func bootTime() time.Time {
	b, err := os.ReadFile("/proc/uptime")
	if err != nil {
		return time.Time{}
	}
	up, _, _ := strings.Cut(string(b), " ")
	seconds, err := strconv.ParseFloat(up, 64)
	if err != nil {
		return time.Time{}
	}
	return time.Now().Add(-time.Duration(seconds * float64(time.Second))).Round(time.Second)
}
