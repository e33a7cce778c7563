package libpod

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/proa-containers/proa/libpod/state"
	"golang.org/x/sys/unix"
)

// lockTime is how long a command waits for another that works on the same container.
const lockTime = 60 * time.Second

// The lock file also says, on tmpfs and so at no cost, what a killed command leaves. Each note is one line, appended:
//
//	unfinished   the container is being made or removed: its record stands for less than a container
//	volumes      while it is unfinished: what removes the rest removes its anonymous volumes too
//	finished     it is whole
//	cgroup DIR   DIR is, or is about to be made, its cgroup
const (
	unfinished = "unfinished"
	andVolumes = "volumes"
	finished   = "finished"
	inCgroup   = "cgroup "
)

func (e *Engine) lockPath(id string) string { return filepath.Join(e.paths.RunDir, "locks", id) }

func (e *Engine) openLock(id string) (*os.File, error) {
	if err := os.MkdirAll(filepath.Dir(e.lockPath(id)), 0o700); err != nil {
		return nil, fmt.Errorf("locking container %.12s: %w", id, err)
	}
	f, err := os.OpenFile(e.lockPath(id), os.O_CREATE|os.O_RDWR|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return nil, fmt.Errorf("locking container %.12s: %w", id, err)
	}
	return f, nil
}

// tryLock takes the container's lock; a nil unlock says that another command holds it.
func (e *Engine) tryLock(id string) (unlock func(), err error) {
	f, err := e.openLock(id)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		f.Close()
		if errors.Is(err, unix.EWOULDBLOCK) {
			return nil, nil
		}
		return nil, fmt.Errorf("locking container %.12s: %w", id, err)
	}
	// Who removes a container removes its lock file: a file without a name is no lock any more.
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err == nil && st.Nlink == 0 {
		f.Close()
		return nil, nil
	}
	return func() { f.Close() }, nil
}

// keep has a container that goes when it ends stay until release, or until this process is gone. It is a lock of another
// kind on the lock file (F_OFD_SETLK, fcntl_locking(2)), which several commands may have.
func (e *Engine) keep(id string) (release func(), err error) {
	f, err := e.openLock(id)
	if err != nil {
		return nil, err
	}
	if err := unix.FcntlFlock(f.Fd(), unix.F_OFD_SETLKW, &unix.Flock_t{Type: unix.F_RDLCK}); err != nil {
		f.Close()
		return nil, fmt.Errorf("locking container %.12s: %w", id, err)
	}
	return func() { f.Close() }, nil
}

// kept tells whether a command keeps the container.
func (e *Engine) kept(id string) bool {
	f, err := os.Open(e.lockPath(id))
	if err != nil {
		return false
	}
	defer f.Close()
	l := unix.Flock_t{Type: unix.F_WRLCK}
	return unix.FcntlFlock(f.Fd(), unix.F_OFD_GETLK, &l) == nil && l.Type != unix.F_UNLCK
}

// dropLock gives back the lock of a container that is not made after all.
func (e *Engine) dropLock(c *Container) {
	if c.unlock != nil {
		os.Remove(e.lockPath(c.ID))
		c.unlock()
		c.unlock = nil
	}
}

// note adds a line to the container's lock file.
func (e *Engine) note(id, line string) error {
	f, err := os.OpenFile(e.lockPath(id), os.O_WRONLY|os.O_APPEND|unix.O_NOFOLLOW, 0)
	if err == nil {
		_, err = f.WriteString(line + "\n")
		err = errors.Join(err, f.Close())
	}
	if err != nil {
		return fmt.Errorf("noting how far container %.12s is: %w", id, err)
	}
	return nil
}

// noted reads the lock file: whether the container is whole, and the cgroups that may have been made for it.
func (e *Engine) noted(id string) (whole bool, cgroups []string) {
	whole = true
	b, err := os.ReadFile(e.lockPath(id))
	if err != nil {
		return whole, nil
	}
	for line := range strings.Lines(string(b)) {
		line = strings.TrimSuffix(line, "\n")
		dir, isCgroup := strings.CutPrefix(line, inCgroup)
		switch {
		case isCgroup:
			cgroups = append(cgroups, dir)
		case line == unfinished, line == finished:
			whole = line == finished
		}
	}
	return whole, cgroups
}

// notedVolumes tells whether the anonymous volumes of an unfinished container go with it.
func (e *Engine) notedVolumes(id string) bool {
	b, err := os.ReadFile(e.lockPath(id))
	text := string(b)
	return err == nil && strings.LastIndex(text, andVolumes+"\n") > strings.LastIndex(text, finished+"\n")
}

// sweepUnknown removes what commands left that were killed before they had written a record, or after they had
// removed it: lock files, the cgroups named there, and run directories that have lost their name.
func (e *Engine) sweepUnknown(records []state.Record) error {
	known := map[string]bool{}
	for _, r := range records {
		known[r.ID] = true
	}
	var errs []error
	locks, _ := os.ReadDir(filepath.Join(e.paths.RunDir, "locks"))
	for _, f := range locks {
		if !known[f.Name()] {
			errs = append(errs, e.ifUnknown(f.Name(), func() error { return e.dropCgroups(f.Name()) }))
		}
	}
	runs, _ := os.ReadDir(filepath.Join(e.paths.RunDir, "containers"))
	for _, d := range runs {
		if id, ok := strings.CutPrefix(d.Name(), goneMark); ok {
			errs = append(errs, e.ifUnlocked(id, func() error { return os.RemoveAll(e.runDir(d.Name())) }))
		}
	}
	return errors.Join(errs...)
}

// ifUnlocked runs fn with the lock of id, unless a command has it.
func (e *Engine) ifUnlocked(id string, fn func() error) error {
	unlock, err := e.tryLock(id)
	if err != nil || unlock == nil {
		return err
	}
	defer unlock()
	err = fn()
	if _, lookup := e.state.Find(id); errors.Is(lookup, state.ErrNotFound) {
		os.Remove(e.lockPath(id))
	}
	return err
}

// ifUnknown runs fn if no command has the lock of id and there is no record of it.
func (e *Engine) ifUnknown(id string, fn func() error) error {
	return e.ifUnlocked(id, func() error {
		if _, err := e.state.Find(id); !errors.Is(err, state.ErrNotFound) {
			return nil
		}
		return fn()
	})
}

// lock takes the container's lock, waiting for the command that holds it.
func (e *Engine) lock(id string) (unlock func(), err error) {
	return e.lockUnless(context.Background(), id)
}

// lockUnless is lock for who may lose patience before.
func (e *Engine) lockUnless(ctx context.Context, id string) (unlock func(), err error) {
	for deadline := time.Now().Add(lockTime); ; time.Sleep(5 * time.Millisecond) {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		unlock, err := e.tryLock(id)
		if err != nil || unlock != nil {
			return unlock, err
		}
		if time.Now().After(deadline) {
			return nil, fmt.Errorf("container %.12s has been held by another command for %v; `fuser %s` names it", id, lockTime, e.lockPath(id))
		}
	}
}
