package state

import (
	"errors"
	"fmt"

	bolt "go.etcd.io/bbolt"
)

// migration brings a file from one version of the schema to the next.
type migration func(*bolt.Tx) error

// migrations lead from version 0, an empty file, to this proa's, their number. One that was released never changes.
func migrations() []migration { return []migration{makeBuckets} }

func makeBuckets(tx *bolt.Tx) error {
	for _, b := range [][]byte{containersBucket, namesBucket} {
		if _, err := tx.CreateBucketIfNotExists(b); err != nil {
			return err
		}
	}
	return nil
}

// errOlder says that a file is to be migrated before it is read.
var errOlder = errors.New("an older schema")

func newer(path string, theirs, ours int) error {
	return fmt.Errorf("%s was written by a newer proa (schema %d, this one knows %d); install that version, nothing was changed", path, theirs, ours)
}

// schemaVersion is 0 for a file that nothing was written to yet.
func schemaVersion(tx *bolt.Tx) (int, error) {
	meta := tx.Bucket(metaBucket)
	if meta == nil {
		return 0, nil
	}
	var v int
	if _, err := fmt.Sscan(string(meta.Get(versionKey)), &v); err != nil || v < 1 {
		return 0, fmt.Errorf("%w: it has the schema version %q", errDamaged, meta.Get(versionKey))
	}
	return v, nil
}

// migrate brings the file to this proa's version, in the transaction that needs it.
func (s *Store) migrate(path string, tx *bolt.Tx) error {
	v, err := schemaVersion(tx)
	switch {
	case err != nil:
		return fmt.Errorf("reading %s: %w", path, err)
	case v == len(s.migrations):
		return nil
	case v > len(s.migrations):
		return newer(path, v, len(s.migrations))
	}
	for ; v < len(s.migrations); v++ {
		if err := s.migrations[v](tx); err != nil {
			return fmt.Errorf("bringing %s from schema %d to %d: %w", path, v, v+1, err)
		}
	}
	meta, err := tx.CreateBucketIfNotExists(metaBucket)
	if err != nil {
		return err
	}
	return meta.Put(versionKey, fmt.Append(nil, v))
}
