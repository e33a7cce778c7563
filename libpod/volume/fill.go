package volume

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// What goes into a volume is first put into a directory beside its data (for a volume whose data is on another file
// system: in it), and that renamed; only then is it moved, name by name, to where it belongs:
//
//	.proa-filling     being copied from an image: of no use when its maker is killed
//	.proa-filled      all there; what the volume has itself stays
//	.proa-importing   being unpacked
//	.proa-imported    all there; it replaces what the volume has
//
// Whoever next holds the volume's lock removes a first or third and moves on a second or fourth.
const (
	filling   = ".proa-filling"
	filled    = ".proa-filled"
	importing = ".proa-importing"
	imported  = ".proa-imported"
)

var journals = []string{filling, filled, importing, imported}

// journal tells whether dir holds one of the four.
func journal(dir string) bool {
	for _, n := range journals {
		if _, err := os.Lstat(filepath.Join(dir, n)); err == nil {
			return true
		}
	}
	return false
}

// stage is where data's journal is: it has to be on data's file system.
func (v *Volume) stage(data string) string {
	if on, err := mountpoint(data); err == nil && !on && data == filepath.Join(v.dir, dataDir) {
		return v.dir
	}
	return data
}

// Import lets unpack put files into a directory, and then moves them into the volume.
func (s *Store) Import(ctx context.Context, v *Volume, unpack func(dir string) error) error {
	if err := v.reachable(); err != nil {
		return err
	}
	f, err := s.lock(ctx, v, unix.LOCK_EX)
	if err != nil {
		return err
	}
	defer f.Close()
	data := v.Mountpoint()
	stage := v.stage(data)
	if err := recoverIn(stage, data); err != nil {
		return fmt.Errorf("finishing the copy into volume %q: %w", v.Name, err)
	}
	return v.enter(stage, data, importing, imported, func(dir string) error {
		// A container may have the directory in its volume: what is unpacked goes to the one made here, whatever has its
		// name by then.
		d, err := openDir(unix.AT_FDCWD, dir)
		if err != nil {
			return err
		}
		defer d.Close()
		return unpack(fmt.Sprintf("/proc/self/fd/%d", d.Fd()))
	})
}

// Content is the directory with the volume's content, which stays until release is called.
func (s *Store) Content(ctx context.Context, v *Volume) (data string, release func(), err error) {
	if err := v.reachable(); err != nil {
		return "", nil, err
	}
	return s.Acquire(ctx, v, nil, nil)
}

// reachable tells whether the content can be got at when no container uses the volume.
func (v *Volume) reachable() error {
	if !v.Mounted() {
		return nil
	}
	if on, err := mountpoint(v.Mountpoint()); err != nil || on {
		return err
	}
	return fmt.Errorf("volume %q is of type %s and mounted only while a container uses it; start one", v.Name, v.device().fsType)
}

func (v *Volume) enter(stage, data, begun, done string, put func(dir string) error) error {
	dir := filepath.Join(stage, begun)
	if err := os.Mkdir(dir, 0o700); err != nil {
		return fmt.Errorf("copying into volume %q: %w", v.Name, err)
	}
	// An import without a word on the volume's own directory leaves that as it is.
	err := copyDirMeta(data, dir)
	if err == nil {
		err = put(dir)
	}
	if err == nil {
		err = mergeable(dir, data)
	}
	if err == nil {
		err = os.Rename(dir, filepath.Join(stage, done))
	}
	if err != nil {
		return errors.Join(fmt.Errorf("copying into volume %q: %w", v.Name, err), os.RemoveAll(dir))
	}
	if err := recoverIn(stage, data); err != nil {
		return fmt.Errorf("copying into volume %q: %w", v.Name, err)
	}
	return nil
}

// recoverIn brings what the journals in stage hold to its end. The caller holds the volume's lock.
func recoverIn(stage, data string) error {
	for _, n := range []string{filling, importing} {
		if err := os.RemoveAll(filepath.Join(stage, n)); err != nil {
			return err
		}
	}
	for _, n := range []string{filled, imported} {
		from, err := openDir(unix.AT_FDCWD, filepath.Join(stage, n))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if errors.Is(err, unix.ENOTDIR) || errors.Is(err, unix.ELOOP) { // a container's joke in a volume that holds its journal
			if err := os.Remove(filepath.Join(stage, n)); err != nil {
				return err
			}
			continue
		}
		if err != nil {
			return err
		}
		err = mergeInto(from, data, n == imported)
		from.Close()
		if err != nil {
			return err
		}
		if err := os.RemoveAll(filepath.Join(stage, n)); err != nil {
			return err
		}
	}
	return nil
}

// emptyDir tells whether there is nothing in dir but journals, which are not yet content.
func emptyDir(dir string) (bool, error) {
	names, err := os.ReadDir(dir)
	if err != nil {
		return false, err
	}
	for _, e := range names {
		if n := e.Name(); n != filling && n != filled && n != importing && n != imported {
			return false, nil
		}
	}
	return true, nil
}
