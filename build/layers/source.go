package layers

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/moby/buildkit/client/llb/sourceresolver"
	"github.com/moby/buildkit/solver/pb"
	"github.com/opencontainers/go-digest"

	"github.com/proa-containers/proa/image"
)

func newID() []byte {
	b := make([]byte, 8)
	rand.Read(b)
	return b
}

// source fetches what a build starts from.
func (s *Solver) source(ctx context.Context, v *vertex, op *pb.SourceOp) (tree, bool, error) {
	scheme, rest, ok := strings.Cut(op.Identifier, "://")
	if !ok {
		return tree{}, false, fmt.Errorf("the source %q is not supported", op.Identifier)
	}
	switch scheme {
	case "local":
		t, err := s.local(op, rest)
		return t, false, err
	case "docker-image":
		id, err := s.Images.Find(ctx, rest, v.op.Platform, op.Attrs[pb.AttrImageResolveMode])
		if err != nil {
			return tree{}, false, err
		}
		t, err := s.imageTree(id)
		return t, true, err
	case "oci-layout":
		dir, ok := s.Layouts[op.Attrs[pb.AttrOCILayoutStoreID]]
		if !ok {
			return tree{}, false, fmt.Errorf("there is no OCI layout %q", op.Attrs[pb.AttrOCILayoutStoreID])
		}
		id, err := s.Images.Layout(ctx, dir, rest, v.op.Platform)
		if err != nil {
			return tree{}, false, err
		}
		t, err := s.imageTree(id)
		return t, true, err
	case "http", "https":
		return s.http(ctx, v, op)
	case "git":
		return s.git(ctx, v, op, rest)
	}
	return tree{}, false, fmt.Errorf("the source %q is not supported", op.Identifier)
}

// imageTree is the tree of an image in the store.
func (s *Solver) imageTree(id string) (tree, error) {
	rec, err := s.Store.Image(id)
	if err != nil {
		return tree{}, err
	}
	return s.chain(rec.TopLayer)
}

// chain is the tree from a layer downward.
func (s *Solver) chain(top string) (tree, error) {
	list, err := s.Store.Chain(top)
	if err != nil {
		return tree{}, err
	}
	t := tree{}
	for _, l := range list {
		if l.DiffID == "" { // of another tool, that did not say: it is what it is called
			l.DiffID = digest.FromString(l.ID)
		}
		t = t.with(l)
	}
	return t, nil
}

// config is the configuration of an image, which is pulled where that is asked for.
func (s *Solver) config(ctx context.Context, ref string, o sourceresolver.Opt) (digest.Digest, []byte, error) {
	var platform *pb.Platform
	mode := ""
	if o.ImageOpt != nil {
		mode = o.ImageOpt.ResolveMode
		if p := o.ImageOpt.Platform; p != nil {
			platform = &pb.Platform{OS: p.OS, Architecture: p.Architecture, Variant: p.Variant}
		}
	}
	var id string
	var err error
	if l := o.OCILayoutOpt; l != nil {
		dir, ok := s.Layouts[l.Store.StoreID]
		if !ok {
			return "", nil, fmt.Errorf("there is no OCI layout %q", l.Store.StoreID)
		}
		id, err = s.Images.Layout(ctx, dir, ref, platform)
	} else {
		id, err = s.Images.Find(ctx, ref, platform, mode)
	}
	if err != nil {
		return "", nil, err
	}
	img, err := image.Lookup(s.Store, id)
	if err != nil {
		return "", nil, err
	}
	raw, err := image.Document(s.Store, img)
	if err != nil {
		return "", nil, err
	}
	if !json.Valid(raw) {
		return "", nil, fmt.Errorf("the configuration of image %q is broken; pull it again", ref)
	}
	return img.Digest, raw, nil
}
