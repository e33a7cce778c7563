package volume

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

func statOf(info fs.FileInfo) *syscall.Stat_t {
	st, _ := info.Sys().(*syscall.Stat_t)
	return st
}

// copier copies a tree. Names are read and opened relative to handles of directories and links are copied, never
// followed: nothing outside src is read, nothing outside dst written.
type copier struct {
	ctx   context.Context
	root  int // of the copy, to which links are relative
	links map[[2]uint64]string
	warn  func(error)
}

// copyDir copies what is in src, and src's owner, mode and attributes, into the empty directory dst.
func copyDir(ctx context.Context, src *os.File, dst string, warn func(error)) error {
	to, err := openDir(unix.AT_FDCWD, dst)
	if err != nil {
		return err
	}
	defer to.Close()
	c := &copier{ctx, int(to.Fd()), map[[2]uint64]string{}, warn}
	from, err := openDir(int(src.Fd()), ".") // src may be a handle that can't be read
	if err != nil {
		return err
	}
	defer from.Close()
	return c.dir(from, to, "")
}

func (c *copier) dir(from, to *os.File, at string) error {
	names, err := from.Readdirnames(-1)
	if err != nil {
		return err
	}
	for _, n := range names {
		if err := c.ctx.Err(); err != nil {
			return err
		}
		if err := c.entry(int(from.Fd()), int(to.Fd()), n, path.Join(at, n)); err != nil {
			var named *fs.PathError
			if errors.As(err, &named) {
				return err
			}
			return &fs.PathError{Op: "copy", Path: path.Join(at, n), Err: err}
		}
	}
	return copyMeta(int(from.Fd()), int(to.Fd()))
}

func (c *copier) entry(from, to int, name, at string) error {
	var st unix.Stat_t
	if err := unix.Fstatat(from, name, &st, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return err
	}
	id := [2]uint64{st.Dev, st.Ino}
	kind := st.Mode & unix.S_IFMT
	if kind != unix.S_IFDIR && st.Nlink > 1 {
		if first, ok := c.links[id]; ok {
			return unix.Linkat(c.root, first, to, name, 0)
		}
		c.links[id] = at
	}
	switch kind {
	case unix.S_IFDIR:
		return c.subdir(from, to, name, at)
	case unix.S_IFREG:
		return c.file(from, to, name, &st)
	case unix.S_IFLNK:
		b := make([]byte, unix.PathMax)
		n, err := unix.Readlinkat(from, name, b)
		if err == nil {
			err = unix.Symlinkat(string(b[:n]), to, name)
		}
		if err != nil {
			return err
		}
	default:
		err := unix.Mknodat(to, name, st.Mode, int(st.Rdev))
		if err == unix.EPERM { // a device, in a user namespace
			delete(c.links, id)
			c.warn(fmt.Errorf("%q of the image is a device, which only root can copy into a volume; it was left out", at))
			return nil
		}
		if err != nil {
			return err
		}
		if err := unix.Fchmodat(to, name, st.Mode&0o7777, 0); err != nil {
			return err
		}
	}
	if err := unix.Fchownat(to, name, int(st.Uid), int(st.Gid), unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return err
	}
	times := []unix.Timespec{st.Atim, st.Mtim}
	return unix.UtimesNanoAt(to, name, times, unix.AT_SYMLINK_NOFOLLOW)
}

func (c *copier) subdir(from, to int, name, at string) error {
	if err := unix.Mkdirat(to, name, 0o700); err != nil {
		return err
	}
	a, err := openDir(from, name)
	if err != nil {
		return err
	}
	defer a.Close()
	b, err := openDir(to, name)
	if err != nil {
		return err
	}
	defer b.Close()
	return c.dir(a, b, at)
}

func (c *copier) file(from, to int, name string, st *unix.Stat_t) error {
	a, err := unix.Openat(from, name, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	in := os.NewFile(uintptr(a), name)
	defer in.Close()
	var now unix.Stat_t
	if err := unix.Fstat(a, &now); err != nil {
		return err
	}
	if now.Mode&unix.S_IFMT != unix.S_IFREG {
		return errors.New("it changed while it was copied")
	}
	b, err := unix.Openat(to, name, unix.O_CREAT|unix.O_EXCL|unix.O_WRONLY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return err
	}
	out := os.NewFile(uintptr(b), name)
	defer out.Close()
	if err := c.content(in, out, st.Size); err != nil {
		return err
	}
	return copyMeta(a, b)
}

// chunk bounds what is copied between two looks at the context.
const chunk = 16 << 20

// content copies in's data and leaves its holes.
func (c *copier) content(in, out *os.File, size int64) error {
	if err := out.Truncate(size); err != nil {
		return err
	}
	for at := int64(0); at < size; {
		start, err := unix.Seek(int(in.Fd()), at, unix.SEEK_DATA)
		if err == unix.ENXIO { // a hole to the end
			return nil
		}
		end := size
		if err == nil {
			if end, err = unix.Seek(int(in.Fd()), start, unix.SEEK_HOLE); err != nil {
				return err
			}
		} else { // a file system without holes
			start = at
		}
		end = min(end, size)
		for at = start; at < end; {
			if err := c.ctx.Err(); err != nil {
				return err
			}
			n, err := copyRange(in, out, at, min(chunk, end-at))
			if err != nil {
				return err
			}
			if n == 0 {
				return nil // shorter than it was
			}
			at += n
		}
	}
	return nil
}

func copyRange(in, out *os.File, at, n int64) (int64, error) {
	if _, err := in.Seek(at, io.SeekStart); err != nil {
		return 0, err
	}
	if _, err := out.Seek(at, io.SeekStart); err != nil {
		return 0, err
	}
	done, err := io.CopyN(out, in, n)
	if err == io.EOF {
		err = nil
	}
	return done, err
}

// copyDirMeta is copyMeta of two directories by name.
func copyDirMeta(from, to string) error {
	a, err := openDir(unix.AT_FDCWD, from)
	if err != nil {
		return err
	}
	defer a.Close()
	b, err := openDir(unix.AT_FDCWD, to)
	if err != nil {
		return err
	}
	defer b.Close()
	return copyMeta(int(a.Fd()), int(b.Fd()))
}

// copyMeta gives the file b the owner, mode, attributes and times of a. The owner comes first: a change of owner drops
// set-id bits and file capabilities.
func copyMeta(a, b int) error {
	var st unix.Stat_t
	if err := unix.Fstat(a, &st); err != nil {
		return err
	}
	if err := unix.Fchown(b, int(st.Uid), int(st.Gid)); err != nil {
		return err
	}
	if err := unix.Fchmod(b, st.Mode&0o7777); err != nil {
		return err
	}
	if err := copyXattrs(a, b); err != nil {
		return err
	}
	return unix.UtimesNanoAt(b, "", []unix.Timespec{st.Atim, st.Mtim}, unix.AT_EMPTY_PATH)
}

// copyXattrs copies users' attributes, access lists and file capabilities; overlay's own stay behind.
func copyXattrs(a, b int) error {
	n, err := unix.Flistxattr(a, nil)
	if err != nil || n == 0 {
		return nil // a file system without
	}
	list := make([]byte, n)
	if n, err = unix.Flistxattr(a, list); err != nil {
		return err
	}
	for _, name := range strings.Split(strings.TrimRight(string(list[:n]), "\x00"), "\x00") {
		keep := strings.HasPrefix(name, "user.") && !strings.HasPrefix(name, "user.overlay.") ||
			name == "security.capability" || strings.HasPrefix(name, "system.posix_acl_")
		if !keep {
			continue
		}
		value := make([]byte, 64<<10)
		n, err := unix.Fgetxattr(a, name, value)
		if err != nil {
			return fmt.Errorf("reading the attribute %s: %w", name, err)
		}
		if err := unix.Fsetxattr(b, name, value[:n], 0); err != nil && !errors.Is(err, unix.ENOTSUP) {
			return fmt.Errorf("setting the attribute %s: %w", name, err)
		}
	}
	return nil
}
