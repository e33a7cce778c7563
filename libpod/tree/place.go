package tree

import (
	"errors"
	"fmt"
	"os"
	"path"
	"strings"

	"golang.org/x/sys/unix"
)

// Place is a path that was looked up in a root.
type Place struct {
	Root   *os.File // a handle of the root
	Parent *os.File // of the directory that the file is in, or would be
	Dir    string   // Parent's path in the root
	Name   string   // what the file is called in the path that was looked up; "." for the root
	Base   string   // the file's name in Parent; "." for the root itself
	File   *os.File // a handle of the file; nil: there is none
	Mode   uint32   // of the file, type included
	AsDir  bool     // the path was written as that of a directory: it ends in "/" or "/."
	Whole  bool     // it ends in "/.": what is in the directory is meant
}

// IsDir tells whether the file is a directory.
func (p *Place) IsDir() bool { return p.File != nil && p.Mode&unix.S_IFMT == unix.S_IFDIR }

// Close closes the handles but the root's.
func (p *Place) Close() {
	if p.Parent != nil {
		p.Parent.Close()
	}
	if p.File != nil {
		p.File.Close()
	}
}

// maxLinks bounds the symbolic links followed at the end of a path, as the kernel bounds those within.
const maxLinks = 40

// Find looks name up in root, from which no symbolic link leads out. A symbolic link at its end is followed with follow,
// or when the path is written as that of a directory. That the file is missing is no error, but that its directory is.
func Find(root *os.File, name string, follow bool) (*Place, error) {
	p := &Place{Root: root}
	if p.Name = path.Base(path.Clean("/" + name)); p.Name == "/" {
		p.Name, p.Whole = ".", true
	}
	bare := strings.TrimRight(name, "/")
	p.Whole = p.Whole || bare == "." || strings.HasSuffix(bare, "/.")
	p.AsDir = p.Whole || bare != name
	at := path.Clean("/" + name)
	for range maxLinks {
		target, err := p.at(at)
		if err != nil {
			p.Close()
			return nil, err
		}
		if target == "" || !follow && !p.AsDir {
			return p, nil
		}
		p.Close()
		p.AsDir = p.AsDir || strings.HasSuffix(target, "/")
		if at = target; !path.IsAbs(target) {
			at = p.Dir + target // not cleaned: what ".." means depends on the links before it
		}
	}
	return nil, fmt.Errorf("looking up %q: %w", name, unix.ELOOP)
}

// at opens what is at the absolute path name, and returns its target if it is a symbolic link.
func (p *Place) at(name string) (target string, err error) {
	p.Dir, p.Base = path.Split(strings.TrimRight(name, "/"))
	if p.File = nil; p.Base == "" || p.Base == ".." {
		p.Dir, p.Base = "/"+strings.TrimLeft(name, "/"), "."
	}
	parent, err := openat2(int(p.Root.Fd()), p.Dir, unix.O_PATH|unix.O_DIRECTORY, inRoot)
	if err != nil {
		return "", fmt.Errorf("looking up the directory %q: %w", p.Dir, err)
	}
	p.Parent = os.NewFile(uintptr(parent), p.Dir)
	fd, err := unix.Openat(parent, p.Base, unix.O_PATH|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if errors.Is(err, unix.ENOENT) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("looking up %q: %w", name, err)
	}
	p.File = os.NewFile(uintptr(fd), name)
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return "", fmt.Errorf("looking up %q: %w", name, err)
	}
	if p.Mode = st.Mode; st.Mode&unix.S_IFMT != unix.S_IFLNK {
		return "", nil
	}
	buf := make([]byte, unix.PathMax)
	n, err := unix.Readlinkat(fd, "", buf)
	if err != nil {
		return "", fmt.Errorf("looking up %q: %w", name, err)
	}
	return string(buf[:n]), nil
}

const inRoot = unix.RESOLVE_IN_ROOT | unix.RESOLVE_NO_MAGICLINKS

// Within tells whether the directory dir is the directory of, or in it.
func Within(dir, of *os.File) (bool, error) {
	var want, st, last unix.Stat_t
	if err := unix.Fstat(int(of.Fd()), &want); err != nil {
		return false, err
	}
	fd, err := unix.FcntlInt(dir.Fd(), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return false, err
	}
	defer func() { unix.Close(fd) }()
	for {
		if err := unix.Fstat(fd, &st); err != nil {
			return false, err
		}
		if st.Dev == want.Dev && st.Ino == want.Ino {
			return true, nil
		}
		if st.Dev == last.Dev && st.Ino == last.Ino {
			return false, nil // the root, whose parent is itself
		}
		last = st
		up, err := unix.Openat(fd, "..", unix.O_PATH|unix.O_CLOEXEC, 0)
		if err != nil {
			return false, err
		}
		unix.Close(fd)
		fd = up
	}
}
