package volume

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

// lockTime is how long an operation waits for another on the same volume: it may be filling it.
const lockTime = 10 * time.Minute

// ErrBusy says that another process holds the lock.
var ErrBusy = errors.New("another command holds the volume")

// lockStore takes the lock under which volumes appear and go. It is the directory's own: no file, nothing to clean up.
func (s *Store) lockStore(ctx context.Context) (func(), error) {
	if err := os.MkdirAll(s.dir, 0o700); err != nil {
		return nil, fmt.Errorf("making the directory of volumes: %w", err)
	}
	f, err := lockDir(ctx, s.dir, unix.LOCK_EX)
	if err != nil {
		return nil, fmt.Errorf("locking the volumes: %w", err)
	}
	return func() { f.Close() }, nil
}

// lock takes v's own lock; ErrNotFound when v has been removed meanwhile.
func (s *Store) lock(ctx context.Context, v *Volume, how int) (*os.File, error) {
	f, err := lockDir(ctx, v.dir, how)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return nil, fmt.Errorf("%w: %q", ErrNotFound, v.Name)
	case err != nil:
		return nil, fmt.Errorf("locking volume %q: %w", v.Name, err)
	}
	// A volume that is being removed has another name; the directory held may be that one.
	var held, now unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &held); err == nil {
		err = unix.Lstat(v.dir, &now)
		if err == nil && held.Dev == now.Dev && held.Ino == now.Ino {
			return f, nil
		}
	}
	f.Close()
	return nil, fmt.Errorf("%w: %q", ErrNotFound, v.Name)
}

// lockDir takes a flock on a directory, waiting unless how has LOCK_NB.
func lockDir(ctx context.Context, dir string, how int) (*os.File, error) {
	f, err := os.OpenFile(dir, os.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW, 0)
	if err != nil {
		return nil, err
	}
	for deadline := time.Now().Add(lockTime); ; {
		err := unix.Flock(int(f.Fd()), how|unix.LOCK_NB)
		switch {
		case err == nil:
			return f, nil
		case err == unix.EINTR:
			continue
		case err != unix.EWOULDBLOCK:
			f.Close()
			return nil, err
		case how&unix.LOCK_NB != 0:
			f.Close()
			return nil, ErrBusy
		case time.Now().After(deadline):
			f.Close()
			return nil, fmt.Errorf("%w for %v; `fuser %s` names it", ErrBusy, lockTime, filepath.Clean(dir))
		}
		select {
		case <-ctx.Done():
			f.Close()
			return nil, ctx.Err()
		case <-time.After(5 * time.Millisecond):
		}
	}
}
