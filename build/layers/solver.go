// Package layers solves LLB over containers/storage: each vertex becomes a layer there, on those of its first input. The
// names of layers are the cache: a layer is called after the operation and the contents that it was made of, so that it
// appears in the cache in the step in which it appears in the store, and every build of the user finds it. Vertices that do
// not need each other run at once. It leaves the changing of files to build/edit and the running of commands to
// build/sandbox, and runs in proa-build, as uid 0 of the user's namespace or as root.
package layers

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/moby/buildkit/client"
	"github.com/moby/buildkit/client/llb/sourceresolver"
	"github.com/moby/buildkit/solver/pb"
	"github.com/opencontainers/go-digest"

	"github.com/proa-containers/proa/build"
	"github.com/proa-containers/proa/build/sandbox"
	"github.com/proa-containers/proa/oci/spec"
	"github.com/proa-containers/proa/storage"
)

// Images finds the images that a build starts from.
type Images interface {
	// Find is the id of an image in the store, which is pulled first where that is asked for; mode is LLB's, or empty.
	Find(ctx context.Context, ref string, platform *pb.Platform, mode string) (id string, err error)
	// Layout is the id of an image of an OCI layout, which is brought into the store first.
	Layout(ctx context.Context, dir, ref string, platform *pb.Platform) (id string, err error)
}

// Options of New.
type Options struct {
	Store    *storage.Store
	Locals   map[string]string // directories of the client, by name
	Layouts  map[string]string // OCI layouts of the client, by name
	Images   Images
	Host     *sandbox.Host
	Beneath  string // what lies beneath a command's root
	Progress build.Progress
	Step     spec.Config       // what every command has besides what LLB says
	Secrets  map[string]Secret // by id
	Agents   map[string]string // ssh agents' sockets, by id
	Latest   time.Time         // no file of a layer is to be younger
	Jobs     int               // at most so many vertices at once; 0: any number
	Insecure bool              // commands may ask for privilege
	NoCache  bool
}

// Secret is where a secret's content is.
type Secret struct{ File, Env string }

// Solver is a build.Solver over the layers of a store.
type Solver struct {
	Options
	cache    *cache
	files    *contents
	mu       sync.Mutex
	vertices map[digest.Digest]*vertex
	slots    chan struct{}
}

var _ build.Solver = (*Solver)(nil)

// New opens the cache. Close says that the build is over.
func New(ctx context.Context, o Options) (*Solver, error) {
	c, err := openCache(ctx, o.Store)
	if err != nil {
		return nil, err
	}
	s := &Solver{Options: o, cache: c, vertices: map[digest.Digest]*vertex{}}
	if s.files, err = openContents(c.path("contents")); err != nil {
		return nil, errors.Join(err, c.close())
	}
	if o.Jobs > 0 {
		s.slots = make(chan struct{}, o.Jobs)
	}
	return s, nil
}

// Close keeps what was learned of files for the next build, and drops what is old of the cache.
func (s *Solver) Close(ctx context.Context) error {
	return errors.Join(s.files.save(), s.cache.collect(ctx), s.cache.close())
}

// Solve implements build.Solver.
func (s *Solver) Solve(_ context.Context, def *pb.Definition) (build.Result, error) {
	if def == nil {
		return &result{solver: s}, nil
	}
	e, err := s.graph(def)
	if err != nil {
		return nil, err
	}
	return &result{s, e}, nil
}

// Config implements build.Solver.
func (s *Solver) Config(ctx context.Context, ref string, o sourceresolver.Opt) (dgst digest.Digest, config []byte, err error) {
	v := &vertex{digest: digest.FromString("config " + ref), op: &pb.Op{}, meta: &pb.OpMetadata{Description: map[string]string{"llb.customname": o.LogName}}}
	err = s.track(v, func() (bool, error) {
		dgst, config, err = s.config(ctx, ref, o)
		return false, err
	})
	return dgst, config, err
}

// result is the tree of an edge.
type result struct {
	solver *Solver
	edge   edge
}

// Layer implements build.Result.
func (r *result) Layer(ctx context.Context) (string, error) {
	if r.edge.vertex == nil {
		return "", nil
	}
	t, err := r.solver.eval(ctx, r.edge)
	if err != nil {
		return "", err
	}
	if t, err = r.solver.stored(ctx, t, "/"); err != nil {
		return "", err
	}
	return t.layer, nil
}

// Open implements build.Result.
func (r *result) Open(ctx context.Context) (*os.File, func(), error) {
	t := tree{}
	if r.edge.vertex != nil {
		var err error
		if t, err = r.solver.eval(ctx, r.edge); err != nil {
			return nil, nil, err
		}
	}
	f, err := r.solver.open(t)
	if err != nil {
		return nil, nil, err
	}
	return f, func() { f.Close() }, nil
}

// tree is what an output of a vertex is: the layers from one downward, or a directory of the client.
type tree struct {
	layer string        // the topmost's id; empty: no files
	chain digest.Digest // of what is in the layers, as the image specification's ChainID
	local *local
}

// once is the result of a vertex, which the first who asks works out.
type once struct {
	mu   sync.Mutex
	done bool
	tree tree
	err  error
}

// eval works out an edge. Who waits for another's work gets its error too.
func (s *Solver) eval(ctx context.Context, e edge) (tree, error) {
	if e.output != 0 {
		return tree{}, fmt.Errorf("%s: output %d is asked for, and only the first is supported", e.vertex.name(), e.output)
	}
	o := &e.vertex.result
	o.mu.Lock()
	defer o.mu.Unlock()
	if !o.done {
		o.tree, o.err = s.work(ctx, e.vertex)
		o.done = true
	}
	return o.tree, o.err
}

// evalAll works out edges at once; the first error ends the others.
func (s *Solver) evalAll(ctx context.Context, edges []edge) ([]tree, error) {
	out := make([]tree, len(edges))
	if len(edges) == 1 {
		var err error
		out[0], err = s.eval(ctx, edges[0])
		return out, err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var wg sync.WaitGroup
	for i, e := range edges {
		wg.Go(func() {
			t, err := s.eval(ctx, e)
			if err != nil {
				cancel(err)
			}
			out[i] = t
		})
	}
	wg.Wait()
	return out, context.Cause(ctx)
}

// work works out a vertex, its inputs first.
func (s *Solver) work(ctx context.Context, v *vertex) (tree, error) {
	in, err := s.evalAll(ctx, v.inputs)
	if err != nil {
		return tree{}, err
	}
	if s.slots != nil {
		select {
		case s.slots <- struct{}{}:
			defer func() { <-s.slots }()
		case <-ctx.Done():
			return tree{}, context.Cause(ctx)
		}
	}
	var t tree
	err = s.track(v, func() (cached bool, err error) {
		if err := ctx.Err(); err != nil {
			return false, context.Cause(ctx)
		}
		switch op := v.op.Op.(type) {
		case *pb.Op_Source:
			t, cached, err = s.source(ctx, v, op.Source)
		case *pb.Op_File:
			t, cached, err = s.file(ctx, v, op.File, in)
		case *pb.Op_Exec:
			t, cached, err = s.exec(ctx, v, op.Exec, in)
		case *pb.Op_Merge:
			t, cached, err = s.merge(ctx, v, op.Merge, in)
		default:
			err = fmt.Errorf("the operation %T is not supported", op)
		}
		return cached, err
	})
	if err != nil {
		return tree{}, located(v, err)
	}
	return t, nil
}

// track tells progress of the beginning and the end of a vertex.
func (s *Solver) track(v *vertex, f func() (cached bool, err error)) error {
	began := time.Now()
	st := v.status()
	st.Started = &began
	s.Progress(&client.SolveStatus{Vertexes: []*client.Vertex{st}})
	cached, err := f()
	ended := time.Now()
	done := *st
	done.Completed, done.Cached = &ended, cached
	if err != nil {
		done.Error = err.Error()
	}
	s.Progress(&client.SolveStatus{Vertexes: []*client.Vertex{&done}})
	return err
}

// supported says what of LLB is not.
func supported(op *pb.Op) error {
	switch o := op.Op.(type) {
	case *pb.Op_Source, *pb.Op_Merge:
	case *pb.Op_File:
		return supportedFile(op, o.File)
	case *pb.Op_Exec:
		return supportedExec(o.Exec)
	default:
		return fmt.Errorf("the operation %T is not supported", o)
	}
	return nil
}
