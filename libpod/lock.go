package libpod

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/proa-containers/proa/libpod/state"
	"golang.org/x/sys/unix"
)

// lockTime is how long a command waits for another that works on the same container.
const lockTime = 60 * time.Second

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

// sweepLocks removes the lock files of commands that were killed before they had written a record.
func (e *Engine) sweepLocks(records []state.Record) {
	files, err := os.ReadDir(filepath.Join(e.paths.RunDir, "locks"))
	if err != nil {
		return
	}
	known := map[string]bool{}
	for _, r := range records {
		known[r.ID] = true
	}
	for _, f := range files {
		if known[f.Name()] {
			continue
		}
		unlock, err := e.tryLock(f.Name())
		if err != nil || unlock == nil {
			continue // a command is about to write its record
		}
		if _, err := e.state.Find(f.Name()); errors.Is(err, state.ErrNotFound) {
			os.Remove(e.lockPath(f.Name()))
		}
		unlock()
	}
}

// lock takes the container's lock, waiting for the command that holds it.
func (e *Engine) lock(id string) (unlock func(), err error) {
	for deadline := time.Now().Add(lockTime); ; time.Sleep(5 * time.Millisecond) {
		unlock, err := e.tryLock(id)
		if err != nil || unlock != nil {
			return unlock, err
		}
		if time.Now().After(deadline) {
			return nil, fmt.Errorf("container %.12s has been held by another command for %v; `fuser %s` names it", id, lockTime, e.lockPath(id))
		}
	}
}
