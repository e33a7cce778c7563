package rootless

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"
)

// ErrUserNS says that the kernel refused a user namespace.
var ErrUserNS = errors.New("the kernel refused a user namespace")

// Options of Enter.
type Options struct {
	RunDir string                   // holds pause.lock; 0700, of the invoking user
	Init   func() (*os.File, error) // the sealed proa-init
	Warn   func(error)              // called with ErrNoSubIDs when one id is all there is
}

// Enter makes sure that this process is root over its containers: at once when it joined before Go started or is
// privileged; else it starts the pause process, or finds the namespace of a container that outlived it, and executes
// this program again, which then joins. It returns only when nothing is left to do or on an error.
func Enter(o Options) error {
	if Inside() {
		return ensurePause(o)
	}
	if privileged() {
		return nil
	}
	if os.Getenv("_PROA_ENTERED") != "" {
		return fmt.Errorf("joining the user namespace: the pause process is not there after it was started; try again")
	}
	unlock, err := lockFile(filepath.Join(o.RunDir, "enter.lock"))
	if err != nil {
		return err
	}
	if pid := Holder(pauseLock(o.RunDir)); pid == 0 {
		if pid := survivor(o.RunDir); pid != 0 {
			os.Setenv("_PROA_JOIN_PID", strconv.Itoa(pid))
		} else if err := startPause(o); err != nil {
			unlock()
			return err
		}
	}
	unlock()
	os.Setenv("_PROA_ENTERED", "1")
	return fmt.Errorf("executing proa again: %w", syscall.Exec("/proc/self/exe", os.Args, os.Environ()))
}

func pauseLock(runDir string) string { return filepath.Join(runDir, "pause.lock") }

// ensurePause starts a pause process inside a namespace that was entered through a survivor.
func ensurePause(o Options) error {
	if os.Getenv("_PROA_ENTERED") == "" {
		return nil
	}
	os.Unsetenv("_PROA_ENTERED")
	if Holder(pauseLock(o.RunDir)) != 0 {
		return nil
	}
	cmd, ready, err := pauseCommand(o)
	if err != nil {
		return err
	}
	defer ready.Close()
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("starting the pause process: %w", err)
	}
	return awaitPause(cmd, ready)
}

// Holder is the process that holds the POSIX lock on the file at path, 0 when there is none or the file is missing.
func Holder(path string) int {
	f, err := os.OpenFile(path, os.O_RDWR|unix.O_NOFOLLOW, 0)
	if err != nil {
		return 0
	}
	defer f.Close()
	l := unix.Flock_t{Type: unix.F_WRLCK}
	if unix.FcntlFlock(f.Fd(), unix.F_GETLK, &l) != nil || l.Type == unix.F_UNLCK || l.Pid <= 0 {
		return 0
	}
	return int(l.Pid)
}

// survivor is a live monitor of this user's, whose namespaces are the ones the dead pause process kept.
func survivor(runDir string) int {
	locks, _ := filepath.Glob(filepath.Join(runDir, "containers", "*", "monitor.lock"))
	for _, l := range locks {
		if pid := Holder(l); pid != 0 {
			return pid
		}
	}
	return 0
}

func lockFile(path string) (func(), error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return nil, fmt.Errorf("locking the run directory: %w", err)
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX); err != nil {
		f.Close()
		return nil, fmt.Errorf("locking %s: %w", path, err)
	}
	return func() { f.Close() }, nil
}

// pauseCommand is `proa-init pause LOCK`: fd 3 is the program, fd 4 a pipe on which it says that it holds the lock,
// or reads that its ids are mapped (one byte each way: the child waits for ours first).
func pauseCommand(o Options) (*exec.Cmd, *os.File, error) {
	init, err := o.Init()
	if err != nil {
		return nil, nil, err
	}
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, fmt.Errorf("making a socket pair: %w", err)
	}
	ours, theirs := os.NewFile(uintptr(fds[0]), "pause"), os.NewFile(uintptr(fds[1]), "pause")
	cmd := exec.Command("/proc/self/fd/3", "pause", pauseLock(o.RunDir))
	cmd.Args[0] = "proa-pause"
	cmd.ExtraFiles = []*os.File{init, theirs}
	cmd.Dir = "/"
	cmd.Env = []string{}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	return cmd, ours, nil
}

func startPause(o Options) error {
	cmd, ready, err := pauseCommand(o)
	if err != nil {
		return err
	}
	defer ready.Close()
	cmd.SysProcAttr.Cloneflags = unix.CLONE_NEWUSER | unix.CLONE_NEWNS
	if err := cmd.Start(); err != nil {
		var path *os.PathError
		if errors.As(err, &path) { // its path is ours
			err = path.Err
		}
		return fmt.Errorf("%w: %w", ErrUserNS, err)
	}
	if err := mapIDs(cmd.Process.Pid, o.Warn); err != nil {
		cmd.Process.Kill()
		cmd.Wait()
		return err
	}
	return awaitPause(cmd, ready)
}

func awaitPause(cmd *exec.Cmd, ready *os.File) error {
	for _, f := range cmd.ExtraFiles {
		f.Close()
	}
	fail := func(err error) error {
		cmd.Process.Kill()
		cmd.Wait()
		return fmt.Errorf("starting the pause process: %w", err)
	}
	if _, err := ready.Write([]byte{1}); err != nil {
		return fail(err)
	}
	b := make([]byte, 1)
	if _, err := io.ReadFull(ready, b); err != nil {
		return fail(err)
	}
	return cmd.Process.Release()
}
