package state

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	bolt "go.etcd.io/bbolt"
	"golang.org/x/sys/unix"
)

// lockTime is how long another proa may hold a file: each holds it for one transaction.
const lockTime = 20 * time.Second

// lock takes a flock beside the file: bbolt's own is polled every 50 ms.
func lock(path string, how int) (func(), error) {
	f, err := os.OpenFile(path+".lock", os.O_CREATE|os.O_RDWR|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return nil, fmt.Errorf("locking the state: %w", err)
	}
	if err = unix.Flock(int(f.Fd()), how|unix.LOCK_NB); err == unix.EWOULDBLOCK {
		got := make(chan error, 1)
		go func() { got <- unix.Flock(int(f.Fd()), how) }()
		select {
		case err = <-got:
		case <-time.After(lockTime):
			return nil, fmt.Errorf("locking the state: another proa has held %s.lock for %v; `fuser %s.lock` names it", path, lockTime, path)
		}
	}
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("locking %s.lock: %w", path, err)
	}
	return func() { f.Close() }, nil
}

func (s *Store) path(volatile bool) string {
	if volatile {
		return s.volatile
	}
	return s.durable
}

func (s *Store) view(volatile bool, fn func(*bolt.Tx) error) error {
	err := s.viewOnce(volatile, fn)
	if errors.Is(err, errOlder) {
		if err := s.update(volatile, func(*bolt.Tx) error { return nil }); err != nil {
			return err
		}
		return s.viewOnce(volatile, fn)
	}
	return err
}

func (s *Store) viewOnce(volatile bool, fn func(*bolt.Tx) error) error {
	path := s.path(volatile)
	if empty(path) {
		return nil
	}
	unlock, err := lock(path, unix.LOCK_SH)
	if err != nil {
		return err
	}
	defer unlock()
	return guarded(path, func(open openFunc) error {
		db, err := bolt.Open(path, 0o600, &bolt.Options{ReadOnly: true, Timeout: lockTime, OpenFile: open})
		if err != nil {
			return fmt.Errorf("opening %s: %w", path, err)
		}
		defer db.Close()
		return db.View(func(tx *bolt.Tx) error {
			v, err := schemaVersion(tx)
			switch {
			case err != nil:
				return fmt.Errorf("reading %s: %w", path, err)
			case v == 0:
				return nil // made and not yet written: the first writer was killed
			case v < len(s.migrations):
				return errOlder
			case v > len(s.migrations):
				return newer(path, v, len(s.migrations))
			}
			return fn(tx)
		})
	})
}

func (s *Store) update(volatile bool, fn func(*bolt.Tx) error) error {
	path := s.path(volatile)
	unlock, err := lock(path, unix.LOCK_EX)
	if err != nil {
		return err
	}
	defer unlock()
	o := bolt.Options{Timeout: lockTime, NoSync: volatile, FreelistType: bolt.FreelistMapType}
	if empty(path) {
		if err := s.makeFile(path, o); err != nil {
			return err
		}
	}
	return guarded(path, func(open openFunc) error {
		o.OpenFile = open
		db, err := bolt.Open(path, 0o600, &o)
		if err != nil {
			return fmt.Errorf("opening %s: %w", path, err)
		}
		defer db.Close()
		return db.Update(func(tx *bolt.Tx) error {
			if err := s.migrate(path, tx); err != nil {
				return err
			}
			return fn(tx)
		})
	})
}

// empty tells whether nothing was ever stored at path.
func empty(path string) bool {
	st, err := os.Stat(path)
	return errors.Is(err, os.ErrNotExist) || err == nil && st.Size() == 0
}

// makeFile makes an empty file of state under another name first: a kill or a power cut leaves all of it or nothing.
// The caller holds the lock.
func (s *Store) makeFile(path string, o bolt.Options) error {
	fresh := path + ".new"
	if err := os.Remove(fresh); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("making %s: %w", path, err)
	}
	db, err := bolt.Open(fresh, 0o600, &o)
	if err != nil {
		return fmt.Errorf("making %s: %w", path, err)
	}
	err = db.Update(func(tx *bolt.Tx) error { return s.migrate(fresh, tx) })
	if err = errors.Join(err, db.Close()); err == nil {
		err = os.Rename(fresh, path)
	}
	if err != nil {
		return fmt.Errorf("making %s: %w", path, err)
	}
	if o.NoSync {
		return nil
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return fmt.Errorf("making %s: %w", path, err)
	}
	defer dir.Close()
	return dir.Sync()
}
