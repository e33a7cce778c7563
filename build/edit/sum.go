package edit

import (
	"context"
	"fmt"
	"hash"
	"maps"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/proa-containers/proa/libpod/tree"
)

// Sum writes to h what decides about the result of Run besides the action itself: names, modes, owners, links, attributes
// and contents of what would be copied, but no times.
func (c *Copy) Sum(ctx context.Context, h hash.Hash) error {
	return c.each(func(s *source) error {
		fmt.Fprintf(h, "source %q %v\n", s.base, s.IsDir())
		return c.walk(ctx, s, &summer{h, c.From})
	})
}

type summer struct {
	h    hash.Hash
	from From
}

func (s *summer) Put(_ context.Context, n *tree.Node) error {
	fmt.Fprintf(s.h, "%q %o %d:%d", n.Name, n.Mode, n.UID, n.GID)
	switch {
	case n.Same != "":
		fmt.Fprintf(s.h, " same %q", n.Same)
	case n.Type() == unix.S_IFREG:
		sum, err := s.from.Content(n)
		if err != nil {
			return fmt.Errorf("reading %q: %w", n.Name, err)
		}
		fmt.Fprintf(s.h, " %s", sum)
	case n.Type() == unix.S_IFLNK:
		fmt.Fprintf(s.h, " to %q", n.Target)
	case n.Type() != unix.S_IFDIR:
		fmt.Fprintf(s.h, " device %d", n.Rdev)
	}
	for _, k := range slices.Sorted(maps.Keys(n.Xattrs)) {
		fmt.Fprintf(s.h, " %q=%q", k, n.Xattrs[k])
	}
	fmt.Fprintln(s.h)
	return nil
}

func (s *summer) Close() error { return nil }
