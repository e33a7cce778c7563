package layers

import (
	"context"
	"fmt"

	"github.com/moby/buildkit/solver/pb"

	"github.com/proa-containers/proa/storage"
)

// merge puts the layers of the later inputs on those of the first: their files are not written again, but linked.
func (s *Solver) merge(ctx context.Context, v *vertex, op *pb.MergeOp, in []tree) (tree, bool, error) {
	out := tree{}
	cached := true
	for n, i := range op.Inputs {
		t, err := s.stored(ctx, in[i.Input], "/")
		if err != nil {
			return tree{}, false, err
		}
		if n == 0 {
			out = t
			continue
		}
		list, err := s.Store.Chain(t.layer)
		if err != nil {
			return tree{}, false, err
		}
		for _, l := range list {
			k := newKey("merge")
			k.add(out.chain, l.DiffID)
			was := false
			if out, was, err = s.graft(ctx, k.name(), v.name(), out, l); err != nil {
				return tree{}, false, fmt.Errorf("linking a layer: %w", err)
			}
			cached = cached && was
		}
	}
	return out, cached, nil
}

// graft is a layer on another parent than its own.
func (s *Solver) graft(ctx context.Context, name, note string, parent tree, l storage.Layer) (tree, bool, error) {
	if t, ok, err := s.cache.find(name, parent); ok || err != nil {
		return t, true, err
	}
	got, err := s.Store.Graft(ctx, l.ID, parent.layer, storage.StageOptions{Name: name, Note: note})
	if err != nil {
		if t, ok, ferr := s.cache.find(name, parent); ok || ferr != nil {
			return t, false, ferr
		}
		return tree{}, false, err
	}
	s.cache.touch(name)
	return parent.with(got), false, nil
}
