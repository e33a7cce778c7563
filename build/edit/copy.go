package edit

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path"
	"strings"

	"github.com/moby/patternmatcher"
	mode "github.com/tonistiigi/dchapes-mode"
	"golang.org/x/sys/unix"

	"github.com/proa-containers/proa/libpod/tree"
)

// From is a tree that is copied from.
type From struct {
	Root  *os.File                       // a handle of its top
	Hide  *patternmatcher.PatternMatcher // what an ignore file leaves out, by the path in the tree; nil: nothing
	Owner *tree.Owner                    // whom every file is taken to belong to; nil: as they are
	// Content is the digest of a regular file's content.
	Content func(n *tree.Node) (string, error)
}

// Copy is LLB's FileActionCopy.
type Copy struct {
	From
	Made
	Src, Dest        string
	Mode             *uint32 // of every file and directory; nil: as they are
	Modes            string  // in chmod's words, in place of Mode
	Contents         bool    // what is in Src, where that is a directory
	Unpack           bool    // an archive is unpacked
	MakeParents      bool    // of Dest
	Wildcard         bool    // Src is a pattern
	Empty            bool    // that may match nothing
	Follow           bool    // a symbolic link at the end of Src
	Replace          bool    // what is of another type
	Include, Exclude []string
	Required         []string
	Warn             func(error)
}

// source is one file or directory that Src names.
type source struct {
	*tree.Place
	name string // in the tree, links resolved
	base string // as Src calls it
}

// each calls f with every source; missing ones are an error.
func (c *Copy) each(f func(s *source) error) error {
	names := []string{strings.Trim(path.Clean("/"+c.Src), "/")}
	if c.Wildcard {
		var err error
		if names, err = glob(c.From, c.Src, c.Follow); err != nil {
			return err
		}
		if len(names) == 0 && !c.Empty {
			return fmt.Errorf("%q: %w", c.Src, os.ErrNotExist)
		}
	}
	for _, r := range c.Required {
		p, err := c.Open(r)
		if err != nil {
			return err
		}
		p.Close()
	}
	pattern := len(names) != 1 || names[0] != strings.Trim(path.Clean("/"+c.Src), "/")
	for _, n := range names {
		if pattern && c.excludes(path.Base(n)) {
			continue
		}
		if err := c.one(n, f); err != nil {
			return err
		}
	}
	return nil
}

func (c *Copy) excludes(name string) bool {
	if len(c.Exclude) == 0 {
		return false
	}
	m, err := patternmatcher.New(c.Exclude)
	if err != nil {
		return false
	}
	ok, err := m.MatchesOrParentMatches(name)
	return ok && err == nil
}

func (c *Copy) one(name string, f func(s *source) error) error {
	p, err := tree.Find(c.Root, "/"+name, c.Follow)
	if err != nil {
		return fmt.Errorf("%w", err)
	}
	defer p.Close()
	s := &source{Place: p, name: strings.Trim(path.Join(p.Dir, p.Base), "/"), base: path.Base(name)}
	take, enter, err := c.From.pick(s.name, p.IsDir())
	if err != nil {
		return err
	}
	switch {
	case p.File == nil:
		return fmt.Errorf("%q: %w", "/"+name, os.ErrNotExist)
	case !take && !(enter && p.IsDir()):
		return fmt.Errorf("%q: it is there, but an ignore file leaves it out: %w", "/"+name, os.ErrNotExist)
	}
	return f(s)
}

// walk puts what is to be copied of a source; the source itself is called ".".
func (c *Copy) walk(ctx context.Context, s *source, sink tree.Sink) error {
	include, err := patternmatcher.New(c.Include)
	if err != nil {
		return fmt.Errorf("invalid pattern of %q: %w", c.Include, err)
	}
	exclude, err := patternmatcher.New(c.Exclude)
	if err != nil {
		return fmt.Errorf("invalid pattern of %q: %w", c.Exclude, err)
	}
	pick := func(name string, dir bool) (take, enter bool, err error) {
		if take, enter, err = c.From.pick(path.Join(s.name, name), dir); err != nil || name == "." {
			return take && (len(c.Include) == 0 || !dir), enter, err
		}
		if len(c.Include) > 0 && take {
			if take, err = include.MatchesOrParentMatches(name); err != nil {
				return false, false, err
			}
		}
		if len(c.Exclude) > 0 {
			out, err := exclude.MatchesOrParentMatches(name)
			if err != nil {
				return false, false, err
			}
			take, enter = take && !out, enter && (!out || exclude.Exclusions())
		}
		return take, enter, nil
	}
	h := &holder{sink: sink, copy: c}
	err = tree.WalkSome(ctx, s.File, ".", pick, h, c.Warn)
	switch {
	case err != nil && errors.Is(err, os.ErrPermission) && c.From.Owner != nil: // of the client
		return fmt.Errorf("copying %q: %w; make it readable, or leave it out by the ignore file", "/"+s.name, err)
	case err != nil:
		return fmt.Errorf("copying %q: %w", "/"+s.name, err)
	}
	return nil
}

// holder keeps directories back that are not picked until something in them is.
type holder struct {
	sink tree.Sink
	copy *Copy
	held []*tree.Node
}

func (h *holder) Put(ctx context.Context, n *tree.Node) error {
	for len(h.held) > 0 {
		last := h.held[len(h.held)-1]
		if last.Name == "." || strings.HasPrefix(n.Name, last.Name+"/") {
			break
		}
		h.held = h.held[:len(h.held)-1]
	}
	if o := h.copy.From.Owner; o != nil {
		n.UID, n.GID = o.UID, o.GID
	}
	if n.Passed {
		held := *n
		held.Content = nil
		h.held = append(h.held, &held)
		return nil
	}
	for _, d := range h.held {
		if err := h.sink.Put(ctx, d); err != nil {
			return err
		}
	}
	h.held = nil
	return h.sink.Put(ctx, n)
}

func (h *holder) Close() error { return h.sink.Close() }

// Run copies into the tree root.
func (c *Copy) Run(ctx context.Context, root *os.File) error {
	if !c.MakeParents {
		p, err := tree.Find(root, c.Dest, true)
		if err != nil {
			return err
		}
		p.Close()
	}
	set := mode.Set{}
	if c.Modes != "" {
		var err error
		if set, err = mode.ParseWithUmask(c.Modes, 0); err != nil {
			return fmt.Errorf("invalid mode %q: %w", c.Modes, err)
		}
	}
	return c.each(func(s *source) error {
		if c.Unpack && s.Mode&unix.S_IFMT == unix.S_IFREG {
			if done, err := c.unpack(ctx, s, root); done || err != nil {
				return err
			}
		}
		return c.place(ctx, s, root, &set)
	})
}

// place copies one source to where it belongs.
func (c *Copy) place(ctx context.Context, s *source, root *os.File, set *mode.Set) error {
	dirMode := uint32(0o755)
	if c.Mode != nil {
		dirMode = *c.Mode
	}
	dest := path.Clean("/" + c.Dest)
	asDir := strings.HasSuffix(c.Dest, "/") || path.Base(c.Dest) == "."
	there := path.Dir(dest)
	if asDir || s.IsDir() && c.Contents {
		there = dest
	}
	p, err := mkdirAll(root, there, dirMode, c.Made)
	if err != nil {
		return err
	}
	p.Close()
	if p, err = tree.Find(root, dest, true); err != nil {
		return err
	}
	defer func() { p.Close() }()
	if p.IsDir() && !(s.IsDir() && c.Contents) {
		dest = path.Join(dest, s.base)
		into, err := tree.Find(root, dest, s.IsDir())
		if err != nil {
			return err
		}
		p.Close()
		p = into
	}
	w := &writer{copy: c, set: set, root: root, at: p}
	if s.IsDir() {
		return w.dir(ctx, s)
	}
	return w.file(ctx, s)
}
