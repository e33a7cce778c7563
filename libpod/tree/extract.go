package tree

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path"
	"strings"

	"github.com/cyphar/filepath-securejoin/pathrs-lite"
	"golang.org/x/sys/unix"
)

// Owner is whom extracted files belong to.
type Owner struct{ UID, GID uint32 }

// Directory is where a tree goes.
type Directory struct {
	Top   *os.File // a handle of the directory
	Root  *os.File // symbolic links on the way of an archive's members resolve in here; nil: they are refused
	Path  string   // of Top in Root
	Owner *Owner   // nil: the nodes' own
	Force bool     // replace a directory by a file, and a file by a directory
	Warn  func(error)
}

// extract is a Sink that makes the files.
type extract struct {
	Directory
	dir    string // the directory of the last node
	parent int    // its handle; -1: none is open
	open   []made
	lossy  bool // a warning of attributes has been given
}

// made is a directory whose time is to be set when everything is in it.
type made struct {
	name string
	fd   int
	time [2]unix.Timespec
}

// Extract is a Sink that makes a tree in a directory. What is there is replaced, but a directory is never replaced by
// another kind of file, nor another kind of file by a directory: directories are merged.
func Extract(d Directory) Sink { return &extract{Directory: d, parent: -1} }

func (x *extract) Put(ctx context.Context, n *Node) error {
	if n.Name == "." {
		return nil // it is there, and stays as it is
	}
	if err := x.leave(n.Name); err != nil {
		return err
	}
	parent, err := x.enter(path.Dir(n.Name))
	if err != nil {
		return fmt.Errorf("opening the directory of %q: %w", n.Name, err)
	}
	if err := x.make(ctx, parent, path.Base(n.Name), n); err != nil {
		return fmt.Errorf("writing %q: %w", n.Name, err)
	}
	return nil
}

func (x *extract) Close() error {
	err := x.leave("")
	if x.parent >= 0 {
		unix.Close(x.parent)
	}
	return err
}

// leave sets the time of the directories that name is not in.
func (x *extract) leave(name string) error {
	for len(x.open) > 0 {
		last := x.open[len(x.open)-1]
		if strings.HasPrefix(name, last.name+"/") {
			return nil
		}
		x.open = x.open[:len(x.open)-1]
		err := unix.UtimesNanoAt(unix.AT_FDCWD, self(last.fd), last.time[:], 0)
		unix.Close(last.fd)
		if err != nil && err != unix.EPERM && err != unix.EROFS { // one that was there, and is another user's
			return fmt.Errorf("setting the time of %q: %w", last.name, err)
		}
	}
	return nil
}

// enter is a handle of the directory dir, which stays the sink's.
func (x *extract) enter(dir string) (int, error) {
	if x.parent >= 0 && x.dir == dir {
		return x.parent, nil
	}
	fd, err := x.lookup(dir)
	if err != nil {
		return -1, err
	}
	if x.parent >= 0 {
		unix.Close(x.parent)
	}
	x.dir, x.parent = dir, fd
	return fd, nil
}

func (x *extract) lookup(dir string) (int, error) {
	top := int(x.Top.Fd())
	fd, err := openat2(top, dir, unix.O_PATH|unix.O_DIRECTORY, unix.RESOLVE_BENEATH|unix.RESOLVE_NO_SYMLINKS)
	if err == unix.ELOOP && x.Root != nil {
		fd, err = openat2(int(x.Root.Fd()), x.Path+"/"+dir, unix.O_PATH|unix.O_DIRECTORY, unix.RESOLVE_IN_ROOT|unix.RESOLVE_NO_MAGICLINKS)
	}
	if err != unix.ENOENT {
		return fd, err
	}
	// An archive need not have the directories of its members.
	root, name := x.Top, dir
	if x.Root != nil {
		root, name = x.Root, x.Path+"/"+dir
	}
	h, err := pathrs.MkdirAllHandle(root, name, 0o755)
	if err != nil {
		return -1, err
	}
	defer h.Close()
	return unix.FcntlInt(h.Fd(), unix.F_DUPFD_CLOEXEC, 0)
}

func openat2(dir int, name string, flags, resolve uint64) (int, error) {
	how := &unix.OpenHow{Flags: flags | unix.O_CLOEXEC, Resolve: resolve}
	for range 128 {
		// EAGAIN: a rename or mount elsewhere on the system raced with "..".
		fd, err := unix.Openat2(dir, name, how)
		if err != unix.EAGAIN && err != unix.EINTR {
			return fd, err
		}
	}
	return -1, unix.EAGAIN
}

// make makes one file, after what is in its place has gone.
func (x *extract) make(ctx context.Context, parent int, base string, n *Node) error {
	if n.Type() == unix.S_IFDIR {
		return x.makeDir(parent, base, n)
	}
	err := x.create(ctx, parent, base, n)
	if err != unix.EEXIST {
		return err
	}
	if mounted(parent, base) {
		if n.Type() != unix.S_IFREG || n.Same != "" {
			return errors.New("something is mounted there, which can't be replaced")
		}
		return x.overwrite(ctx, parent, base, n)
	}
	err = unix.Unlinkat(parent, base, 0)
	switch {
	case (err == unix.EISDIR || err == unix.EPERM && isDir(parent, base)) && x.Force:
		if err := removeTree(parent, base); err != nil {
			return fmt.Errorf("removing what is there: %w", err)
		}
	case err == unix.EISDIR || err == unix.EPERM && isDir(parent, base):
		return errors.New("there is a directory, which only a directory is merged with; remove it first")
	case err != nil && err != unix.ENOENT:
		return fmt.Errorf("removing what is there: %w", err)
	}
	return x.create(ctx, parent, base, n)
}

// mounted tells whether something is mounted on a file. Removing the file from another mount namespace than the mount's
// would take the mount away with it.
func mounted(parent int, base string) bool {
	var st unix.Statx_t
	err := unix.Statx(parent, base, unix.AT_SYMLINK_NOFOLLOW, 0, &st)
	return err == nil && st.Attributes&unix.STATX_ATTR_MOUNT_ROOT != 0
}

// removeTree removes a directory with all that is in it; no link is followed.
func removeTree(parent int, base string) error {
	fd, err := unix.Openat(parent, base, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	dir := os.NewFile(uintptr(fd), base)
	defer dir.Close()
	names, err := dir.Readdirnames(-1)
	if err != nil {
		return err
	}
	for _, name := range names {
		if err = unix.Unlinkat(fd, name, 0); err == unix.EISDIR {
			err = removeTree(fd, name)
		}
		if err != nil && err != unix.ENOENT {
			return fmt.Errorf("%q: %w", name, err)
		}
	}
	return unix.Unlinkat(parent, base, unix.AT_REMOVEDIR)
}

// Remove removes a file by its name in a directory, and if it is a directory all that is in it; no link is followed.
func Remove(parent *os.File, base string) error {
	err := unix.Unlinkat(int(parent.Fd()), base, 0)
	if err == unix.EISDIR || err == unix.EPERM && isDir(int(parent.Fd()), base) {
		return removeTree(int(parent.Fd()), base)
	}
	return err
}

func isDir(parent int, base string) bool {
	var st unix.Stat_t
	return unix.Fstatat(parent, base, &st, unix.AT_SYMLINK_NOFOLLOW) == nil && st.Mode&unix.S_IFMT == unix.S_IFDIR
}

func (x *extract) makeDir(parent int, base string, n *Node) error {
	err := unix.Mkdirat(parent, base, 0o700)
	if err != nil && err != unix.EEXIST {
		return err
	}
	there := err != nil
	if there && x.Force && !isDir(parent, base) {
		if err := errors.Join(unix.Unlinkat(parent, base, 0), unix.Mkdirat(parent, base, 0o700)); err != nil {
			return fmt.Errorf("removing what is there: %w", err)
		}
	}
	fd, err := unix.Openat(parent, base, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err == unix.ENOTDIR || err == unix.ELOOP {
		return errors.New("there is a file that is no directory, which a directory can't replace; remove it first")
	}
	if err != nil {
		return err
	}
	err = x.dress(fd, n)
	if err != nil && !(there && (errors.Is(err, unix.EPERM) || errors.Is(err, unix.EROFS))) {
		unix.Close(fd)
		return err
	}
	t := unix.NsecToTimespec(n.ModTime.UnixNano())
	x.open = append(x.open, made{n.Name, fd, [2]unix.Timespec{t, t}})
	return nil
}
