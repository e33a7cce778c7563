package storage

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"go.podman.io/storage/pkg/lockfile"
)

// Sweep removes the files that processes left which were killed while they wrote a list of layers, images or containers:
// the library writes ".tmp-" files and renames them. Drafts, transfers and removals of killed processes go too. It costs the
// reading of six directories; a list that another process holds is left to the next call.
func (s *Store) Sweep() error {
	for _, list := range []string{"layers", "images", "containers"} {
		dir := filepath.Join(s.lib.GraphRoot(), "overlay-"+list)
		left, err := filepath.Glob(filepath.Join(dir, ".tmp-*.json*"))
		if err != nil || len(left) == 0 {
			continue // no pattern of ours is malformed
		}
		if err := sweepUnder(filepath.Join(dir, list+".lock"), left); err != nil {
			return fmt.Errorf("remove what a killed process left in storage: %w", err)
		}
	}
	for _, sweep := range []func() error{
		s.sweepTransfers,
		func() error { return sweepJournals(s.removals(), s.sweepRemoval) },
		func() error { return sweepJournals(s.drafts(), s.sweepDraft) },
	} {
		if err := sweep(); err != nil {
			return fmt.Errorf("remove what a killed process left in storage: %w", err)
		}
	}
	return nil
}

// sweepUnder removes the files under the lock that they are written under: while it is held, none of them is being written.
func sweepUnder(path string, files []string) error {
	lock, err := lockfile.GetLockFile(path)
	if err != nil {
		return err
	}
	if lock.TryLock() != nil {
		return nil
	}
	defer lock.Unlock()
	for _, f := range files {
		if err := os.Remove(f); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
	}
	return nil
}

// SweepLinks removes links to layers that are not there. The library makes a layer's short link, and cannot find it again
// when the disk is full as it writes down the link's name.
func (s *Store) SweepLinks() error {
	links, err := filepath.Glob(filepath.Join(s.lib.GraphRoot(), s.driver, "l", "*"))
	if err != nil {
		return err
	}
	var dangling []string
	for _, l := range links {
		// A layer's directory is made before its link, and removed after it.
		if _, err := os.Stat(l); errors.Is(err, os.ErrNotExist) {
			dangling = append(dangling, l)
		}
	}
	if len(dangling) == 0 {
		return nil
	}
	if err := sweepUnder(filepath.Join(s.lib.GraphRoot(), "overlay-layers", "layers.lock"), dangling); err != nil {
		return fmt.Errorf("remove links to missing layers: %w", err)
	}
	return nil
}
