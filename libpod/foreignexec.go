package libpod

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"syscall"

	"github.com/proa-containers/proa/oci/driver"
	"github.com/proa-containers/proa/oci/launch"
	"golang.org/x/sys/unix"
)

// execForeign runs a further process in the running container c through the runtime that made it.
func (e *Engine) execForeign(ctx context.Context, c *Container, t *ExecTarget, o ExecOptions) (int, error) {
	if len(o.Preserve) > 0 {
		return 0, fmt.Errorf("container %q has the runtime %q, and --preserve-fds needs the bundled one", c.Name, c.Runtime)
	}
	rt, err := e.foreignRuntime(c)
	if err != nil {
		return 0, err
	}
	process, err := execProcess(c, t, o)
	if err != nil {
		return 0, err
	}
	boundCapabilities(process.Capabilities)
	encoded, err := json.Marshal(process)
	if err != nil {
		return 0, fmt.Errorf("encoding the command: %w", err)
	}
	if !o.Detach {
		// The command becomes this process's child when the runtime has ended.
		if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
			return 0, fmt.Errorf("becoming a subreaper: %w", err)
		}
	}
	cgroup, err := e.enterCgroup(ctx, c.ID)
	if err != nil {
		return 0, err
	}
	if cgroup != nil {
		defer cgroup.Close()
	}
	relay := &execStreams{opts: o}
	var ends launch.Config // for its streams
	if err := relay.connect(&ends); err != nil {
		return 0, err
	}
	p, err := rt.Exec(encoded, driver.Place{Cgroup: cgroup}, driver.Streams{In: ends.Stdin, Out: ends.Stdout, Err: ends.Stderr, Terminal: o.Terminal})
	relay.closeChild()
	if err != nil {
		relay.abandon()
		var refused *driver.Error
		if errors.As(err, &refused) {
			failed := &StartError{err.Error(), refused.ExitCode()}
			failed.name(o.Args)
			return 0, failed
		}
		return 0, err
	}
	if o.Detach {
		return 0, e.leave(c, p.Console)
	}
	code, err := waitForeign(p, relay)
	if errors.Is(err, ErrDetached) {
		return 0, cmp.Or(e.leave(c, p.Console), err)
	}
	return code, err
}

// waitForeign waits for the command, a child of this process.
func waitForeign(p driver.Process, relay *execStreams) (int, error) {
	fd, err := unix.PidfdOpen(p.PID, 0)
	if err != nil {
		return 0, fmt.Errorf("watching the command, process %d: %w", p.PID, err)
	}
	pidfd := os.NewFile(uintptr(fd), "pidfd")
	defer pidfd.Close()
	defer forward(pidfd)()
	return relay.wait(p.Console, func() (syscall.WaitStatus, error) {
		var ws syscall.WaitStatus
		for {
			_, err := syscall.Wait4(p.PID, &ws, 0, nil)
			switch err {
			case nil:
				return ws, nil
			case syscall.EINTR:
			default:
				return 0, fmt.Errorf("waiting for the command, process %d: %w", p.PID, err)
			}
		}
	})
}
