package volume

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// UsedError says which containers use a volume that was to be removed.
type UsedError struct {
	Volume string
	Users  []string
}

func (e *UsedError) Error() string {
	return fmt.Sprintf("volume %q is in use by %s; remove that first", e.Volume, strings.Join(e.Users, ", "))
}

// Remove removes volumes that nobody uses. users is asked under the lock that keeps volumes from being made, so that a
// container that wants the volume afterwards finds it gone, and makes another. It returns the bytes that were freed and
// one error a volume that stays.
func (s *Store) Remove(ctx context.Context, list []*Volume, users func() (map[string][]string, error)) (gone []*Volume, freed int64, errs []error) {
	unlock, err := s.lockStore(ctx)
	if err != nil {
		return nil, 0, []error{err}
	}
	used, err := users()
	if err != nil {
		unlock()
		return nil, 0, []error{err}
	}
	var dirs []string
	for _, v := range list {
		if by := used[v.Name]; len(by) > 0 {
			errs = append(errs, &UsedError{v.Name, by})
			continue
		}
		dir, err := s.hide(ctx, v)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		gone, dirs = append(gone, v), append(dirs, dir)
	}
	unlock()
	for i, dir := range dirs {
		size, _ := treeSize(filepath.Join(dir, dataDir)) // what can't be read is not counted
		if err := os.RemoveAll(dir); err != nil {
			errs = append(errs, fmt.Errorf("removing volume %q: %w", gone[i].Name, err))
			continue
		}
		freed += size
	}
	return gone, freed, errs
}

// hide takes a volume's name from it: from then on it is gone. The caller holds the store's lock.
func (s *Store) hide(ctx context.Context, v *Volume) (string, error) {
	f, err := s.lock(ctx, v, unix.LOCK_EX|unix.LOCK_NB)
	if errors.Is(err, ErrBusy) {
		return "", fmt.Errorf("removing volume %q: %w; try again", v.Name, err)
	}
	if err != nil {
		return "", err
	}
	defer f.Close()
	if err := unmount(filepath.Join(v.dir, dataDir)); err != nil {
		return "", fmt.Errorf("removing volume %q: %w", v.Name, err)
	}
	tmp, err := os.MkdirTemp(s.dir, gonePrefix)
	if err == nil {
		if err = unix.Rename(v.dir, tmp); err != nil { // onto an empty directory
			os.Remove(tmp)
		}
	}
	if err != nil {
		return "", fmt.Errorf("removing volume %q: %w", v.Name, err)
	}
	return tmp, nil
}

// Sweep finishes what killed commands left: volumes half made or half removed, and half-filled ones. It returns a line
// for each. What another command works on is left alone.
func (s *Store) Sweep(ctx context.Context) ([]string, error) {
	entries, err := os.ReadDir(s.dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("looking at the volumes: %w", err)
	}
	var done []string
	var errs []error
	for _, e := range entries {
		name := e.Name()
		switch {
		case strings.HasPrefix(name, newPrefix):
			if err := s.sweepNew(ctx, name); err != nil {
				errs = append(errs, err)
			} else {
				done = append(done, "removed a volume that was not made to its end")
			}
		case strings.HasPrefix(name, gonePrefix):
			// Whoever else is at it removes it too.
			if err := os.RemoveAll(filepath.Join(s.dir, name)); err != nil {
				errs = append(errs, fmt.Errorf("removing what is left of a volume: %w", err))
			} else {
				done = append(done, "removed what was left of a removed volume")
			}
		case ValidName(name):
			text, err := s.heal(ctx, name)
			if err != nil {
				errs = append(errs, err)
			} else if text != "" {
				done = append(done, text)
			}
		}
	}
	return done, errors.Join(errs...)
}

// sweepNew removes a volume whose maker is gone: it would hold the store's lock.
func (s *Store) sweepNew(ctx context.Context, name string) error {
	unlock, err := s.lockStore(ctx)
	if err != nil {
		return err
	}
	defer unlock()
	if err := os.RemoveAll(filepath.Join(s.dir, name)); err != nil {
		return fmt.Errorf("removing a volume that was not made to its end: %w", err)
	}
	return nil
}

// heal finishes a fill or an import of one volume, unless a command is at it.
func (s *Store) heal(ctx context.Context, name string) (string, error) {
	v, err := s.read(name)
	if err != nil {
		return "", nil // List tells of it
	}
	if !journal(v.dir) {
		return "", nil
	}
	f, err := s.lock(ctx, v, unix.LOCK_EX|unix.LOCK_NB)
	if err != nil {
		return "", nil // somebody is at it, or it is gone
	}
	defer f.Close()
	if err := recoverIn(v.dir, filepath.Join(v.dir, dataDir)); err != nil {
		return "", fmt.Errorf("finishing the copy into volume %q: %w", name, err)
	}
	return fmt.Sprintf("finished the copy into volume %q that a killed command had begun", name), nil
}

// Size is what the volume's content takes on disk, in bytes.
func (v *Volume) Size() (int64, error) { return treeSize(v.Mountpoint()) }

// treeSize adds up the blocks of a tree's files, each once.
func treeSize(dir string) (int64, error) {
	var total int64
	type file struct{ dev, ino uint64 }
	seen := map[file]bool{}
	err := filepath.WalkDir(dir, func(_ string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if e.IsDir() {
			return nil
		}
		info, err := e.Info()
		if err != nil {
			return nil // gone meanwhile
		}
		if st := statOf(info); st != nil {
			if id := (file{st.Dev, st.Ino}); st.Nlink == 1 || !seen[id] {
				seen[id] = true
				total += st.Blocks * 512
			}
		}
		return nil
	})
	return total, err
}
