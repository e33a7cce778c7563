// Package frontend runs BuildKit's own Dockerfile frontend: it is that frontend's gateway, and hands the LLB that it makes
// to a build.Solver. What a Dockerfile means is the frontend's alone. It runs in proa-build, as root or as uid 0 of the
// user's namespace.
package frontend

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"strings"
	"sync"

	"github.com/containerd/platforms"
	bk "github.com/moby/buildkit/client"
	"github.com/moby/buildkit/client/llb"
	"github.com/moby/buildkit/client/llb/sourceresolver"
	"github.com/moby/buildkit/frontend/dockerfile/builder"
	"github.com/moby/buildkit/frontend/gateway/client"
	gwpb "github.com/moby/buildkit/frontend/gateway/pb"
	"github.com/moby/buildkit/solver/pb"
	"github.com/moby/buildkit/util/apicaps"
	appb "github.com/moby/buildkit/util/apicaps/pb"
	"github.com/opencontainers/go-digest"
	ocispecs "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/tonistiigi/fsutil/types"
	"golang.org/x/sys/unix"

	"github.com/proa-containers/proa/build"
	"github.com/proa-containers/proa/libpod/tree"
)

// gateway is what the frontend sees of the builder.
type gateway struct {
	solver   build.Solver
	progress build.Progress
	opts     map[string]string
	said     *sync.Once // that the bundled frontend serves
}

var _ client.Client = (*gateway)(nil)

// Result is what a frontend made.
type Result struct {
	Tree build.Result      // nil when the frontend answered a question
	Meta map[string][]byte // by BuildKit's keys
}

// Run runs the frontend with its options, as BuildKit names them.
func Run(ctx context.Context, s build.Solver, opts map[string]string, progress build.Progress) (*Result, error) {
	g := &gateway{solver: s, progress: progress, opts: opts, said: new(sync.Once)}
	res, err := builder.Build(ctx, g)
	if err != nil {
		return nil, err
	}
	out := &Result{Meta: res.Metadata}
	ref, err := res.SingleRef()
	if err != nil || ref == nil {
		return out, err
	}
	out.Tree = ref.(*reference).result
	return out, nil
}

// unsupported are the capabilities that the solver does not have.
var unsupported = map[apicaps.CapID]bool{
	pb.CapDiffOp: true, pb.CapPassthroughOp: true, pb.CapExecMetaCDI: true, pb.CapSourceGitSignatureVerify: true, pb.CapSourceGitMTime: true,
	pb.CapSourceGitBundle: true, pb.CapSourceGitCheckoutBundle: true, pb.CapSourceHTTPSignatureVerify: true, pb.CapSourceImageBlob: true,
	gwpb.CapFrontendInputs: true, gwpb.CapGatewayExec: true,
}

func capabilities(l *apicaps.CapList) apicaps.CapSet {
	var all []*appb.APICap
	for _, c := range l.All() {
		if !unsupported[apicaps.CapID(c.ID)] {
			all = append(all, c)
		}
	}
	return l.CapSet(all)
}

func (g *gateway) BuildOpts() client.BuildOpts {
	return client.BuildOpts{
		Opts: g.opts, Product: "proa", LLBCaps: capabilities(&pb.Caps), Caps: capabilities(&gwpb.Caps),
		Workers: []client.WorkerInfo{{ID: "proa", Platforms: []ocispecs.Platform{platforms.Normalize(platforms.DefaultSpec())}}},
	}
}

// Solve takes a graph, or the wish for another frontend: the bundled one serves in its place.
func (g *gateway) Solve(ctx context.Context, req client.SolveRequest) (*client.Result, error) {
	switch req.Frontend {
	case "":
	case "gateway.v0", "dockerfile.v0":
		inner := *g
		inner.opts = maps.Clone(g.opts)
		maps.Copy(inner.opts, req.FrontendOpt)
		g.said.Do(func() {
			g.warn("the Dockerfile names the frontend " + req.FrontendOpt["source"] + "; the bundled one, which understands the same language, is used in its place")
		})
		return builder.Build(ctx, &inner)
	default:
		return nil, fmt.Errorf("the frontend %q is not supported", req.Frontend)
	}
	r, err := g.solver.Solve(ctx, req.Definition)
	if err != nil {
		return nil, err
	}
	ref := &reference{r, req.Definition}
	if req.Evaluate {
		if err := ref.Evaluate(ctx); err != nil {
			return nil, err
		}
	}
	out := client.NewResult()
	out.SetRef(ref)
	return out, nil
}

func (g *gateway) warn(text string) {
	g.progress(&bk.SolveStatus{Warnings: []*bk.VertexWarning{{Level: 1, Short: []byte(text)}}})
}

func (g *gateway) ResolveImageConfig(ctx context.Context, ref string, o sourceresolver.Opt) (string, digest.Digest, []byte, error) {
	dgst, config, err := g.solver.Config(ctx, ref, o)
	return ref, dgst, config, err
}

func (g *gateway) ResolveSourceMetadata(_ context.Context, op *pb.SourceOp, _ sourceresolver.Opt) (*sourceresolver.MetaResponse, error) {
	return nil, fmt.Errorf("the metadata of the source %q can't be had; give the time itself in SOURCE_DATE_EPOCH", op.Identifier)
}

func (g *gateway) Inputs(context.Context) (map[string]llb.State, error) { return nil, nil }

func (g *gateway) NewContainer(context.Context, client.NewContainerRequest) (client.Container, error) {
	return nil, errors.New("a frontend that runs containers is not supported")
}

func (g *gateway) Warn(_ context.Context, dgst digest.Digest, msg string, o client.WarnOpts) error {
	g.progress(&bk.SolveStatus{Warnings: []*bk.VertexWarning{{
		Vertex: dgst, Level: o.Level, Short: []byte(msg), Detail: o.Detail, URL: o.URL, SourceInfo: o.SourceInfo, Range: o.Range,
	}}})
	return nil
}

// reference is a result as the frontend sees it.
type reference struct {
	result build.Result
	def    *pb.Definition
}

func (r *reference) ToState() (llb.State, error) {
	op, err := llb.NewDefinitionOp(r.def)
	if err != nil {
		return llb.State{}, err
	}
	return llb.NewState(op), nil
}

func (r *reference) Evaluate(ctx context.Context) error {
	_, closeTree, err := r.result.Open(ctx)
	if err == nil {
		closeTree()
	}
	return err
}

// find calls f with a file of the tree.
func (r *reference) find(ctx context.Context, name string, f func(*tree.Place) error) error {
	root, closeTree, err := r.result.Open(ctx)
	if err != nil {
		return err
	}
	defer closeTree()
	p, err := tree.Find(root, "/"+name, true)
	if base, ok := strings.CutSuffix(name, ".dockerignore"); ok && err == nil && p.File == nil { // Podman's name for it
		p.Close()
		p, err = tree.Find(root, "/"+base+".containerignore", true)
	}
	if err != nil {
		return err
	}
	defer p.Close()
	if p.File == nil {
		return &os.PathError{Op: "open", Path: name, Err: os.ErrNotExist}
	}
	return f(p)
}

func (r *reference) ReadFile(ctx context.Context, req client.ReadRequest) ([]byte, error) {
	var out []byte
	err := r.find(ctx, req.Filename, func(p *tree.Place) error {
		if p.Mode&unix.S_IFMT != unix.S_IFREG {
			return &os.PathError{Op: "read", Path: req.Filename, Err: errors.New("it is no regular file")}
		}
		f, err := tree.Reopen(p.File, unix.O_RDONLY)
		if err != nil {
			return &os.PathError{Op: "open", Path: req.Filename, Err: err}
		}
		defer f.Close()
		var in io.Reader = f
		if o := req.Range; o != nil {
			in = io.NewSectionReader(f, int64(o.Offset), int64(o.Length))
		}
		out, err = io.ReadAll(in)
		return err
	})
	return out, err
}

func (r *reference) StatFile(ctx context.Context, req client.StatRequest) (*types.Stat, error) {
	var out *types.Stat
	err := r.find(ctx, req.Path, func(p *tree.Place) error {
		var st unix.Stat_t
		if err := unix.Fstat(int(p.File.Fd()), &st); err != nil {
			return err
		}
		info, err := os.Stat(fmt.Sprintf("/proc/self/fd/%d", p.File.Fd()))
		if err != nil {
			return err
		}
		out = &types.Stat{Path: p.Base, Mode: uint32(info.Mode()), Uid: st.Uid, Gid: st.Gid, Size: st.Size, ModTime: st.Mtim.Nano()}
		return nil
	})
	return out, err
}

func (r *reference) ReadDir(ctx context.Context, req client.ReadDirRequest) ([]*types.Stat, error) {
	var out []*types.Stat
	err := r.find(ctx, req.Path, func(p *tree.Place) error {
		f, err := tree.Reopen(p.File, unix.O_RDONLY|unix.O_DIRECTORY)
		if err != nil {
			return err
		}
		defer f.Close()
		entries, err := f.ReadDir(-1)
		for _, e := range entries {
			if info, err := e.Info(); err == nil {
				out = append(out, &types.Stat{Path: e.Name(), Mode: uint32(info.Mode()), Size: info.Size(), ModTime: info.ModTime().UnixNano()})
			}
		}
		return err
	})
	return out, err
}
