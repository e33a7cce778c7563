package tree

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path"
	"slices"
	"time"

	"golang.org/x/sys/unix"
)

// walker reads a tree from a file system.
type walker struct {
	sink  Sink
	warn  func(error)
	links map[inode]string // the names of files that have several
}

type inode struct{ dev, ino uint64 }

// Walk puts into sink the tree whose top is the file behind the handle top, under the given name. Sockets, which no tree
// can hold, are left out with a word to warn. Names of one directory come in order.
func Walk(ctx context.Context, top *os.File, name string, sink Sink, warn func(error)) error {
	w := &walker{sink: sink, warn: warn, links: map[inode]string{}}
	return w.visit(ctx, int(top.Fd()), name)
}

// visit puts the file behind the handle fd and, if it is a directory, what is in it.
func (w *walker) visit(ctx context.Context, fd int, name string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return fmt.Errorf("reading %q: %w", name, err)
	}
	n := &Node{Name: name, Mode: st.Mode, UID: st.Uid, GID: st.Gid, ModTime: time.Unix(st.Mtim.Sec, st.Mtim.Nsec), Rdev: uint64(st.Rdev)}
	if n.Type() != unix.S_IFDIR && st.Nlink > 1 {
		id := inode{uint64(st.Dev), st.Ino}
		if n.Same = w.links[id]; n.Same != "" {
			return w.sink.Put(ctx, n)
		}
		w.links[id] = name
	}
	switch n.Type() {
	case unix.S_IFREG, unix.S_IFDIR:
		return w.open(ctx, fd, n, st.Size)
	case unix.S_IFLNK:
		buf := make([]byte, unix.PathMax)
		l, err := unix.Readlinkat(fd, "", buf)
		if err != nil {
			return fmt.Errorf("reading the symbolic link %q: %w", name, err)
		}
		n.Target = string(buf[:l])
	case unix.S_IFSOCK:
		w.warn(fmt.Errorf("%q is left out: it is a socket", name))
		return nil
	}
	return w.sink.Put(ctx, n)
}

// open puts a regular file or a directory. What is behind the handle is known: opening a device has effects.
func (w *walker) open(ctx context.Context, fd int, n *Node, size int64) error {
	flags := unix.O_RDONLY
	if n.Type() == unix.S_IFDIR {
		flags |= unix.O_DIRECTORY
	}
	ofd, err := unix.Open(self(fd), flags|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("opening %q: %w", n.Name, err)
	}
	f := os.NewFile(uintptr(ofd), n.Name)
	defer f.Close()
	n.Xattrs = xattrs(ofd)
	if n.Type() == unix.S_IFREG {
		n.Size, n.Content = size, f
		return w.sink.Put(ctx, n)
	}
	if err := w.sink.Put(ctx, n); err != nil {
		return err
	}
	names, err := f.Readdirnames(-1)
	if err != nil {
		return fmt.Errorf("reading the directory %q: %w", n.Name, errors.Unwrap(err))
	}
	slices.Sort(names)
	for _, base := range names {
		child, err := unix.Openat(ofd, base, unix.O_PATH|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
		if err == unix.ENOENT {
			continue // removed meanwhile
		}
		name := path.Join(n.Name, base)
		if err != nil {
			return fmt.Errorf("opening %q: %w", name, err)
		}
		err = w.visit(ctx, child, name)
		unix.Close(child)
		if err != nil {
			return err
		}
	}
	return nil
}
