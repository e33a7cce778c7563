// Package outfile owns the writing of a file that has its name only when it is whole. It runs in the programs that write
// archives, as the invoking user or as uid 0 of the user's namespace.
package outfile

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// Write fills a file that only has its name when it is whole: one that is there stays as it is until then, and nothing is
// left on an error or when the process is killed. What is there and no regular file is written to.
func Write(name string, perm os.FileMode, fill func(io.Writer) error) error {
	if st, err := os.Stat(name); err == nil && !st.Mode().IsRegular() {
		f, err := os.OpenFile(name, os.O_WRONLY, 0)
		if err != nil {
			return fmt.Errorf("writing the archive: %w", err)
		}
		return errors.Join(fill(f), f.Close())
	}
	f, err := os.OpenFile(filepath.Dir(name), os.O_WRONLY|unix.O_TMPFILE, perm)
	if err != nil {
		return writeNamed(name, perm, fill) // a file system without nameless files
	}
	err = fill(f)
	if err == nil {
		err = give(f, name)
	}
	return errors.Join(err, f.Close())
}

// partial is the name a file has before its own.
func partial(name string) string { return fmt.Sprintf("%s.part-%d", name, os.Getpid()) }

// give gives a nameless file its name. No call replaces a file by a nameless one, so it has another name in between.
func give(f *os.File, name string) error {
	tmp := partial(name)
	if err := unix.Linkat(unix.AT_FDCWD, fmt.Sprintf("/proc/self/fd/%d", f.Fd()), unix.AT_FDCWD, tmp, unix.AT_SYMLINK_FOLLOW); err != nil {
		return fmt.Errorf("naming the archive: %w", &os.PathError{Op: "link", Path: tmp, Err: err})
	}
	if err := os.Rename(tmp, name); err != nil {
		return errors.Join(fmt.Errorf("naming the archive: %w", err), os.Remove(tmp))
	}
	return nil
}

func writeNamed(name string, perm os.FileMode, fill func(io.Writer) error) error {
	tmp := partial(name)
	f, err := os.OpenFile(tmp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, perm)
	if err != nil {
		return fmt.Errorf("writing the archive: %w", err)
	}
	err = errors.Join(fill(f), f.Close())
	if err == nil {
		err = os.Rename(tmp, name)
	}
	if err != nil {
		return errors.Join(err, os.Remove(tmp))
	}
	return nil
}
