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
	pick  Pick
	links map[inode]string // the names of files that have several
	dev   uint64           // of the last directory
}

// Pick tells what of a tree is taken: the file itself, and, of a directory, what is in it.
type Pick func(name string, dir bool) (take, enter bool, err error)

// All is the Pick of a whole tree.
func All(string, bool) (take, enter bool, err error) { return true, true, nil }

type inode struct{ dev, ino uint64 }

// Walk puts into sink the tree whose top is the file behind the handle top, under the given name. Sockets, which no tree
// can hold, are left out with a word to warn. Names of one directory come in order.
func Walk(ctx context.Context, top *os.File, name string, sink Sink, warn func(error)) error {
	return WalkSome(ctx, top, name, All, sink, warn)
}

// WalkSome is Walk of what is picked.
func WalkSome(ctx context.Context, top *os.File, name string, pick Pick, sink Sink, warn func(error)) error {
	var fs unix.Statfs_t
	if err := unix.Fstatfs(int(top.Fd()), &fs); err == nil && kernelFS(int64(fs.Type)) {
		return fmt.Errorf("reading %q: %w", name, ErrKernelFile)
	}
	var st unix.Stat_t
	if err := unix.Fstat(int(top.Fd()), &st); err != nil {
		return fmt.Errorf("reading %q: %w", name, err)
	}
	w := &walker{sink: sink, warn: warn, pick: pick, links: map[inode]string{}, dev: uint64(st.Dev)}
	return w.visit(ctx, int(top.Fd()), name)
}

// ErrKernelFile says that a tree begins within procfs, sysfs or the like.
var ErrKernelFile = errors.New("it is a file that the kernel makes while it is read, as in /proc and /sys, which has no size; read it with exec and cat")

// kernelFS tells whether a file system's files are the kernel's own (statfs(2) names the numbers). What is in them is
// endless, and no part of a tree.
func kernelFS(magic int64) bool {
	switch magic {
	case unix.PROC_SUPER_MAGIC, unix.SYSFS_MAGIC, unix.CGROUP_SUPER_MAGIC, unix.CGROUP2_SUPER_MAGIC, unix.DEVPTS_SUPER_MAGIC, unix.DEBUGFS_MAGIC,
		unix.TRACEFS_MAGIC, unix.SECURITYFS_MAGIC, unix.BPF_FS_MAGIC, unix.BINFMTFS_MAGIC, unix.SELINUX_MAGIC, unix.EFIVARFS_MAGIC:
		return true
	}
	return false
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
	n := &Node{Name: name, Mode: st.Mode, UID: st.Uid, GID: st.Gid, ModTime: time.Unix(st.Mtim.Sec, st.Mtim.Nsec), Rdev: uint64(st.Rdev), Stat: &st}
	take, enter, err := w.pick(name, n.Type() == unix.S_IFDIR)
	if err != nil || !take && (!enter || n.Type() != unix.S_IFDIR) {
		return err
	}
	if n.Type() != unix.S_IFDIR && st.Nlink > 1 {
		id := inode{uint64(st.Dev), st.Ino}
		if n.Same = w.links[id]; n.Same != "" {
			return w.sink.Put(ctx, n)
		}
		w.links[id] = name
	}
	n.Passed, n.Empty = !take, !enter
	switch n.Type() {
	case unix.S_IFREG, unix.S_IFDIR:
		if dev := uint64(st.Dev); dev != w.dev { // something is mounted here
			var fs unix.Statfs_t
			if err := unix.Fstatfs(fd, &fs); err == nil && kernelFS(int64(fs.Type)) {
				if n.Type() == unix.S_IFDIR {
					return w.sink.Put(ctx, n) // empty
				}
				return nil
			}
			defer func(dev uint64) { w.dev = dev }(w.dev)
			w.dev = dev
		}
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
	if err := w.sink.Put(ctx, n); err != nil || n.Empty {
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
		if errors.Is(err, errDevice) {
			w.warn(fmt.Errorf("%w; it is left out", err))
			err = nil
		}
		if err != nil {
			return err
		}
	}
	return nil
}
