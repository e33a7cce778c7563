package libpod

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/proa-containers/proa/oci/monitor"
	"github.com/proa-containers/proa/oci/plan"
	"github.com/proa-containers/proa/oci/runtime"
	"golang.org/x/sys/unix"
)

// Init makes a container's namespaces, cgroup and root and holds its command back until Start. One that is initialized
// or runs is a *WrongStateError.
func (e *Engine) Init(ctx context.Context, c *Container) error {
	if c.Runtime != "" {
		return fmt.Errorf("container %q can't be initialized: that needs the bundled runtime, and it has --runtime %s; start it", c.Name, c.Runtime)
	}
	unlock, err := e.lockWhole(c)
	if err != nil {
		return err
	}
	defer unlock()
	if e.Status(c).State == Initialized {
		return &WrongStateError{c.Name, Initialized, "can't be initialized again"}
	}
	_, err = e.startLocked(ctx, c, StartOptions{Hold: true})
	return err
}

// holds tells whether the command of a container that was initialized is held back still.
func (e *Engine) holds(id string) bool {
	_, err := os.Lstat(filepath.Join(e.runDir(id), monitor.StartFile))
	return err == nil
}

// releaseTime, in milliseconds, is for an init that waits to answer.
const releaseTime = 10000

// release lets the command of an initialized container run. The caller holds the container's lock.
func (e *Engine) release(c *Container, o StartOptions) (conn *monitor.Conn, err error) {
	if o.Attach {
		if conn, err = e.Attach(c); err != nil {
			return nil, err
		}
	}
	if err := e.readFifo(c); err != nil {
		if conn != nil {
			conn.Close()
		}
		return nil, err
	}
	return conn, nil
}

func (e *Engine) readFifo(c *Container) error {
	path := filepath.Join(e.runDir(c.ID), monitor.InitFile)
	var init monitor.Init
	if err := readJSON(path, &init); err != nil {
		return fmt.Errorf("starting container %q: %w", c.Name, err)
	}
	pidfd, err := unix.PidfdOpen(init.PID, 0)
	if err != nil || !alive(init) {
		return fmt.Errorf("starting container %q: its init has ended", c.Name)
	}
	defer unix.Close(pidfd)
	e.say(c, "start") // before what the monitor says of a command that ends at once
	fifo := filepath.Join(e.runDir(c.ID), monitor.StartFile)
	fd, err := unix.Open(fifo, unix.O_RDONLY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("starting container %q: opening its start fifo: %w", c.Name, err)
	}
	defer unix.Close(fd)
	init.Held, init.StartedAt = false, time.Now()
	// A command that was killed after it had opened the fifo let the init go: it is silent then.
	err = runtime.AwaitFifo(c.Name, fd, pidfd, releaseTime)
	if err != nil && !errors.Is(err, runtime.ErrSilent) {
		var cause *plan.Error
		if errors.As(err, &cause) {
			return &StartError{cause.Error(), cause.ExitCode()}
		}
		return fmt.Errorf("starting container %q: %w", c.Name, err)
	}
	b, err := json.Marshal(init)
	if err == nil {
		err = os.WriteFile(path+".new", b, 0o600)
	}
	if err == nil {
		err = os.Rename(path+".new", path)
	}
	if err != nil {
		return fmt.Errorf("recording the start of container %q: %w", c.Name, err)
	}
	return os.Remove(fifo)
}
