package runtime

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/proa-containers/proa/oci/plan"
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
	if err := AwaitFifo(id, fd, int(pidfd.Fd()), -1); err != nil {
		return err
	}
	if err := os.Remove(r.fifo(id)); err != nil {
		return fmt.Errorf("remove the start fifo: %w", err)
	}
	r.poststart(rec)
	return nil
}

// ErrSilent says that an init did not write to its fifo: it has been let go before.
var ErrSilent = errors.New("the init says nothing")

// AwaitFifo reads what package plan describes: it returns when the command is executed. An init that waits answers at
// once; patience, in milliseconds, is until ErrSilent, -1 for ever.
func AwaitFifo(id string, fifo, pidfd, patience int) error {
	var said []byte
	b := make([]byte, 4096)
	fds := []unix.PollFd{{Fd: int32(fifo), Events: unix.POLLIN}, {Fd: int32(pidfd), Events: unix.POLLIN}}
	for {
		ready, err := unix.Poll(fds, patience)
		if err != nil && err != unix.EINTR {
			return fmt.Errorf("wait for the container's init: %w", err)
		}
		if ready == 0 && err == nil && len(said) == 0 {
			return ErrSilent
		}
		n, err := unix.Read(fifo, b)
		switch {
		case n > 0:
			said = append(said, b[:n]...)
		case n == 0 && len(said) > 0: // nobody has it open for writing any more
			return startError(said)
		case err != nil && err != unix.EAGAIN && err != unix.EINTR:
			return fmt.Errorf("read the start fifo: %w", err)
		case fds[1].Revents != 0:
			return fmt.Errorf("start container %q: its init has ended", id)
		}
	}
}

func startError(said []byte) error {
	if len(said) == 1 && said[0] == plan.FifoOpen {
		return nil
	}
	e := new(plan.Error)
	if err := json.Unmarshal(said[1:], e); err != nil {
		return fmt.Errorf("decode the error of the container's init: %w", err)
	}
	return e
}
