package perform

import (
	"os"

	"golang.org/x/sys/unix"
)

// copyTree copies what a tmpfs is about to cover into it. Names are read and opened relative to directory
// handles, without following links.
func copyTree(from, to int) error {
	src, err := unix.Openat(from, ".", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	dir := os.NewFile(uintptr(src), "source")
	defer dir.Close()
	if err := copyMeta(src, to, ".", true); err != nil {
		return err
	}
	names, err := dir.Readdirnames(-1)
	if err != nil {
		return err
	}
	for _, name := range names {
		if err := copyEntry(src, to, name); err != nil {
			return err
		}
	}
	return nil
}

func copyEntry(src, to int, name string) error {
	var st unix.Stat_t
	if err := unix.Fstatat(src, name, &st, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return err
	}
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFDIR:
		if err := unix.Mkdirat(to, name, 0o700); err != nil {
			return err
		}
		a, err := unix.Openat(src, name, unix.O_PATH|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
		if err != nil {
			return err
		}
		defer unix.Close(a)
		b, err := unix.Openat(to, name, unix.O_PATH|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
		if err != nil {
			return err
		}
		defer unix.Close(b)
		return copyTree(a, b)
	case unix.S_IFLNK:
		b := make([]byte, unix.PathMax)
		n, err := unix.Readlinkat(src, name, b)
		if err != nil {
			return err
		}
		if err := unix.Symlinkat(string(b[:n]), to, name); err != nil {
			return err
		}
		return unix.Fchownat(to, name, int(st.Uid), int(st.Gid), unix.AT_SYMLINK_NOFOLLOW)
	case unix.S_IFREG:
		return copyFile(src, to, name, &st)
	default:
		if err := unix.Mknodat(to, name, st.Mode, int(st.Rdev)); err != nil {
			return err
		}
		return unix.Fchownat(to, name, int(st.Uid), int(st.Gid), unix.AT_SYMLINK_NOFOLLOW)
	}
}

func copyFile(src, to int, name string, st *unix.Stat_t) error {
	a, err := unix.Openat(src, name, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	in := os.NewFile(uintptr(a), name)
	defer in.Close()
	b, err := unix.Openat(to, name, unix.O_CREAT|unix.O_EXCL|unix.O_WRONLY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return err
	}
	out := os.NewFile(uintptr(b), name)
	defer out.Close()
	if _, err := out.ReadFrom(in); err != nil {
		return err
	}
	if err := unix.Fchown(b, int(st.Uid), int(st.Gid)); err != nil {
		return err
	}
	return unix.Fchmod(b, st.Mode&0o7777)
}

func copyMeta(src, dir int, name string, keepMode bool) error {
	var st unix.Stat_t
	if err := unix.Fstat(src, &st); err != nil {
		return err
	}
	if err := unix.Fchownat(dir, name, int(st.Uid), int(st.Gid), 0); err != nil {
		return err
	}
	if !keepMode {
		return nil
	}
	return unix.Fchmodat(dir, name, st.Mode&0o7777, 0)
}
