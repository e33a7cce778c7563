package network

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// lockTime is how long a command waits for another: Podman holds the lock while netavark works.
const lockTime = time.Minute

// rootLock is where Podman has root's lock since version 4.5; until then it was in the directory, as another user's is.
const rootLock = "/run/lock/netavark.lock"

// Hold keeps networks from being made, changed and removed until release is called: between the look at a network and
// the record of a container that is on it. Readers do not hinder each other.
func (s *Store) Hold(ctx context.Context) (release func(), err error) {
	if err := os.MkdirAll(s.dir, 0o755); err != nil {
		return nil, fmt.Errorf("making the directory of networks: %w", err)
	}
	return s.lock(ctx, unix.F_RDLCK)
}

// lockAll is for who changes networks. What killed commands left half written is removed.
func (s *Store) lockAll(ctx context.Context) (func(), error) {
	if err := os.MkdirAll(s.dir, 0o755); err != nil {
		return nil, fmt.Errorf("making the directory of networks: %w", err)
	}
	unlock, err := s.lock(ctx, unix.F_WRLCK)
	if err != nil {
		return nil, err
	}
	entries, err := os.ReadDir(s.dir)
	if err != nil {
		unlock()
		return nil, fmt.Errorf("listing networks: %w", err)
	}
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), tempPrefix) {
			os.Remove(filepath.Join(s.dir, e.Name())) // the next command tries again
		}
	}
	return unlock, nil
}

// lock takes Podman's locks, which are of fcntl(2), in a fixed order. Those of the open file description exclude Podman's,
// and, unlike Podman's own, do not end with another descriptor of the same process.
func (s *Store) lock(ctx context.Context, how int16) (func(), error) {
	files := []string{filepath.Join(s.dir, "netavark.lock")}
	if s.rootful {
		if err := os.MkdirAll(filepath.Dir(rootLock), 0o755); err == nil { // else there is nobody to exclude
			files = append([]string{rootLock}, files...)
		}
	}
	var held []*os.File
	unlock := func() {
		for _, f := range held {
			f.Close()
		}
	}
	for _, path := range files {
		f, err := lockFile(ctx, path, how)
		if err != nil {
			unlock()
			return nil, fmt.Errorf("locking the networks: %w", err)
		}
		held = append(held, f)
	}
	return unlock, nil
}

func lockFile(ctx context.Context, path string, how int16) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|unix.O_NOFOLLOW, 0o644)
	if err != nil {
		return nil, err
	}
	for deadline := time.Now().Add(lockTime); ; {
		err := unix.FcntlFlock(f.Fd(), unix.F_OFD_SETLK, &unix.Flock_t{Type: how})
		switch {
		case err == nil:
			return f, nil
		case err == unix.EINTR:
			continue
		case err != unix.EAGAIN && err != unix.EACCES:
			f.Close()
			return nil, &fs.PathError{Op: "lock", Path: path, Err: err}
		case time.Now().After(deadline):
			f.Close()
			return nil, fmt.Errorf("another command has held them for %v; `fuser %s` names it", lockTime, path)
		}
		select {
		case <-ctx.Done():
			f.Close()
			return nil, ctx.Err()
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// write puts b into a network's file, whole or not at all. The caller holds the lock.
func (s *Store) write(name string, b []byte) error {
	f, err := os.CreateTemp(s.dir, tempPrefix)
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	_, err = f.Write(b)
	if err == nil {
		err = f.Chmod(0o644) // as Podman's
	}
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	if err := os.Rename(f.Name(), s.file(name)); err != nil {
		return err
	}
	return syncDir(s.dir)
}

func syncDir(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}
