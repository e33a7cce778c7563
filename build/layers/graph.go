package layers

import (
	"fmt"

	"github.com/moby/buildkit/client"
	"github.com/moby/buildkit/solver/pb"
	"github.com/opencontainers/go-digest"
)

// vertex is an operation of a graph. Vertices of the same digest are one, in whatever graphs of the solver they are.
type vertex struct {
	digest digest.Digest
	op     *pb.Op
	meta   *pb.OpMetadata
	inputs []edge
	from   []*pb.Location // in the Dockerfile
	source *pb.SourceInfo

	result once
}

// edge is one output of a vertex.
type edge struct {
	vertex *vertex
	output int
}

// name is what the vertex is called to the user.
func (v *vertex) name() string {
	if n := v.meta.GetDescription()["llb.customname"]; n != "" {
		return n
	}
	switch op := v.op.Op.(type) {
	case *pb.Op_Source:
		return op.Source.Identifier
	case *pb.Op_Exec:
		return fmt.Sprint(op.Exec.Meta.GetArgs())
	case *pb.Op_File:
		return "file operations"
	case *pb.Op_Merge:
		return "merge"
	case *pb.Op_Diff:
		return "diff"
	}
	return v.digest.String()
}

// status is the vertex as progress tells of it.
func (v *vertex) status() *client.Vertex {
	out := &client.Vertex{Digest: v.digest, Name: v.name(), ProgressGroup: v.meta.GetProgressGroup()}
	for _, in := range v.inputs {
		out.Inputs = append(out.Inputs, in.vertex.digest)
	}
	return out
}

// graph takes a definition apart; its last vertex only names the result.
func (s *Solver) graph(def *pb.Definition) (edge, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var last *vertex
	here := map[string]*vertex{}
	for _, raw := range def.Def {
		v := &vertex{digest: digest.FromBytes(raw), op: new(pb.Op)}
		if err := v.op.UnmarshalVT(raw); err != nil {
			return edge{}, fmt.Errorf("reading the build's graph: %w", err)
		}
		for _, in := range v.op.Inputs {
			from := here[in.Digest]
			if from == nil {
				return edge{}, fmt.Errorf("reading the build's graph: the input %q of a vertex is not before it", in.Digest)
			}
			v.inputs = append(v.inputs, edge{from, int(in.Index)})
		}
		v.meta = def.Metadata[v.digest.String()]
		if l := def.Source.GetLocations()[v.digest.String()]; l != nil && len(l.Locations) > 0 {
			v.from = l.Locations
			if i := int(l.Locations[0].SourceIndex); i < len(def.Source.Infos) {
				v.source = def.Source.Infos[i]
			}
		}
		last = v
		if v.op.Op == nil {
			continue
		}
		if err := supported(v.op); err != nil {
			return edge{}, fmt.Errorf("%s: %w", v.name(), err)
		}
		if known := s.vertices[v.digest]; known != nil {
			v = known
		} else {
			s.vertices[v.digest] = v
		}
		here[v.digest.String()] = v
	}
	switch {
	case last == nil: // an empty tree
		return edge{}, nil
	case last.op.Op != nil || len(last.inputs) != 1:
		return edge{}, fmt.Errorf("reading the build's graph: it does not end in a vertex that names its result")
	}
	return last.inputs[0], nil
}
