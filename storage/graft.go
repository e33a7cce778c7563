package storage

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/moby/sys/userns"
	cs "go.podman.io/storage"
	drivers "go.podman.io/storage/drivers"
	"go.podman.io/storage/pkg/archive"
	"go.podman.io/storage/pkg/chrootarchive"
	"golang.org/x/sys/unix"

	"github.com/vbatts/tar-split/tar/asm"
	packer "github.com/vbatts/tar-split/tar/storage"

	"github.com/proa-containers/proa/storage/overlay"
)

// Graft makes a layer of the same content as the layer id on another parent. The files are hard links where the file
// system allows it: neither layer ever changes.
func (s *Store) Graft(ctx context.Context, id, parent string, o StageOptions) (Layer, error) {
	st, err := s.openStage()
	if err != nil {
		return Layer{}, fmt.Errorf("make a layer: %w", err)
	}
	defer st.close()
	l, err := s.lib.Layer(id)
	if err != nil {
		return Layer{}, fmt.Errorf("look up layer %q: %w", id, translate(err))
	}
	upper, _, err := s.LayerPaths(id)
	if err != nil {
		return Layer{}, err
	}
	if err := linkTree(ctx, upper, st.dir()); err != nil {
		return Layer{}, fmt.Errorf("link layer %q: %w", id, err)
	}
	out := &drivers.DriverWithDifferOutput{Target: st.dir(), UncompressedDigest: l.UncompressedDigest, Size: l.UncompressedSize, UIDs: l.UIDs, GIDs: l.GIDs, Metadata: o.Note}
	if out.TarSplit, err = st.split(ctx, s, id); err != nil {
		return Layer{}, fmt.Errorf("archive layer %q: %w", id, err)
	}
	info, err := os.Stat(upper)
	if err != nil {
		return Layer{}, err
	}
	mode := info.Mode() & 0o777
	out.RootDirMode = &mode
	return s.putStaged(parent, o.Name, out)
}

// split is what tar-split needs to make the archive of a layer again.
func (st *stage) split(ctx context.Context, s *Store, id string) (*os.File, error) {
	plain := archive.Uncompressed
	r, err := s.lib.Diff("", id, &cs.DiffOptions{Compression: &plain})
	if err != nil {
		return nil, err
	}
	defer r.Close()
	split, err := os.CreateTemp(st.path, "split-")
	if err != nil {
		return nil, err
	}
	payload, done, err := asm.NewInputTarStreamWithDone(&contextReader{ctx, r}, packer.NewJSONPacker(split), packer.NewDiscardFilePutter())
	if err == nil {
		_, err = io.Copy(io.Discard, payload)
		payload.Close()
		err = errors.Join(err, <-done)
	}
	if err != nil {
		split.Close()
		return nil, err
	}
	return split, nil
}

// linkTree makes the directories of from in to, with their attributes, and links to everything else.
func linkTree(ctx context.Context, from, to string) error {
	var dirs []string
	err := filepath.WalkDir(from, func(path string, d os.DirEntry, err error) error {
		if err = errors.Join(err, ctx.Err()); err != nil {
			return err
		}
		rel, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		at := filepath.Join(to, rel)
		if !d.IsDir() {
			return os.Link(path, at)
		}
		if rel != "." {
			if err := os.Mkdir(at, 0o700); err != nil {
				return err
			}
		}
		dirs = append(dirs, rel)
		return nil
	})
	for i := len(dirs) - 1; i >= 0 && err == nil; i-- {
		err = likeDirWhole(filepath.Join(from, dirs[i]), filepath.Join(to, dirs[i]))
	}
	return err
}

// likeDirWhole gives a directory the owner, mode, attributes and time of another.
func likeDirWhole(from, to string) error {
	if err := likeDir(from, to); err != nil {
		return err
	}
	list := make([]byte, 64<<10)
	n, err := unix.Llistxattr(from, list)
	if err != nil && err != unix.ENOTSUP {
		return err
	}
	for _, name := range strings.FieldsFunc(string(list[:max(n, 0)]), func(r rune) bool { return r == 0 }) {
		value := make([]byte, 64<<10)
		n, err := unix.Lgetxattr(from, name, value)
		if err == nil {
			err = unix.Lsetxattr(to, name, value[:n], 0)
		}
		if err != nil && err != unix.EPERM && err != unix.ENOTSUP && err != unix.ENODATA {
			return fmt.Errorf("attribute %q: %w", name, err)
		}
	}
	var st unix.Stat_t
	if err := unix.Stat(from, &st); err != nil {
		return err
	}
	return unix.UtimesNanoAt(unix.AT_FDCWD, to, []unix.Timespec{st.Atim, st.Mtim}, 0)
}

// Scratch is a mount of a layer's files that can be written to, attached nowhere; what is written goes with drop.
func (s *Store) Scratch(id string) (root *os.File, drop func() error, err error) {
	st, err := s.openStage()
	if err != nil {
		return nil, nil, err
	}
	var o overlay.Options
	if o, err = st.overlay(s, id, ""); err == nil {
		root, err = o.Mount()
	}
	if err != nil {
		st.close()
		return nil, nil, err
	}
	return root, func() error { st.close(); return nil }, nil
}

// Flatten makes one layer on base, which is beneath top or empty, of the layers between. They are applied one after another,
// in a child process chrooted there, to a mount that is attached meanwhile: the process has a mount namespace of its own.
func (s *Store) Flatten(ctx context.Context, base, top string, o StageOptions) (Layer, error) {
	if l, err := s.NamedLayer(o.Name); err == nil {
		return l, nil
	}
	chain, err := s.Chain(top)
	if err != nil {
		return Layer{}, err
	}
	for i := range chain {
		if chain[i].ID == base {
			chain = chain[i+1:]
			break
		}
	}
	return s.Stage(ctx, base, o, func(root *os.File) (err error) {
		dir, drop, err := s.Workspace()
		if err != nil {
			return err
		}
		defer drop()
		if err := unix.MoveMount(int(root.Fd()), "", unix.AT_FDCWD, dir, unix.MOVE_MOUNT_F_EMPTY_PATH); err != nil {
			return fmt.Errorf("attach a layer's mount: %w", err)
		}
		defer func() { err = errors.Join(err, unix.Unmount(dir, unix.MNT_DETACH)) }()
		for _, l := range chain {
			if err := s.apply(ctx, dir, l.ID); err != nil {
				return fmt.Errorf("apply layer %q: %w", l.ID, err)
			}
		}
		return nil
	})
}

// apply changes the files in dir as a layer does.
func (s *Store) apply(ctx context.Context, dir, id string) error {
	plain := archive.Uncompressed
	r, err := s.lib.Diff("", id, &cs.DiffOptions{Compression: &plain})
	if err != nil {
		return translate(err)
	}
	_, err = chrootarchive.ApplyUncompressedLayer(dir, &contextReader{ctx, r}, &archive.TarOptions{InUserNS: userns.RunningInUserNS()})
	return errors.Join(err, r.Close())
}

// Workspace is a directory on the store's file system; drop removes it, or the next Sweep when the process was killed.
func (s *Store) Workspace() (dir string, drop func(), err error) {
	st, err := s.openStage()
	if err != nil {
		return "", nil, fmt.Errorf("make a directory: %w", err)
	}
	return st.dir(), st.close, nil
}
