package volume

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// openDir opens a directory, not through a link.
func openDir(at int, name string) (*os.File, error) {
	fd, err := unix.Openat(at, name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: name, Err: err}
	}
	return os.NewFile(uintptr(fd), name), nil
}

// mergeInto moves what is in from into the directory data, and gives that from's owner, mode and time. A container may
// work in data meanwhile: everything goes through handles and no link is followed.
func mergeInto(from *os.File, data string, replace bool) error {
	to, err := openDir(unix.AT_FDCWD, data)
	if err != nil {
		return err
	}
	defer to.Close()
	return merge(from, to, replace)
}

// mergeable tells whether what is in from can replace what is in data: a file does not replace a directory.
func mergeable(from, data string) error {
	return filepath.WalkDir(from, func(p string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		name, err := filepath.Rel(from, p)
		if err != nil {
			return err
		}
		if there, err := os.Lstat(filepath.Join(data, name)); err == nil && there.IsDir() {
			return fmt.Errorf("%q is a directory in the volume, and none in what is to replace it; remove it first", name)
		}
		return nil
	})
}

func merge(from, to *os.File, replace bool) error {
	names, err := from.Readdirnames(-1)
	if err != nil {
		return err
	}
	for _, n := range names {
		if err := moveEntry(from, to, n, replace); err != nil {
			return &os.PathError{Op: "move", Path: n, Err: err}
		}
	}
	return copyMeta(int(from.Fd()), int(to.Fd()))
}

func moveEntry(from, to *os.File, name string, replace bool) error {
	a, b := int(from.Fd()), int(to.Fd())
	err := unix.Renameat2(a, name, b, name, unix.RENAME_NOREPLACE)
	if err != unix.EEXIST {
		return err
	}
	var mine, theirs unix.Stat_t
	if err := unix.Fstatat(a, name, &mine, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return err
	}
	if err := unix.Fstatat(b, name, &theirs, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return err
	}
	isDir := func(st *unix.Stat_t) bool { return st.Mode&unix.S_IFMT == unix.S_IFDIR }
	switch {
	case isDir(&mine) && isDir(&theirs):
		sub, err := openDir(a, name)
		if err != nil {
			return err
		}
		defer sub.Close()
		into, err := openDir(b, name)
		if err != nil {
			return err
		}
		defer into.Close()
		if replace {
			err = merge(sub, into, true)
		} else {
			err = mergeBelow(sub, into)
		}
		return err
	case !replace:
		return nil // it goes with the journal
	case isDir(&theirs):
		return nil // mergeable has looked: a container made it since, and keeps it
	case isDir(&mine):
		if err := unix.Unlinkat(b, name, 0); err != nil {
			return err
		}
	}
	return unix.Renameat(a, name, b, name)
}

// mergeBelow is merge that leaves the directory itself as it is.
func mergeBelow(from, to *os.File) error {
	names, err := from.Readdirnames(-1)
	if err != nil {
		return err
	}
	for _, n := range names {
		if err := moveEntry(from, to, n, false); err != nil {
			return &os.PathError{Op: "move", Path: n, Err: err}
		}
	}
	return nil
}
