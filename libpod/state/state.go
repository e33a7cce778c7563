// Package state owns the records of containers: state.db in the data directory holds what survives a reboot and is
// synced; run.db in the run directory, on tmpfs, holds the containers that are removed when they end and is not. It
// stores opaque records by id and keeps names unique over both; what a record means is libpod's. It runs in proa, as
// uid 0 of proa's user namespace. No transaction runs a program, waits or touches the network.
package state

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"

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

// The layout of both files, of the schema version that migrations leads to:
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
	migrations        []migration
}

// New is a Store with state.db in dataDir and run.db in runDir.
func New(dataDir, runDir string) *Store {
	return &Store{filepath.Join(dataDir, "state.db"), filepath.Join(runDir, "run.db"), migrations()}
}

// Record is a stored container.
type Record struct {
	ID       string
	Name     string
	Volatile bool
	Data     []byte
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

// Rename gives a record another name and its data, which may hold the name; a *NameInUseError says that another has it,
// ErrNotFound that the record is gone.
func (s *Store) Rename(r Record, name string) error {
	unlock, err := lock(s.volatile+".names", unix.LOCK_EX)
	if err != nil {
		return err
	}
	defer unlock()
	taken := func(tx *bolt.Tx) error {
		if id := tx.Bucket(namesBucket).Get([]byte(name)); id != nil {
			return &NameInUseError{name, string(id)}
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
		records, names := tx.Bucket(containersBucket), tx.Bucket(namesBucket)
		if records.Get([]byte(r.ID)) == nil {
			return ErrNotFound
		}
		if err := names.Delete([]byte(r.Name)); err != nil {
			return err
		}
		if err := names.Put([]byte(name), []byte(r.ID)); err != nil {
			return err
		}
		return records.Put([]byte(r.ID), r.Data)
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
	return Record{}, fmt.Errorf("%w: %q; give more of it, or the name", ErrAmbiguous, ref)
}
