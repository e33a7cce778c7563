package layers

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path"
	"strings"

	"github.com/moby/buildkit/solver/pb"
	"github.com/moby/patternmatcher"
	"golang.org/x/sys/unix"

	"github.com/proa-containers/proa/build/edit"
	ftree "github.com/proa-containers/proa/libpod/tree"
)

// local is a directory of the client, which is read where it is.
type local struct {
	dir  string
	hide *patternmatcher.PatternMatcher
}

func (s *Solver) local(op *pb.SourceOp, name string) (tree, error) {
	dir, ok := s.Locals[name]
	if !ok {
		return tree{}, fmt.Errorf("there is no local directory %q", name)
	}
	l := &local{dir: dir}
	if list := op.Attrs[pb.AttrExcludePatterns]; list != "" {
		var patterns []string
		if err := json.Unmarshal([]byte(list), &patterns); err != nil {
			return tree{}, fmt.Errorf("reading the patterns to ignore: %w", err)
		}
		var err error
		if l.hide, err = patternmatcher.New(patterns); err != nil {
			return tree{}, fmt.Errorf("reading the patterns to ignore: %w", err)
		}
	}
	return tree{local: l}, nil
}

// open is a handle of a tree's root, for reading. What an ignore file hides is there.
func (s *Solver) open(t tree) (*os.File, error) {
	if t.local == nil {
		return s.Store.MountLayer(t.layer)
	}
	f, err := os.OpenFile(t.local.dir, unix.O_PATH|unix.O_DIRECTORY, 0)
	if err != nil {
		return nil, fmt.Errorf("opening the context: %w", err)
	}
	return f, nil
}

// from is a tree to copy from, which the caller closes.
func (s *Solver) from(t tree) (edit.From, error) {
	root, err := s.open(t)
	if err != nil {
		return edit.From{}, err
	}
	f := edit.From{Root: root, Content: s.files.sum}
	if t.local != nil {
		f.Hide, f.Owner = t.local.hide, &ftree.Owner{}
	}
	return f, nil
}

// stored is a tree as layers: of a directory of the client, the part that is asked for is copied, with the directories
// above it.
func (s *Solver) stored(ctx context.Context, t tree, part string) (tree, error) {
	if t.local == nil {
		return t, nil
	}
	from, err := s.from(t)
	if err != nil {
		return tree{}, err
	}
	defer from.Root.Close()
	part = path.Clean("/" + part)
	c := &edit.Copy{From: from, Src: part, Dest: part, Contents: true, MakeParents: true, Follow: true, Warn: warnNothing}
	if strings.Trim(part, "/") != "" {
		p, err := from.Open(part)
		if err != nil {
			return tree{}, err
		}
		p.Close()
	}
	k := newKey("context")
	k.add(part, s.Latest.UnixNano())
	if err := c.Sum(ctx, k); err != nil {
		return tree{}, err
	}
	out, _, err := s.grow(ctx, k.name(), "build context", tree{}, false, "", func(root *os.File) error { return c.Run(ctx, root) })
	return out, err
}
