package storage

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/opencontainers/go-digest"
	cs "go.podman.io/storage"
	drivers "go.podman.io/storage/drivers"
	"go.podman.io/storage/pkg/stringid"
	"golang.org/x/sys/unix"

	"github.com/proa-containers/proa/storage/overlay"
)

// StageOptions of Stage.
type StageOptions struct {
	Name    string    // the layer's; ErrExists when another has it
	Note    string    // the layer's description
	Beneath string    // a directory that is seen under everything, and is no part of the layer
	Latest  time.Time // no file of the layer is to be younger; zero: as they are
}

// Stage makes a layer of what fill writes. fill gets a mount of parent's files, attached nowhere, and what it changes is
// the layer, as it is on disk: nothing is written a second time. Layout, in the graph root, on the layers' file system:
//
//	proa-stage/RANDOM/lock   locked while the process lives
//	proa-stage/RANDOM/dir    what will be the layer
//	proa-stage/RANDOM/work   overlay's
//
// The layer appears with its name in one step. What a killed process left goes with the next Sweep.
func (s *Store) Stage(ctx context.Context, parent string, o StageOptions, fill func(root *os.File) error) (Layer, error) {
	st, err := s.openStage()
	if err != nil {
		return Layer{}, fmt.Errorf("make a layer: %w", err)
	}
	defer st.close()
	mount, err := st.overlay(s, parent, o.Beneath)
	if err != nil {
		return Layer{}, fmt.Errorf("make a layer: %w", err)
	}
	root, err := mount.Mount()
	if err != nil {
		return Layer{}, err
	}
	err = fill(root)
	if err = errors.Join(err, root.Close()); err != nil {
		return Layer{}, err
	}
	if err := ctx.Err(); err != nil {
		return Layer{}, err
	}
	if !o.Latest.IsZero() {
		if err := ageTree(st.dir(), o.Latest); err != nil {
			return Layer{}, fmt.Errorf("set the times of a layer: %w", err)
		}
	}
	return st.commit(ctx, parent, o, mount)
}

// stage is one directory that a layer grows in.
type stage struct {
	store *Store
	path  string
	lock  *os.File
}

func (s *Store) stages() string { return filepath.Join(s.GraphRoot(), "proa-stage") }

func (s *Store) openStage() (*stage, error) {
	if err := os.MkdirAll(s.stages(), 0o700); err != nil {
		return nil, err
	}
	// Made under a name that no sweep looks at, and locked before it gets its own.
	tmp, err := os.MkdirTemp(s.stages(), ".new-")
	if err != nil {
		return nil, err
	}
	st := &stage{store: s, path: tmp}
	if st.lock, err = os.OpenFile(filepath.Join(tmp, "lock"), os.O_RDWR|os.O_CREATE, 0o600); err != nil {
		return nil, errors.Join(err, os.RemoveAll(tmp))
	}
	for _, dir := range []string{"dir", "work"} {
		err = errors.Join(err, os.Mkdir(filepath.Join(tmp, dir), 0o755))
	}
	if err == nil {
		err = unix.Flock(int(st.lock.Fd()), unix.LOCK_EX)
	}
	if err == nil {
		st.path = filepath.Join(s.stages(), stringid.GenerateRandomID())
		err = os.Rename(tmp, st.path)
	}
	if err != nil {
		st.path = tmp
		st.close()
		return nil, err
	}
	return st, nil
}

func (st *stage) dir() string { return filepath.Join(st.path, "dir") }

func (st *stage) close() {
	_ = os.RemoveAll(st.path) // else the next Sweep does
	st.lock.Close()
}

// sweepStages removes what processes left that were killed while they made a layer.
func (s *Store) sweepStages() error {
	left, err := os.ReadDir(s.stages())
	if err != nil {
		return nil // the directory is made with the first stage
	}
	for _, e := range left {
		path := filepath.Join(s.stages(), e.Name())
		if e.Name()[0] == '.' {
			if info, err := e.Info(); err != nil || time.Since(info.ModTime()) < time.Minute {
				continue // it is being made
			}
		}
		lock, err := os.OpenFile(filepath.Join(path, "lock"), os.O_RDWR, 0)
		if err == nil {
			err = unix.Flock(int(lock.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		}
		if err == nil || errors.Is(err, os.ErrNotExist) {
			err = os.RemoveAll(path)
		} else {
			err = nil // it is being filled
		}
		if lock != nil {
			lock.Close()
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// overlay is the mount to fill: parent's layers with the stage's directory above them.
func (st *stage) overlay(s *Store, parent, beneath string) (overlay.Options, error) {
	o := overlay.Options{Upper: st.dir(), Work: filepath.Join(st.path, "work"), UserXattr: s.userXattr, Extra: s.mountExtra, Volatile: !s.noVolatile}
	lower, err := s.layerDirs(parent)
	if err != nil {
		return o, err
	}
	if len(lower) > 0 { // the top directory is the parent's until it is changed
		if err := likeDir(lower[0], st.dir()); err != nil {
			return o, err
		}
	}
	o.Lower = lower
	if beneath != "" {
		o.Lower = append(slices.Clone(lower), beneath)
	}
	if len(o.Lower) == 0 {
		empty := filepath.Join(st.path, "empty")
		if err := os.Mkdir(empty, 0o755); err != nil {
			return o, err
		}
		o.Lower = []string{empty}
	}
	return o, nil
}

func likeDir(from, to string) error {
	var st unix.Stat_t
	if err := unix.Stat(from, &st); err != nil {
		return fmt.Errorf("look at layer directory %q: %w", from, err)
	}
	if err := os.Chown(to, int(st.Uid), int(st.Gid)); err != nil {
		return err
	}
	return unix.Chmod(to, st.Mode&0o7777)
}

// layerDirs are the directories of a layer and those beneath it, the topmost first.
func (s *Store) layerDirs(id string) ([]string, error) {
	if id == "" {
		return nil, nil
	}
	upper, lower, err := s.LayerPaths(id)
	if err != nil {
		return nil, err
	}
	return append([]string{upper}, lower...), nil
}

// MountLayer mounts the files of a layer and those beneath it, read-only and attached nowhere; an empty id is an empty
// tree. The caller closes it.
func (s *Store) MountLayer(id string) (*os.File, error) {
	lower, err := s.layerDirs(id)
	if err != nil {
		return nil, err
	}
	empty := filepath.Join(s.GraphRoot(), "proa-empty")
	if err := os.MkdirAll(empty, 0o755); err != nil {
		return nil, fmt.Errorf("mount layer %q: %w", id, err)
	}
	// The kernel wants two directories where there is none to write to.
	for len(lower) < 2 {
		lower = append(lower, empty)
	}
	if lower[0] == empty {
		return os.OpenFile(empty, unix.O_PATH|unix.O_DIRECTORY, 0)
	}
	return overlay.Options{Lower: lower, UserXattr: s.userXattr, Extra: s.mountExtra}.Mount()
}

// commit records the stage's directory as a layer: its digest, and what a tar archive of it looks like.
func (st *stage) commit(ctx context.Context, parent string, o StageOptions, mount overlay.Options) (Layer, error) {
	out := &drivers.DriverWithDifferOutput{Target: st.dir()}
	if err := st.describe(ctx, mount, out); err != nil {
		return Layer{}, fmt.Errorf("archive a layer: %w", err)
	}
	var dir unix.Stat_t
	if err := unix.Stat(st.dir(), &dir); err != nil {
		return Layer{}, err
	}
	mode := os.FileMode(dir.Mode & 0o777)
	out.RootDirMode = &mode
	out.Metadata = o.Note
	return st.store.putStaged(parent, o.Name, out)
}

// putStaged records a staged directory as a layer, or finds the layer on parent that has the same content already. Its id is
// the one that the same layer gets when it is pulled, so that an image which was built here can be pulled here too.
func (s *Store) putStaged(parent, name string, out *drivers.DriverWithDifferOutput) (Layer, error) {
	id := out.UncompressedDigest.Encoded()
	if parent != "" {
		id = digest.FromString(parent + "+" + id).Encoded()
	}
	var names []string
	if name != "" {
		names = []string{name}
	}
	l, err := s.lib.Layer(id)
	if err == nil {
		_ = out.TarSplit.Close()
		if named, err := s.lib.Layer(name); name != "" && err == nil && named.ID != id {
			return Layer{}, fmt.Errorf("add layer %q: %w", name, ErrExists)
		}
	} else if l, err = s.lib.ApplyStagedLayer(cs.ApplyStagedLayerOptions{
		ID: id, ParentLayer: parent, Names: names, DiffOutput: out, DiffOptions: &drivers.ApplyDiffWithDifferOpts{},
	}); err != nil {
		return Layer{}, fmt.Errorf("add a layer: %w", translate(err))
	}
	if name != "" && !slices.Contains(l.Names, name) {
		if err := s.NameLayer(id, name); err != nil {
			return Layer{}, err
		}
	}
	return newLayer(l), nil
}

// ageTree sets the modification time of what is younger than latest to it.
func ageTree(dir string, latest time.Time) error {
	return filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil || !info.ModTime().After(latest) {
			return err
		}
		t := unix.NsecToTimespec(latest.UnixNano())
		return unix.UtimesNanoAt(unix.AT_FDCWD, path, []unix.Timespec{t, t}, unix.AT_SYMLINK_NOFOLLOW)
	})
}

// NamedLayer finds a layer by the name that Stage gave it. ErrNotFound when there is none.
func (s *Store) NamedLayer(name string) (Layer, error) {
	l, err := s.lib.Layer(name)
	if err != nil {
		return Layer{}, fmt.Errorf("look up layer %q: %w", name, translate(err))
	}
	return newLayer(l), nil
}

// NameLayer gives a layer a further name.
func (s *Store) NameLayer(id, name string) error {
	if err := s.lib.AddNames(id, []string{name}); err != nil {
		return fmt.Errorf("name layer %q: %w", id, translate(err))
	}
	return nil
}
