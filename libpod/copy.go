package libpod

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/proa-containers/proa/libpod/tree"
	"golang.org/x/sys/unix"
)

// CopyEnd is where files are copied from or to.
type CopyEnd struct {
	Container *Container // nil: this host
	Path      string     // "/" or "/." at its end counts
	Reader    io.Reader  // in place of a path to copy from: an archive
	Writer    io.Writer  // in place of a path to copy to: an archive
}

func (c CopyEnd) String() string {
	if c.Container != nil {
		return c.Container.Name + ":" + c.Path
	}
	return c.Path
}

// CopyOptions of Copy.
type CopyOptions struct {
	// Archive keeps the files' owners. Without it they belong to root in a container, and to proa's user on the host;
	// an archive's members always keep theirs.
	Archive bool
	Force   bool // replace a directory by a file, and a file by a directory
	Follow  bool // copy what a symbolic link at the end of the source's path leads to
	Count   func(bytes int64)
}

// Copy copies a file or a tree between containers, running or not, this host, and archives. The target's rules are
// Docker's: a directory is copied into one that exists, and what is in it when the source ends in "/.".
func (e *Engine) Copy(ctx context.Context, from, to CopyEnd, o CopyOptions) error {
	roots, closeRoots, err := e.openRoots(ctx, from, to)
	if err != nil {
		return err
	}
	defer closeRoots()
	if err := e.copyBetween(ctx, roots, from, to, o); err != nil {
		return err
	}
	if from.Container != nil {
		e.say(from.Container, "archive-path", "path", from.Path)
	}
	if to.Container != nil {
		e.say(to.Container, "extract-to-dir", "path", to.Path)
	}
	return nil
}

func (e *Engine) copyBetween(ctx context.Context, roots [2]*os.File, from, to CopyEnd, o CopyOptions) error {
	var src *tree.Place
	if from.Reader == nil {
		var err error
		if src, err = findSource(roots[0], from, o.Follow); err != nil {
			return err
		}
		defer src.Close()
	}
	if to.Writer != nil {
		name := src.Name
		if src.Whole {
			name = "."
		}
		sink := tree.Archive(to.Writer)
		if err := tree.Walk(ctx, src.File, name, sink, e.warn); err != nil {
			return fmt.Errorf("copying from %q: %w", from, err)
		}
		return sink.Close()
	}
	return e.copyTo(ctx, roots[1], src, from, to, o)
}

func (e *Engine) copyTo(ctx context.Context, root *os.File, src *tree.Place, from, to CopyEnd, o CopyOptions) error {
	dst, err := tree.Find(root, to.Path, true)
	if err != nil {
		return missingTarget(to, err)
	}
	defer dst.Close()
	d := tree.Directory{Warn: e.warn, Force: o.Force}
	if to.Container != nil {
		d.Root = root
	}
	if src == nil {
		if !dst.IsDir() {
			return fmt.Errorf("an archive is unpacked in a directory, which %q is not", to)
		}
		d.Top, d.Path = dst.File, dst.Dir+"/"+dst.Base
		return e.extract(ctx, to, d, o, func(sink tree.Sink) error { return tree.ReadArchive(ctx, from.Reader, sink, e.warn) })
	}
	if !o.Archive {
		d.Owner = &tree.Owner{}
	}
	name, err := aim(&d, src, dst, to, o.Force)
	if err != nil {
		return err
	}
	if src.IsDir() {
		if in, err := tree.Within(d.Top, src.File); err != nil || in {
			return errors.Join(err, fmt.Errorf("copying %q into itself, to %q, would not end", from, to))
		}
	}
	return e.extract(ctx, to, d, o, func(sink tree.Sink) error { return tree.Walk(ctx, src.File, name, sink, e.warn) })
}

func (e *Engine) extract(ctx context.Context, to CopyEnd, d tree.Directory, o CopyOptions, fill func(tree.Sink) error) error {
	var sink tree.Sink = tree.Extract(d)
	if o.Count != nil {
		sink = &counter{sink, o.Count}
	}
	if err := fill(sink); err != nil {
		return fmt.Errorf("copying to %q: %w", to, err)
	}
	if err := sink.Close(); err != nil {
		return fmt.Errorf("copying to %q: %w", to, err)
	}
	return nil
}

// counter tells how much was put.
type counter struct {
	tree.Sink
	count func(int64)
}

func (c *counter) Put(ctx context.Context, n *tree.Node) error {
	if n.Content != nil {
		c.count(n.Size)
	}
	return c.Sink.Put(ctx, n)
}

// aim sets the directory that src goes into, and returns the name that it has there.
func aim(d *tree.Directory, src, dst *tree.Place, to CopyEnd, force bool) (string, error) {
	if dst.IsDir() {
		d.Top, d.Path = dst.File, dst.Dir+"/"+dst.Base
		if src.Whole {
			return ".", nil
		}
		return src.Name, nil
	}
	d.Top, d.Path = dst.Parent, dst.Dir
	switch {
	case dst.File != nil && dst.AsDir:
		return "", fmt.Errorf("%q is not a directory", to)
	case dst.File != nil && src.IsDir() && !force:
		return "", fmt.Errorf("a directory can't be copied to %q, which is a file", to)
	case dst.File == nil && dst.AsDir && !src.IsDir():
		return "", fmt.Errorf("there is no directory %q to copy the file into; make it, or leave the \"/\" at its end out to copy to a file", to)
	}
	return dst.Base, nil
}

// openRoots opens the roots of both ends, containers in the order of their ids, so that two commands never wait for
// each other's locks.
func (e *Engine) openRoots(ctx context.Context, from, to CopyEnd) (roots [2]*os.File, close func(), err error) {
	var closers []func()
	close = func() {
		for _, c := range closers {
			c()
		}
	}
	ends := [2]CopyEnd{from, to}
	order := []int{0, 1}
	if from.Container != nil && to.Container != nil && to.Container.ID < from.Container.ID {
		order = []int{1, 0}
	}
	for _, i := range order {
		c := ends[i].Container
		switch other := ends[1-i].Container; {
		case c != nil && other != nil && other.ID == c.ID && roots[1-i] != nil:
			roots[i] = roots[1-i]
		case c != nil:
			root, done, err := e.openRoot(ctx, c)
			if err != nil {
				close()
				return roots, nil, err
			}
			roots[i], closers = root, append(closers, done)
		case ends[i].Path != "":
			root, err := os.OpenFile("/", unix.O_PATH|unix.O_DIRECTORY, 0)
			if err != nil {
				close()
				return roots, nil, err
			}
			roots[i], closers = root, append(closers, func() { root.Close() })
		}
	}
	return roots, close, nil
}

func findSource(root *os.File, from CopyEnd, follow bool) (*tree.Place, error) {
	src, err := tree.Find(root, from.Path, follow)
	switch {
	case errors.Is(err, unix.ENOENT), err == nil && src.File == nil:
		return nil, noFile(from)
	case err != nil:
		return nil, fmt.Errorf("copying from %q: %w", from, err)
	case src.AsDir && !src.IsDir():
		src.Close()
		return nil, fmt.Errorf("%q is not a directory", from)
	}
	return src, nil
}

// ErrNoFile says that there is nothing at a path to copy from.
var ErrNoFile = errors.New("no such file")

func noFile(from CopyEnd) error {
	if from.Container != nil {
		return fmt.Errorf("container %q has nothing at %q: %w", from.Container.Name, from.Path, ErrNoFile)
	}
	return fmt.Errorf("nothing is at %q: %w", from.Path, ErrNoFile)
}

func missingTarget(to CopyEnd, err error) error {
	if errors.Is(err, unix.ENOENT) {
		return fmt.Errorf("%q can't be copied to: the directory %q is not there; make it first", to, filepath.Dir(filepath.Clean(to.Path)))
	}
	return fmt.Errorf("copying to %q: %w", to, err)
}
