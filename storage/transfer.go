package storage

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/opencontainers/go-digest"
	"golang.org/x/sys/unix"
)

// Transfer is a set of layers on their way into the store, from a registry or an archive, and a directory for their
// downloads. What a killed process has left of one goes with the next Sweep. Layout, in the graph root:
//
//	proa-transfer/lock         shared lock: a transfer runs. Exclusive: none does, leftovers may be swept
//	proa-transfer/RANDOM/      one transfer: the downloads
//	proa-transfer/RANDOM/journal.json
//
// A directory that is there while the lock can be had exclusively belongs to a transfer that was killed.
type Transfer struct {
	Dir     string // for downloads
	Store   *Store
	lock    *os.File
	keep    bool // the journal, for the next Sweep
	journal transferJournal
}

// transferJournal tells which layers are the transfer's own: those that were not there before it and are made of the
// blobs it brings. Layers without an image may also be another tool's, which is about to make one of them.
type transferJournal struct {
	Layers  []string        `json:"layers"`
	Started time.Time       `json:"started"`
	Blobs   []digest.Digest `json:"blobs"`
}

const transferJournalFile = "journal.json"

// NewTransfer begins one, after a Sweep. It ends with Close.
func (s *Store) NewTransfer() (*Transfer, error) {
	if err := s.Sweep(); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(s.transfers(), 0o700); err != nil {
		return nil, fmt.Errorf("make transfer directory: %w", err)
	}
	lock, err := s.openTransferLock()
	if err != nil {
		return nil, err
	}
	t := &Transfer{Store: s, lock: lock}
	if err = unix.Flock(int(lock.Fd()), unix.LOCK_SH); err == nil {
		err = t.begin()
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("prepare transfer directory: %w", err), lock.Close())
	}
	return t, nil
}

func (s *Store) transfers() string { return filepath.Join(s.GraphRoot(), "proa-transfer") }

func (s *Store) openTransferLock() (*os.File, error) {
	lock, err := os.OpenFile(filepath.Join(s.transfers(), "lock"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock transfer directory: %w", err)
	}
	return lock, nil
}

func (t *Transfer) begin() error {
	layers, err := t.Store.Layers()
	if err != nil {
		return err
	}
	t.journal.Started = time.Now()
	for _, l := range layers {
		t.journal.Layers = append(t.journal.Layers, l.ID)
	}
	if t.Dir, err = os.MkdirTemp(t.Store.transfers(), "t-"); err != nil {
		return err
	}
	return t.write()
}

// Expect tells which blobs are about to be copied: layers made of them are the transfer's own. It comes before the first
// is there.
func (t *Transfer) Expect(blobs []digest.Digest) error {
	t.journal.Blobs = append(t.journal.Blobs, blobs...)
	if err := t.write(); err != nil {
		return fmt.Errorf("write transfer journal: %w", err)
	}
	return nil
}

func (t *Transfer) write() error {
	data, err := json.Marshal(t.journal)
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(t.Dir, transferJournalFile), data, 0o600)
}

// Close removes the downloads.
func (t *Transfer) Close() {
	if !t.keep {
		_ = os.RemoveAll(t.Dir)
	}
	_ = t.lock.Close()
}

// Undo removes the layers that this transfer added, unless another transfer runs that may be using them: then a later
// Sweep removes them.
func (t *Transfer) Undo() {
	if unix.Flock(int(t.lock.Fd()), unix.LOCK_EX|unix.LOCK_NB) != nil || t.Store.removeAdded(t.journal) != nil {
		t.keep = true
	}
}

// sweepTransfers removes what killed processes left of their transfers, unless one runs.
func (s *Store) sweepTransfers() error {
	dirs, err := filepath.Glob(filepath.Join(s.transfers(), "t-*"))
	if err != nil || len(dirs) == 0 {
		return nil // the pattern is not malformed
	}
	lock, err := s.openTransferLock()
	if err != nil {
		return err
	}
	defer lock.Close()
	if unix.Flock(int(lock.Fd()), unix.LOCK_EX|unix.LOCK_NB) != nil {
		return nil
	}
	for _, dir := range dirs {
		var j transferJournal
		data, err := os.ReadFile(filepath.Join(dir, transferJournalFile))
		if err == nil && json.Unmarshal(data, &j) == nil {
			if err := s.removeAdded(j); err != nil {
				return err
			}
		}
		if err := os.RemoveAll(dir); err != nil {
			return err
		}
	}
	return nil
}

// removeAdded removes the layers that the journal calls its own and belong to no image and no container. The store
// refuses to remove a layer that another stands on, so the topmost go first.
func (s *Store) removeAdded(j transferJournal) error {
	layers, err := s.Layers()
	if err != nil {
		return err
	}
	before := map[string]bool{}
	for _, id := range j.Layers {
		before[id] = true
	}
	for range layers {
		removed := false
		for _, l := range layers {
			if before[l.ID] || l.Created.Before(j.Started) || !slices.Contains(j.Blobs, l.Compressed) && !slices.Contains(j.Blobs, l.DiffID) {
				continue
			}
			err := s.DeleteLayer(l.ID)
			switch {
			case err == nil:
				removed = true
			case errors.Is(err, ErrNotFound), errors.Is(err, ErrInUse):
			default:
				return err
			}
		}
		if !removed {
			break
		}
	}
	return s.SweepLinks()
}
