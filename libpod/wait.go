package libpod

import (
	"context"
	"encoding/json"
	"fmt"
	"path/filepath"
	"time"

	"github.com/proa-containers/proa/libpod/state"
	"github.com/proa-containers/proa/oci/monitor"
	"golang.org/x/sys/unix"
)

// Wait blocks until the container does not run and returns how its run ended.
func (e *Engine) Wait(ctx context.Context, c *Container) (Run, error) {
	defer e.letReap(c)()
	if c.AutoRemove {
		e.wake(c.ID)
		if conn, err := monitor.Dial(e.runDir(c.ID)); err == nil {
			return e.waitHeard(ctx, c, conn)
		}
	}
	var init monitor.Init
	if readJSON(filepath.Join(e.runDir(c.ID), monitor.InitFile), &init) == nil && alive(init) {
		if err := awaitPID(ctx, init); err != nil {
			return Run{}, err
		}
	}
	st := e.Status(c)
	if st.State == Created {
		// Another command settled it meanwhile, and its record has the answer.
		if run, ok := e.writtenDown(c); ok {
			return run, nil
		}
		if init.PID != 0 {
			return Run{ExitCode: lostMonitor}, fmt.Errorf("container %q is gone: %w", c.Name, state.ErrNotFound)
		}
	}
	return st.Run, nil
}

// waitHeard waits for the monitor's own word: the directory of a container that goes when it ends may be gone before
// its exit file is read. Who hears the word cleans up.
func (e *Engine) waitHeard(ctx context.Context, c *Container, conn *monitor.Conn) (Run, error) {
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	defer e.Guard(c)()
	var exit monitor.Exit
	heard := false
	buf := make([]byte, monitor.MaxPayload+1)
	for !heard {
		kind, payload, err := conn.Receive(buf)
		if ctx.Err() != nil {
			return Run{}, ctx.Err()
		}
		if err != nil {
			return e.Status(c).Run, nil
		}
		if kind == monitor.Exited {
			if err := json.Unmarshal(payload, &exit); err != nil {
				return Run{}, fmt.Errorf("reading how container %q ended: %w", c.Name, err)
			}
			heard = true
		}
	}
	run := Run{ExitCode: exit.Code, OOMKilled: exit.OOMKilled, FinishedAt: exit.FinishedAt}
	return run, e.settleSoon(c)
}

// awaitPID waits on a pidfd for the end of init.
func awaitPID(ctx context.Context, init monitor.Init) error {
	fd, err := unix.PidfdOpen(init.PID, 0)
	if err != nil {
		return nil // gone
	}
	defer unix.Close(fd)
	if !alive(init) {
		return nil
	}
	p := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		step := 100 * time.Millisecond
		if d, ok := ctx.Deadline(); ok {
			step = min(step, max(time.Until(d), time.Millisecond))
		}
		n, err := unix.Poll(p, int(step.Milliseconds()))
		if n > 0 {
			return nil
		}
		if err != nil && err != unix.EINTR {
			return fmt.Errorf("waiting for process %d: %w", init.PID, err)
		}
	}
}
