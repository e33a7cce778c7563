package tree

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"

	"golang.org/x/sys/unix"
)

// errDevice says that a device could not be made.
var errDevice = errors.New("it is a device, which only root can make")

// create makes a file that is no directory; EEXIST when the name is taken.
func (x *extract) create(ctx context.Context, parent int, base string, n *Node) error {
	switch {
	case n.Same != "":
		return x.link(parent, base, n)
	case n.Type() == unix.S_IFREG:
		fd, err := unix.Openat(parent, base, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0o600)
		if err != nil {
			return err
		}
		f := os.NewFile(uintptr(fd), n.Name)
		defer f.Close()
		if err := x.fill(ctx, f, n); err != nil {
			return errors.Join(err, unix.Unlinkat(parent, base, 0))
		}
		return nil
	case n.Type() == unix.S_IFLNK:
		if err := unix.Symlinkat(n.Target, parent, base); err != nil {
			return err
		}
	default:
		err := unix.Mknodat(parent, base, n.Mode, int(n.Rdev))
		if err == unix.EPERM {
			return errDevice
		}
		if err != nil {
			return err
		}
		if err := unix.Fchmodat(parent, base, n.Mode&0o7777, 0); err != nil {
			return err
		}
	}
	uid, gid := x.ownerOf(n)
	if err := unix.Fchownat(parent, base, uid, gid, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return ownerError(uid, gid, err)
	}
	t := unix.NsecToTimespec(n.ModTime.UnixNano())
	return unix.UtimesNanoAt(parent, base, []unix.Timespec{t, t}, unix.AT_SYMLINK_NOFOLLOW)
}

// link makes a further name of a file that was made before.
func (x *extract) link(parent int, base string, n *Node) error {
	dir, err := x.lookup(path.Dir(n.Same))
	if err != nil {
		return fmt.Errorf("opening the directory of %q, which it is another name of: %w", n.Same, err)
	}
	defer unix.Close(dir)
	err = unix.Linkat(dir, path.Base(n.Same), parent, base, 0)
	if err != nil && err != unix.EEXIST {
		return fmt.Errorf("making it another name of %q: %w", n.Same, err)
	}
	return err
}

// overwrite writes into a file that can't be replaced.
func (x *extract) overwrite(ctx context.Context, parent int, base string, n *Node) error {
	h, err := unix.Openat(parent, base, unix.O_PATH|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(h)
	var st unix.Stat_t
	if err := unix.Fstat(h, &st); err != nil || st.Mode&unix.S_IFMT != unix.S_IFREG {
		return unix.EBUSY
	}
	fd, err := unix.Open(self(h), unix.O_WRONLY|unix.O_TRUNC|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	f := os.NewFile(uintptr(fd), n.Name)
	defer f.Close()
	return copyContent(ctx, f, n.Content, n.Size)
}

// fill writes a new file's content and attributes.
func (x *extract) fill(ctx context.Context, f *os.File, n *Node) error {
	if err := copySparse(ctx, f, n); err != nil {
		return err
	}
	if err := x.dress(int(f.Fd()), n); err != nil {
		return err
	}
	t := unix.NsecToTimespec(n.ModTime.UnixNano())
	return unix.UtimesNanoAt(unix.AT_FDCWD, self(int(f.Fd())), []unix.Timespec{t, t}, 0)
}

// copySparse copies the content; where it comes from a file with holes, without them.
func copySparse(ctx context.Context, f *os.File, n *Node) error {
	src, ok := n.Content.(*os.File)
	var st unix.Stat_t
	if !ok || unix.Fstat(int(src.Fd()), &st) != nil || st.Blocks*512 >= n.Size {
		return copyContent(ctx, f, n.Content, n.Size)
	}
	if err := f.Truncate(n.Size); err != nil {
		return err
	}
	for at := int64(0); at < n.Size; {
		data, err := src.Seek(at, unix.SEEK_DATA)
		if errors.Is(err, unix.ENXIO) {
			return nil // there is none behind
		}
		if err != nil {
			return err
		}
		hole, err := src.Seek(data, unix.SEEK_HOLE)
		if err != nil {
			return err
		}
		at = min(hole, n.Size)
		if data >= n.Size {
			return nil
		}
		if _, err := src.Seek(data, io.SeekStart); err != nil {
			return err
		}
		if _, err := f.Seek(data, io.SeekStart); err != nil {
			return err
		}
		if err := copyContent(ctx, f, src, at-data); err != nil {
			return err
		}
	}
	return nil
}

func (x *extract) ownerOf(n *Node) (int, int) {
	if x.Owner != nil {
		return int(x.Owner.UID), int(x.Owner.GID)
	}
	return int(n.UID), int(n.GID)
}

func ownerError(uid, gid int, err error) error {
	if errors.Is(err, unix.EINVAL) {
		return fmt.Errorf("giving it to %d:%d, which your ranges in /etc/subuid and /etc/subgid do not reach: %w", uid, gid, err)
	}
	return fmt.Errorf("giving it to %d:%d: %w", uid, gid, err)
}

// dress sets owner, mode and extended attributes. The kernel takes the set-id bits and capabilities away when the owner
// changes, so that comes first.
func (x *extract) dress(fd int, n *Node) error {
	uid, gid := x.ownerOf(n)
	if err := unix.Fchown(fd, uid, gid); err != nil {
		return ownerError(uid, gid, err)
	}
	if err := unix.Fchmod(fd, n.Mode&0o7777); err != nil {
		return err
	}
	for name, value := range n.Xattrs {
		err := unix.Fsetxattr(fd, name, []byte(value), 0)
		if (err == unix.ENOTSUP || err == unix.EPERM) && !x.lossy {
			x.lossy = true
			x.Warn(fmt.Errorf("%q and perhaps others lose the attribute %q: %w", n.Name, name, err))
		} else if err != nil && err != unix.ENOTSUP && err != unix.EPERM {
			return fmt.Errorf("setting the attribute %q: %w", name, err)
		}
	}
	return nil
}
