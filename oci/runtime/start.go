package runtime

import (
	"errors"
	"fmt"
	"os"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// Start lets a created container's command run.
func (r *Runtime) Start(id string) error {
	rec, err := r.Load(id)
	if err != nil {
		return err
	}
	if st := r.Status(rec); st != specs.StateCreated {
		return fmt.Errorf("start container %q: it is %s, not created", id, st)
	}
	if rec.Config.Process == nil {
		return errors.New("config.json: process is missing")
	}
	pidfd, err := rec.open()
	if err != nil {
		return err
	}
	defer pidfd.Close()
	fd, err := unix.Open(r.fifo(id), unix.O_RDONLY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("open the start fifo: %w", err)
	}
	defer unix.Close(fd)
	// Whichever comes first: the init's byte, or its end.
	fds := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}, {Fd: int32(pidfd.Fd()), Events: unix.POLLIN}}
	for {
		if _, err := unix.Poll(fds, -1); err != nil && err != unix.EINTR {
			return fmt.Errorf("wait for the container's init: %w", err)
		}
		if fds[0].Revents&unix.POLLIN != 0 {
			break
		}
		if fds[1].Revents != 0 {
			return fmt.Errorf("start container %q: its init has ended", id)
		}
	}
	if err := os.Remove(r.fifo(id)); err != nil {
		return fmt.Errorf("remove the start fifo: %w", err)
	}
	r.poststart(rec)
	return nil
}
