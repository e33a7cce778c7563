package rootless

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// ErrNoSubIDs says that the user has no subordinate ids: the namespace maps one uid and one gid.
var ErrNoSubIDs = errors.New("no subordinate ids")

// ErrNoMapper says that newuidmap or newgidmap is not installed.
var ErrNoMapper = errors.New("newuidmap and newgidmap are not installed")

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

// mapIDs maps the user to 0 and its subordinate ids from 1 up (user_namespaces(7)).
func mapIDs(pid int, warn func(error)) error {
	uid, gid := os.Getuid(), os.Getgid()
	uids, err := subIDs("/etc/subuid", uid, false)
	if err != nil {
		return err
	}
	gids, err := subIDs("/etc/subgid", uid, true)
	if err != nil {
		return err
	}
	if len(uids) == 0 || len(gids) == 0 {
		if warn != nil {
			warn(ErrNoSubIDs)
		}
		return mapOne(pid, uid, gid)
	}
	if err := runMapper("newuidmap", pid, uid, uids); err != nil {
		return err
	}
	return runMapper("newgidmap", pid, gid, gids)
}

func mapOne(pid, uid, gid int) error {
	for _, m := range []struct{ file, text string }{
		{"uid_map", fmt.Sprintf("0 %d 1\n", uid)},
		{"setgroups", "deny"},
		{"gid_map", fmt.Sprintf("0 %d 1\n", gid)},
	} {
		path := fmt.Sprintf("/proc/%d/%s", pid, m.file)
		if err := os.WriteFile(path, []byte(m.text), 0); err != nil {
			return fmt.Errorf("%w: writing %s: %w", ErrUserNS, m.file, err)
		}
	}
	return nil
}

type idRange struct{ start, size int }

func runMapper(name string, pid, self int, ranges []idRange) error {
	path, err := exec.LookPath(name)
	if err != nil {
		return ErrNoMapper
	}
	args := []string{strconv.Itoa(pid), "0", strconv.Itoa(self), "1"}
	next := 1
	for _, r := range ranges {
		args = append(args, strconv.Itoa(next), strconv.Itoa(r.start), strconv.Itoa(r.size))
		next += r.size
	}
	out, err := exec.Command(path, args...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("mapping ids with %s: %s (%w)", name, strings.TrimSpace(string(out)), err)
	}
	return nil
}

// subIDs reads the subordinate ranges of uid from file (subuid(5)), or from getsubids where NSS holds them.
func subIDs(file string, uid int, group bool) ([]idRange, error) {
	name := strconv.Itoa(uid)
	if u, err := user.LookupId(name); err == nil {
		name = u.Username
	}
	f, err := os.Open(file)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("reading subordinate ids: %w", err)
	}
	var ranges []idRange
	if err == nil {
		defer f.Close()
		sc := bufio.NewScanner(f)
		for sc.Scan() {
			p := strings.Split(strings.TrimSpace(sc.Text()), ":")
			if len(p) == 3 && (p[0] == name || p[0] == strconv.Itoa(uid)) {
				ranges = appendRange(ranges, p[1], p[2])
			}
		}
		if err := sc.Err(); err != nil {
			return nil, fmt.Errorf("reading subordinate ids from %s: %w", file, err)
		}
	}
	if len(ranges) > 0 {
		return ranges, nil
	}
	return nssSubIDs(name, group), nil
}

func nssSubIDs(name string, group bool) (ranges []idRange) {
	args := []string{name}
	if group {
		args = []string{"-g", name}
	}
	path, err := exec.LookPath("getsubids")
	if err != nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	out, err := exec.CommandContext(ctx, path, args...).Output()
	if err != nil {
		return nil
	}
	for _, line := range strings.Split(string(out), "\n") { // "0: NAME START COUNT"
		if p := strings.Fields(line); len(p) == 4 {
			ranges = appendRange(ranges, p[2], p[3])
		}
	}
	return ranges
}

func appendRange(ranges []idRange, start, size string) []idRange {
	s, err1 := strconv.Atoi(start)
	n, err2 := strconv.Atoi(size)
	const ids = 1<<32 - 1 // the last number stands for no id
	if err1 != nil || err2 != nil || s <= 0 || n <= 0 || s > ids || n > ids-s {
		return ranges
	}
	return append(ranges, idRange{s, n})
}

// SubIDs counts the subordinate uids and gids of the user uid, numbered as outside proa's user namespace.
func SubIDs(uid int) (uids, gids int, err error) {
	u, err := subIDs("/etc/subuid", uid, false)
	if err != nil {
		return 0, 0, err
	}
	g, err := subIDs("/etc/subgid", uid, true)
	if err != nil {
		return 0, 0, err
	}
	for _, r := range u {
		uids += r.size
	}
	for _, r := range g {
		gids += r.size
	}
	return uids, gids, nil
}
