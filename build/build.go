// Package build owns what a build is made of: LLB, the graph of file trees that BuildKit's frontends make of a Dockerfile,
// and who turns it into layers. What solves a graph is in build/layers, what a Dockerfile becomes in build/frontend, what
// becomes of the result in build/output. It runs in proa-build, as root or as uid 0 of the user's namespace.
package build

import (
	"context"
	"os"

	"github.com/moby/buildkit/client"
	"github.com/moby/buildkit/client/llb/sourceresolver"
	"github.com/moby/buildkit/solver/pb"
	"github.com/opencontainers/go-digest"
)

// Solver turns LLB into file trees. Its methods may be called from several goroutines.
type Solver interface {
	// Solve takes a graph; nothing of it is carried out before its result is asked for. What a Solver does not support is
	// an error that names it.
	Solve(ctx context.Context, def *pb.Definition) (Result, error)
	// Config is the configuration of the image that a source names, with its digest.
	Config(ctx context.Context, ref string, o sourceresolver.Opt) (digest.Digest, []byte, error)
}

// Result is the tree that a graph ends in. Its methods carry out what that takes, once.
type Result interface {
	// Layer is the store's id of the tree's topmost layer, empty for a tree without files.
	Layer(ctx context.Context) (string, error)
	// Open is a handle of the tree's root, for reading; close lets go of it.
	Open(ctx context.Context) (root *os.File, close func(), err error)
}

// Progress hears what a build does, as BuildKit's clients are told. It is called from several goroutines.
type Progress func(*client.SolveStatus)
