// Package tree owns the copying of file trees: from directories and archives into directories and archives, one node at
// a time, with memory that does not grow with the tree. It reaches files only through handles of their directories, so
// that no symbolic link, and no process that exchanges files meanwhile, leads it outside. Where a tree begins and what
// it is called is the caller's. It runs in proa, as root or as uid 0 of the user's namespace.
package tree

import (
	"context"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Node is one file of a tree.
type Node struct {
	Name     string // slash-separated, beneath the tree's top; "." is the top
	Mode     uint32 // as stat(2) has it, type included
	UID, GID uint32
	Size     int64 // of a regular file
	ModTime  time.Time
	Target   string // of a symbolic link
	Same     string // the Name of an earlier node that this is a further name of
	Rdev     uint64
	Xattrs   map[string]string
	Content  io.Reader    // of a regular file: an *os.File when it is one
	Stat     *unix.Stat_t // of a file that was walked to
	Passed   bool         // a directory that is not picked, while something in it may be
	Empty    bool         // a directory that is picked without what is in it
}

// Type is the node's S_IFMT bits.
func (n *Node) Type() uint32 { return n.Mode & unix.S_IFMT }

// Sink takes a tree. Directories come before what is in them.
type Sink interface {
	Put(ctx context.Context, n *Node) error
	// Close completes what was put. It is not called after an error.
	Close() error
}

// self is a path of the handle f, for system calls that take no handle.
func self(fd int) string { return "/proc/self/fd/" + strconv.Itoa(fd) }

// Reopen opens the file behind the handle f, which has been looked at: a name might lead elsewhere by now.
func Reopen(f *os.File, flags int) (*os.File, error) {
	fd, err := unix.Open(self(int(f.Fd())), flags|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fd), f.Name()), nil
}

// kept tells whether an extended attribute belongs to the file and not to where it is stored.
func kept(name string) bool {
	return name == "security.capability" || strings.HasPrefix(name, "user.") && !strings.HasPrefix(name, "user.overlay.") && !strings.HasPrefix(name, "user.fuseoverlayfs.")
}

// xattrs of an open file or directory; none where the file system has none.
func xattrs(fd int) map[string]string {
	var few [512]byte
	list := few[:]
	n, err := unix.Flistxattr(fd, list)
	if err == unix.ERANGE {
		list = make([]byte, 1<<16) // XATTR_LIST_MAX
		n, err = unix.Flistxattr(fd, list)
	}
	if err != nil || n == 0 {
		return nil
	}
	var out map[string]string
	for _, name := range strings.Split(strings.TrimRight(string(list[:n]), "\x00"), "\x00") {
		if !kept(name) {
			continue
		}
		value := make([]byte, 1<<16) // XATTR_SIZE_MAX
		n, err := unix.Fgetxattr(fd, name, value)
		if err != nil {
			continue // removed meanwhile
		}
		if out == nil {
			out = map[string]string{}
		}
		out[name] = string(value[:n])
	}
	return out
}

// chunk is how much is copied before the context is asked again.
const chunk = 4 << 20

// copyContent copies n bytes; fewer are an error.
func copyContent(ctx context.Context, w io.Writer, r io.Reader, n int64) error {
	for n > 0 {
		if err := ctx.Err(); err != nil {
			return err
		}
		done, err := io.CopyN(w, r, min(n, chunk))
		n -= done
		if err == io.EOF {
			return fmt.Errorf("it has %d bytes less than it had: %w", n, io.ErrUnexpectedEOF)
		}
		if err != nil {
			return err
		}
	}
	return nil
}
