package libpod

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/proa-containers/proa/libpod/state"
)

// Orphan is one half of a container without the other: a record without its layer, or something without a record. Commands
// that are killed leave none for longer than to the next command; a disk that lost something, or another tool, may.
type Orphan struct {
	Kind string // container, layer, run directory, data directory or lock
	ID   string
	Err  error

	mend func() error
}

// Orphans compares the records with what there is of containers, in both directions. What a command is at is left out.
func (e *Engine) Orphans(ctx context.Context) ([]Orphan, error) {
	records, err := e.state.List()
	if err != nil {
		return nil, err
	}
	s, err := e.store()
	if err != nil {
		return nil, err
	}
	stored, err := s.Containers()
	if err != nil {
		return nil, err
	}
	known, layers := map[string]bool{}, map[string]bool{}
	for _, r := range records {
		known[r.ID] = true
	}
	var found []Orphan
	for _, l := range stored {
		layers[l.ID] = true
		if len(l.Names) == 1 && l.Names[0] == storeName(l.ID) && !known[l.ID] {
			found = append(found, Orphan{"layer", l.ID, errors.New("of a container that is not recorded"), func() error { return s.DeleteContainer(l.ID) }})
		}
	}
	for _, r := range records {
		c, err := decode(r)
		if err != nil {
			return nil, err
		}
		if !layers[c.ID] && (c.Rootfs == "" || c.RootfsCopy) {
			found = append(found, Orphan{"container", c.ID, fmt.Errorf("%q has lost its layer", c.Name), func() error { return e.destroy(c) }})
		}
	}
	return e.confirm(ctx, append(found, e.remains(known)...))
}

// remains are what there is of containers that are not known but in the store.
func (e *Engine) remains(known map[string]bool) []Orphan {
	var found []Orphan
	look := func(kind, dir string, mend func(id string) error) {
		list, _ := os.ReadDir(dir)
		for _, f := range list {
			if id := f.Name(); !known[id] {
				found = append(found, Orphan{kind, id, fmt.Errorf("%s is of a container that is not recorded", filepath.Join(dir, id)), func() error { return mend(id) }})
			}
		}
	}
	look("run directory", filepath.Join(e.paths.RunDir, "containers"), e.dropUnknown)
	look("data directory", filepath.Join(e.paths.DataDir, "containers"), func(id string) error { return os.RemoveAll(e.dataDir(id)) })
	look("lock", filepath.Join(e.paths.RunDir, "locks"), e.dropCgroups)
	return found
}

// dropUnknown ends the run of a container that is not recorded, and removes its run directory.
func (e *Engine) dropUnknown(id string) error {
	e.retire(id)
	return errors.Join(e.dropCgroups(id), e.dropRunDir(id))
}

// confirm drops from found what a command is at, or has done meanwhile.
func (e *Engine) confirm(ctx context.Context, found []Orphan) ([]Orphan, error) {
	var out []Orphan
	for _, o := range found {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		err := e.ifUnlocked(o.ID, func() error {
			_, err := e.state.Find(o.ID)
			if recorded := err == nil; recorded == (o.Kind == "container") {
				out = append(out, o)
			}
			if errors.Is(err, state.ErrNotFound) {
				return nil
			}
			return err
		})
		if err != nil {
			return nil, err
		}
	}
	return out, nil
}

// Mend removes an orphan.
func (e *Engine) Mend(o Orphan) error {
	if err := e.ifUnlocked(o.ID, o.mend); err != nil {
		return fmt.Errorf("removing %s %.12s: %w", o.Kind, o.ID, err)
	}
	return nil
}
