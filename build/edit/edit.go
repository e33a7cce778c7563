// Package edit changes files in a mounted tree as LLB's file actions say: it copies, makes and removes. Every path of a
// tree is reached through a handle of its root, so that no symbolic link in an image leads outside. It knows neither the
// graph that the actions are part of nor the store, and runs in proa-build, as uid 0 of the user's namespace or as root.
package edit

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/proa-containers/proa/libpod/tree"
)

// Made is what is said of a file that is made: nil is root, and now.
type Made struct {
	Owner *tree.Owner
	Time  *time.Time
}

// Mkdir makes a directory, with parents those above it too. One that is there stays as it is.
func Mkdir(root *os.File, name string, mode uint32, parents bool, m Made) error {
	if parents {
		p, err := mkdirAll(root, name, mode, m)
		if err != nil {
			return err
		}
		p.Close()
		return nil
	}
	p, err := tree.Find(root, name, true)
	if err != nil {
		return err
	}
	defer p.Close()
	if p.File != nil {
		if !p.IsDir() {
			return fmt.Errorf("making the directory %q: %w", name, unix.EEXIST)
		}
		return nil
	}
	return makeDir(p, mode, m)
}

// mkdirAll is a directory that is made where it is not there, with those above it.
func mkdirAll(root *os.File, name string, mode uint32, m Made) (*tree.Place, error) {
	at := "/"
	for _, part := range append(strings.Split(strings.Trim(path.Clean("/"+name), "/"), "/"), "") {
		if at = path.Join(at, part); part == "" && at != "/" {
			break
		}
		p, err := tree.Find(root, at, true)
		if err != nil {
			return nil, err
		}
		if p.File == nil {
			err = makeDir(p, mode, m)
		} else if !p.IsDir() {
			err = fmt.Errorf("%q is a file and no directory", at)
		}
		p.Close()
		if err != nil {
			return nil, err
		}
	}
	return tree.Find(root, path.Clean("/"+name), true)
}

func makeDir(p *tree.Place, mode uint32, m Made) error {
	parent := int(p.Parent.Fd())
	if err := unix.Mkdirat(parent, p.Base, mode&0o7777); err != nil {
		return fmt.Errorf("making the directory %q: %w", p.Dir+p.Base, err)
	}
	return dress(parent, p.Base, &mode, m)
}

// dress gives a file that was just made its mode, owner and time; a nil mode is left.
func dress(parent int, base string, mode *uint32, m Made) error {
	if m.Owner != nil {
		if err := unix.Fchownat(parent, base, int(m.Owner.UID), int(m.Owner.GID), unix.AT_SYMLINK_NOFOLLOW); err != nil {
			return ownerError(base, *m.Owner, err)
		}
	}
	if mode != nil { // after the owner, whose change drops set-user-ID
		if err := unix.Fchmodat(parent, base, *mode&0o7777, 0); err != nil {
			return fmt.Errorf("setting the mode of %q: %w", base, err)
		}
	}
	if m.Time == nil {
		return nil
	}
	t := unix.NsecToTimespec(m.Time.UnixNano())
	if err := unix.UtimesNanoAt(parent, base, []unix.Timespec{t, t}, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return fmt.Errorf("setting the time of %q: %w", base, err)
	}
	return nil
}

func ownerError(name string, o tree.Owner, err error) error {
	if errors.Is(err, unix.EINVAL) {
		return fmt.Errorf("giving %q to %d:%d, which your ranges in /etc/subuid and /etc/subgid do not reach: %w", name, o.UID, o.GID, err)
	}
	return fmt.Errorf("giving %q to %d:%d: %w", name, o.UID, o.GID, err)
}

// Mkfile makes a file, in place of what is there.
func Mkfile(root *os.File, name string, mode uint32, data []byte, m Made) error {
	p, err := tree.Find(root, name, true)
	if err != nil {
		return err
	}
	defer p.Close()
	if p.IsDir() {
		return fmt.Errorf("making the file %q: %w", name, unix.EISDIR)
	}
	parent := int(p.Parent.Fd())
	if p.File != nil { // it may be a device, which is not to be written to
		if err := unix.Unlinkat(parent, p.Base, 0); err != nil {
			return fmt.Errorf("replacing the file %q: %w", name, err)
		}
	}
	fd, err := unix.Openat(parent, p.Base, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return fmt.Errorf("making the file %q: %w", name, err)
	}
	f := os.NewFile(uintptr(fd), name)
	_, err = f.Write(data)
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	return dress(parent, p.Base, &mode, m)
}

// Symlink makes a symbolic link.
func Symlink(root *os.File, target, name string, m Made) error {
	p, err := tree.Find(root, name, false)
	if err != nil {
		return err
	}
	defer p.Close()
	if err := unix.Symlinkat(target, int(p.Parent.Fd()), p.Base); err != nil {
		return fmt.Errorf("making the symbolic link %q: %w", name, err)
	}
	return dress(int(p.Parent.Fd()), p.Base, nil, m)
}

// Remove removes what a path, or with wildcard a pattern, names, with all that is in it.
func Remove(root *os.File, name string, wildcard, missing bool) error {
	names := []string{name}
	if wildcard {
		var err error
		if names, err = glob(From{Root: root}, name, false); err != nil {
			return err
		}
	}
	for _, n := range names {
		if err := remove(root, n, missing); err != nil {
			return fmt.Errorf("removing %q: %w", n, err)
		}
	}
	return nil
}

func remove(root *os.File, name string, missing bool) error {
	p, err := tree.Find(root, path.Clean("/"+name), false)
	if missing && (errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENOTDIR)) {
		return nil
	}
	if err != nil {
		return err
	}
	defer p.Close()
	switch {
	case p.File == nil && missing:
		return nil
	case p.File == nil:
		return unix.ENOENT
	case p.Base == ".":
		return errors.New("it is the root")
	}
	return tree.Remove(p.Parent, p.Base)
}

// Write makes a file of what r has.
func Write(ctx context.Context, root *os.File, name string, mode uint32, r io.Reader, m Made) error {
	if err := Mkfile(root, name, mode|0o200, nil, Made{}); err != nil {
		return err
	}
	p, err := tree.Find(root, name, false)
	if err != nil {
		return err
	}
	defer p.Close()
	f, err := tree.Reopen(p.File, unix.O_WRONLY)
	if err != nil {
		return err
	}
	stop := context.AfterFunc(ctx, func() { f.Close() })
	_, err = io.Copy(f, r)
	if stop() {
		err = errors.Join(err, f.Close())
	}
	if err := errors.Join(ctx.Err(), err); err != nil {
		return err
	}
	return dress(int(p.Parent.Fd()), p.Base, &mode, m)
}
