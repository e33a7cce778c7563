package transfer

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/opencontainers/go-digest"
	"golang.org/x/sys/unix"

	"github.com/proa-containers/proa/storage"
)

// workspace is where a transfer keeps downloads, and its journal: what layers there were before it. Layout, in the
// graph root:
//
//	proa-transfer/lock         shared lock: a transfer runs. Exclusive: none does, leftovers may be swept
//	proa-transfer/RANDOM/      one transfer: the downloads
//	proa-transfer/RANDOM/journal.json
//
// A directory that is there while the lock can be had exclusively belongs to a transfer that was killed.
type workspace struct {
	store *storage.Store
	dir   string
	lock  *os.File
	keep  bool // the journal, for the next transfer to sweep
	journal
}

// journal tells which layers are the transfer's own: those that were not there before it and are made of the blobs it
// brings. Layers without an image may also be another tool's, which is about to make one of them.
type journal struct {
	Layers  []string        `json:"layers"`
	Started time.Time       `json:"started"`
	Blobs   []digest.Digest `json:"blobs"`
}

const journalFile = "journal.json"

func openWorkspace(s *storage.Store) (*workspace, error) {
	if err := s.Sweep(); err != nil {
		return nil, err
	}
	base := filepath.Join(s.GraphRoot(), "proa-transfer")
	if err := os.MkdirAll(base, 0o700); err != nil {
		return nil, fmt.Errorf("make transfer directory: %w", err)
	}
	lock, err := os.OpenFile(filepath.Join(base, "lock"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock transfer directory: %w", err)
	}
	w := &workspace{store: s, lock: lock}
	if unix.Flock(int(lock.Fd()), unix.LOCK_EX|unix.LOCK_NB) == nil {
		err = w.sweepKilled(base)
	}
	if err == nil {
		err = unix.Flock(int(lock.Fd()), unix.LOCK_SH)
	}
	if err == nil {
		err = w.begin(base)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("prepare transfer directory: %w", err), lock.Close())
	}
	return w, nil
}

func (w *workspace) begin(base string) error {
	layers, err := w.store.Layers()
	if err != nil {
		return err
	}
	w.Started = time.Now()
	for _, l := range layers {
		w.Layers = append(w.Layers, l.ID)
	}
	if w.dir, err = os.MkdirTemp(base, "t-"); err != nil {
		return err
	}
	return w.write()
}

// expect adds to the journal what is about to be copied.
func (w *workspace) expect(blobs []digest.Digest) error {
	w.Blobs = append(w.Blobs, blobs...)
	if err := w.write(); err != nil {
		return fmt.Errorf("write transfer journal: %w", err)
	}
	return nil
}

func (w *workspace) write() error {
	data, err := json.Marshal(w.journal)
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(w.dir, journalFile), data, 0o600)
}

// close removes the downloads.
func (w *workspace) close() {
	if !w.keep {
		_ = os.RemoveAll(w.dir)
	}
	_ = w.lock.Close()
}

// undo removes the layers this transfer added, unless another transfer runs that may be using them: then the next
// one sweeps them.
func (w *workspace) undo() {
	if unix.Flock(int(w.lock.Fd()), unix.LOCK_EX|unix.LOCK_NB) != nil || removeAdded(w.store, w.journal) != nil {
		w.keep = true
	}
}

func (w *workspace) sweepKilled(base string) error {
	dirs, err := os.ReadDir(base)
	if err != nil {
		return err
	}
	for _, d := range dirs {
		if !strings.HasPrefix(d.Name(), "t-") {
			continue
		}
		dir := filepath.Join(base, d.Name())
		var j journal
		data, err := os.ReadFile(filepath.Join(dir, journalFile))
		if err == nil && json.Unmarshal(data, &j) == nil {
			if err := removeAdded(w.store, j); err != nil {
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
func removeAdded(s *storage.Store, j journal) error {
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
			case errors.Is(err, storage.ErrNotFound), errors.Is(err, storage.ErrInUse):
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
