package runtime

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// ParseSignal takes a number or a name with or without SIG.
func ParseSignal(s string) (unix.Signal, error) {
	if n, err := strconv.Atoi(s); err == nil {
		if n <= 0 || n > 64 {
			return 0, fmt.Errorf("unknown signal %q", s)
		}
		return unix.Signal(n), nil
	}
	name := strings.ToUpper(s)
	if !strings.HasPrefix(name, "SIG") {
		name = "SIG" + name
	}
	if rt, ok := strings.CutPrefix(name, "SIGRTMIN+"); ok {
		if n, err := strconv.Atoi(rt); err == nil && n >= 0 && n <= 30 {
			return unix.Signal(34 + n), nil
		}
	}
	if sig := unix.SignalNum(name); sig != 0 {
		return sig, nil
	}
	return 0, fmt.Errorf("unknown signal %q", s)
}

// Kill sends a signal to the container's process, or to all of its processes.
func (r *Runtime) Kill(id string, sig unix.Signal, all bool) error {
	rec, err := r.Load(id)
	if err != nil {
		return err
	}
	if st := r.Status(rec); st == specs.StateStopped && !all {
		return fmt.Errorf("kill container %q: it is not running", id)
	}
	if all {
		return r.killAll(rec, sig)
	}
	pidfd, err := rec.open()
	if err != nil {
		return err
	}
	defer pidfd.Close()
	if err := unix.PidfdSendSignal(int(pidfd.Fd()), sig, nil, 0); err != nil {
		return fmt.Errorf("kill container %q: %w", id, err)
	}
	return nil
}

func (r *Runtime) killAll(rec *Record, sig unix.Signal) error {
	pids, err := r.pids(rec)
	if err != nil {
		return err
	}
	for _, pid := range pids {
		if err := unix.Kill(pid, sig); err != nil && !errors.Is(err, unix.ESRCH) {
			return fmt.Errorf("kill process %d of container %q: %w", pid, rec.ID, err)
		}
	}
	return nil
}
