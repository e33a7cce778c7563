// Package state owns the records of containers: state.db in the data directory holds what survives a reboot and is
// synced; run.db in the run directory, on tmpfs, holds the containers that are removed when they end and is not. It
// stores opaque records by id and keeps names unique over both; what a record means is libpod's. It runs in proa, as
// uid 0 of proa's user namespace. No transaction runs a program, waits or touches the network.
package state

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	bolt "go.etcd.io/bbolt"
	"golang.org/x/sys/unix"
)

// ErrNotFound says that no record has the id or name.
var ErrNotFound = errors.New("no such container")

// ErrAmbiguous says that an id prefix fits several records.
var ErrAmbiguous = errors.New("several containers have an id that starts so")

// NameInUseError says whose a name is.
type NameInUseError struct{ Name, ID string }

func (e *NameInUseError) Error() string {
	return fmt.Sprintf("the container name %q is already in use by container %.12s; remove or rename that container, or choose another name", e.Name, e.ID)
}

// version is the schema's; Open refuses a newer one and migrates an older one in order.
const version = 1

// The layout of both files:
//
//	meta        version -> "1"
//	containers  id      -> record
//	names       name    -> id
var (
	metaBucket       = []byte("meta")
	containersBucket = []byte("containers")
	namesBucket      = []byte("names")
	versionKey       = []byte("version")
)

// Store is the two files. It holds nothing open between two calls.
type Store struct {
	durable, volatile string
}

// New is a Store with state.db in dataDir and run.db in runDir.
func New(dataDir, runDir string) *Store {
	return &Store{filepath.Join(dataDir, "state.db"), filepath.Join(runDir, "run.db")}
}

// Record is a stored container.
type Record struct {
	ID       string
	Name     string
	Volatile bool
	Data     []byte
}

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
	path := s.path(volatile)
	if empty(path) {
		return nil
	}
	unlock, err := lock(path, unix.LOCK_SH)
	if err != nil {
		return err
	}
	defer unlock()
	db, err := bolt.Open(path, 0o600, &bolt.Options{ReadOnly: true, Timeout: lockTime, NoFreelistSync: true})
	if err != nil {
		return fmt.Errorf("opening %s: %w", path, err)
	}
	defer db.Close()
	return db.View(func(tx *bolt.Tx) error {
		if tx.Bucket(metaBucket) == nil {
			return nil // made and not yet written: the first writer was killed
		}
		if err := checkVersion(path, tx); err != nil {
			return err
		}
		return fn(tx)
	})
}

func (s *Store) update(volatile bool, fn func(*bolt.Tx) error) error {
	path := s.path(volatile)
	unlock, err := lock(path, unix.LOCK_EX)
	if err != nil {
		return err
	}
	defer unlock()
	o := &bolt.Options{Timeout: lockTime, NoSync: volatile, NoFreelistSync: true, FreelistType: bolt.FreelistMapType}
	if empty(path) {
		if err := makeFile(path, o); err != nil {
			return err
		}
	}
	db, err := bolt.Open(path, 0o600, o)
	if err != nil {
		return fmt.Errorf("opening %s: %w", path, err)
	}
	defer db.Close()
	return db.Update(func(tx *bolt.Tx) error {
		if err := initialise(path, tx); err != nil {
			return err
		}
		return fn(tx)
	})
}

// empty tells whether nothing was ever stored at path.
func empty(path string) bool {
	st, err := os.Stat(path)
	return errors.Is(err, os.ErrNotExist) || err == nil && st.Size() == 0
}

// makeFile makes an empty file of state under another name first: a kill or a power cut leaves all of it or nothing.
// The caller holds the lock.
func makeFile(path string, o *bolt.Options) error {
	fresh := path + ".new"
	if err := os.Remove(fresh); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("making %s: %w", path, err)
	}
	db, err := bolt.Open(fresh, 0o600, o)
	if err != nil {
		return fmt.Errorf("making %s: %w", path, err)
	}
	err = db.Update(func(tx *bolt.Tx) error { return initialise(fresh, tx) })
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

func initialise(path string, tx *bolt.Tx) error {
	if tx.Bucket(metaBucket) != nil {
		return checkVersion(path, tx)
	}
	for _, b := range [][]byte{metaBucket, containersBucket, namesBucket} {
		if _, err := tx.CreateBucketIfNotExists(b); err != nil {
			return err
		}
	}
	return tx.Bucket(metaBucket).Put(versionKey, fmt.Append(nil, version))
}

func checkVersion(path string, tx *bolt.Tx) error {
	var v int
	if _, err := fmt.Sscan(string(tx.Bucket(metaBucket).Get(versionKey)), &v); err != nil {
		return fmt.Errorf("reading the version of %s: %w", path, err)
	}
	if v > version {
		return fmt.Errorf("%s was written by a newer proa (schema %d, this one knows %d); install that version, nothing was changed", path, v, version)
	}
	return nil
}

// Add stores a new record and reserves its name; a *NameInUseError says that another has it.
func (s *Store) Add(r Record) error {
	// One lock over both files: two reservations of one name can't both succeed.
	unlock, err := lock(s.volatile+".names", unix.LOCK_EX)
	if err != nil {
		return err
	}
	defer unlock()
	taken := func(tx *bolt.Tx) error {
		if id := tx.Bucket(namesBucket).Get([]byte(r.Name)); id != nil && string(id) != r.ID {
			return &NameInUseError{r.Name, string(id)}
		}
		return nil
	}
	if err := s.view(!r.Volatile, taken); err != nil {
		return err
	}
	return s.update(r.Volatile, func(tx *bolt.Tx) error {
		if err := taken(tx); err != nil {
			return err
		}
		if err := tx.Bucket(namesBucket).Put([]byte(r.Name), []byte(r.ID)); err != nil {
			return err
		}
		return tx.Bucket(containersBucket).Put([]byte(r.ID), r.Data)
	})
}

// Put replaces the data of an existing record; ErrNotFound when it is gone.
func (s *Store) Put(r Record) error {
	return s.update(r.Volatile, func(tx *bolt.Tx) error {
		b := tx.Bucket(containersBucket)
		if b.Get([]byte(r.ID)) == nil {
			return ErrNotFound
		}
		return b.Put([]byte(r.ID), r.Data)
	})
}

// Remove deletes a record and frees its name. It is not an error when there is none.
func (s *Store) Remove(r Record) error {
	return s.update(r.Volatile, func(tx *bolt.Tx) error {
		names := tx.Bucket(namesBucket)
		if string(names.Get([]byte(r.Name))) == r.ID {
			if err := names.Delete([]byte(r.Name)); err != nil {
				return err
			}
		}
		return tx.Bucket(containersBucket).Delete([]byte(r.ID))
	})
}

// List returns every record of both files, in order of id within each.
func (s *Store) List() ([]Record, error) {
	var out []Record
	for _, volatile := range []bool{false, true} {
		err := s.view(volatile, func(tx *bolt.Tx) error {
			names := map[string]string{}
			tx.Bucket(namesBucket).ForEach(func(k, v []byte) error { names[string(v)] = string(k); return nil })
			return tx.Bucket(containersBucket).ForEach(func(k, v []byte) error {
				out = append(out, Record{string(k), names[string(k)], volatile, append([]byte(nil), v...)})
				return nil
			})
		})
		if err != nil {
			return nil, err
		}
	}
	return out, nil
}

// Find returns the record of a name, a whole id or a prefix of one that fits no other.
func (s *Store) Find(ref string) (Record, error) {
	var prefixed []Record
	for _, volatile := range []bool{true, false} {
		var found *Record
		err := s.view(volatile, func(tx *bolt.Tx) error {
			c, names := tx.Bucket(containersBucket), tx.Bucket(namesBucket)
			name := func(id string) string {
				var n string
				names.ForEach(func(k, v []byte) error {
					if string(v) == id {
						n = string(k)
					}
					return nil
				})
				return n
			}
			if id := names.Get([]byte(ref)); id != nil {
				found = &Record{string(id), ref, volatile, append([]byte(nil), c.Get(id)...)}
				return nil
			}
			cur := c.Cursor()
			for k, v := cur.Seek([]byte(ref)); ref != "" && strings.HasPrefix(string(k), ref); k, v = cur.Next() {
				prefixed = append(prefixed, Record{string(k), name(string(k)), volatile, append([]byte(nil), v...)})
			}
			return nil
		})
		if err != nil {
			return Record{}, err
		}
		if found != nil {
			return *found, nil
		}
	}
	switch len(prefixed) {
	case 0:
		return Record{}, fmt.Errorf("%w: %q", ErrNotFound, ref)
	case 1:
		return prefixed[0], nil
	}
	return Record{}, fmt.Errorf("%w: %q", ErrAmbiguous, ref)
}
