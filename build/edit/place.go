package edit

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path"

	mode "github.com/tonistiigi/dchapes-mode"
	"golang.org/x/sys/unix"

	"github.com/proa-containers/proa/libpod/tree"
)

// writer is a Sink that changes what is copied as the action says.
type writer struct {
	copy *Copy
	set  *mode.Set
	root *os.File
	at   *tree.Place
	to   tree.Sink
	name string     // in place of "."
	top  *tree.Node // the directory itself
}

func (w *writer) Put(ctx context.Context, n *tree.Node) error {
	c := w.copy
	if n.Type() != unix.S_IFLNK {
		switch {
		case c.Modes != "":
			n.Mode = n.Mode&unix.S_IFMT | unixMode(w.set.Apply(fileMode(n.Mode)))
		case c.Mode != nil:
			n.Mode = n.Mode&unix.S_IFMT | *c.Mode&0o7777
		}
	}
	if c.Time != nil {
		n.ModTime = *c.Time
	}
	if n.Name == "." {
		if w.name == "" {
			top := *n
			w.top = &top
			return nil
		}
		n.Name = w.name
	}
	return w.to.Put(ctx, n)
}

func (w *writer) Close() error { return w.to.Close() }

// file copies a source that is no directory.
func (w *writer) file(ctx context.Context, s *source) error {
	if w.at.IsDir() {
		return fmt.Errorf("copying %q: there is a directory at %q, which a file does not replace", "/"+s.name, w.at.Dir+w.at.Base)
	}
	w.name = w.at.Base
	w.to = tree.Extract(tree.Directory{Top: w.at.Parent, Root: w.root, Path: w.at.Dir, Owner: w.copy.Made.Owner, Force: w.copy.Replace, Warn: w.copy.Warn})
	return errors.Join(w.copy.walk(ctx, s, w), w.Close())
}

// dir copies what is in a directory.
func (w *writer) dir(ctx context.Context, s *source) error {
	made := w.at.File == nil
	parent, base := w.at.Parent, w.at.Base
	if made {
		if err := unix.Mkdirat(int(parent.Fd()), base, 0o755); err != nil {
			return fmt.Errorf("making the directory %q: %w", w.at.Dir+base, err)
		}
	} else if !w.at.IsDir() {
		return fmt.Errorf("copying %q: there is a file at %q, which a directory does not replace", "/"+s.name, w.at.Dir+base)
	}
	top := w.at.File
	if made {
		fd, err := unix.Openat(int(parent.Fd()), base, unix.O_PATH|unix.O_NOFOLLOW|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
		if err != nil {
			return err
		}
		top = os.NewFile(uintptr(fd), base)
		defer top.Close()
	}
	w.to = tree.Extract(tree.Directory{Top: top, Root: w.root, Path: path.Join(w.at.Dir, base), Owner: w.copy.Made.Owner, Force: w.copy.Replace, Warn: w.copy.Warn})
	if err := errors.Join(w.copy.walk(ctx, s, w), w.Close()); err != nil {
		return err
	}
	if w.top == nil { // only something in it was picked
		return nil
	}
	m := Made{Time: &w.top.ModTime}
	if !made {
		return dress(int(parent.Fd()), base, nil, m)
	}
	if m.Owner = w.copy.Made.Owner; m.Owner == nil {
		m.Owner = &tree.Owner{UID: w.top.UID, GID: w.top.GID}
	}
	return dress(int(parent.Fd()), base, &w.top.Mode, m)
}

// fileMode is a stat(2) mode in Go's way, unixMode the reverse for its permissions.
func fileMode(m uint32) os.FileMode {
	out := os.FileMode(m & 0o777)
	for bit, flag := range map[uint32]os.FileMode{unix.S_ISUID: os.ModeSetuid, unix.S_ISGID: os.ModeSetgid, unix.S_ISVTX: os.ModeSticky} {
		if m&bit != 0 {
			out |= flag
		}
	}
	if m&unix.S_IFMT == unix.S_IFDIR {
		out |= os.ModeDir
	}
	return out
}

func unixMode(m os.FileMode) uint32 {
	out := uint32(m.Perm())
	for bit, flag := range map[uint32]os.FileMode{unix.S_ISUID: os.ModeSetuid, unix.S_ISGID: os.ModeSetgid, unix.S_ISVTX: os.ModeSticky} {
		if m&flag != 0 {
			out |= bit
		}
	}
	return out
}
