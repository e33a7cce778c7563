package layers

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/moby/buildkit/client"
	"github.com/moby/buildkit/solver/pb"

	"github.com/proa-containers/proa/build/edit"
	ftree "github.com/proa-containers/proa/libpod/tree"
	"github.com/proa-containers/proa/oci/spec"
)

// supportedFile wants every action but the first to go on with the tree that the one before it left, which is how
// Dockerfiles use them.
func supportedFile(op *pb.Op, f *pb.FileOp) error {
	n := int64(len(op.Inputs))
	for i, a := range f.Actions {
		if i > 0 && a.Input != n+int64(i-1) || i == 0 && a.Input >= n {
			return fmt.Errorf("file action %d does not go on with the tree of the one before it, which is not supported", i)
		}
		if a.SecondaryInput >= n {
			return fmt.Errorf("file action %d takes files from another action's tree, which is not supported", i)
		}
		if last := i == len(f.Actions)-1; last != (a.Output == 0) {
			return fmt.Errorf("file action %d has output %d; only the last may have one, 0", i, a.Output)
		}
	}
	if len(f.Actions) == 0 {
		return fmt.Errorf("it has no file actions")
	}
	return nil
}

// file carries out the actions of a FileOp, in one layer.
func (s *Solver) file(ctx context.Context, v *vertex, op *pb.FileOp, in []tree) (tree, bool, error) {
	base := tree{}
	if i := op.Actions[0].Input; i >= 0 {
		var err error
		if base, err = s.stored(ctx, in[i], "/"); err != nil {
			return tree{}, false, err
		}
	}
	open, closeAll := s.opener(in)
	defer closeAll()
	k := newKey("file")
	k.add(base.chain, s.Latest.UnixNano())
	for _, a := range op.Actions {
		if err := s.fileKey(ctx, k, a, open); err != nil {
			return tree{}, false, err
		}
	}
	return s.grow(ctx, k.name(), v.name(), base, v.meta.GetIgnoreCache(), "", func(root *os.File) error {
		for _, a := range op.Actions {
			if err := s.act(ctx, v, root, a, open); err != nil {
				return err
			}
		}
		return nil
	})
}

// opener opens inputs once, as what is copied from.
func (s *Solver) opener(in []tree) (open func(i int64) (edit.From, error), closeAll func()) {
	opened := map[int64]edit.From{}
	return func(i int64) (edit.From, error) {
			if f, ok := opened[i]; ok {
				return f, nil
			}
			t := tree{}
			if i >= 0 {
				t = in[i]
			}
			f, err := s.from(t)
			if err == nil {
				opened[i] = f
			}
			return f, err
		}, func() {
			for _, f := range opened {
				f.Root.Close()
			}
		}
}

// fileKey adds to k all that decides about what an action does.
func (s *Solver) fileKey(ctx context.Context, k key, a *pb.FileAction, open func(int64) (edit.From, error)) error {
	plain := a.CloneVT()
	plain.Input, plain.SecondaryInput, plain.Output = 0, 0, 0
	raw, err := plain.MarshalVT()
	if err != nil {
		return err
	}
	k.add(raw)
	c := a.GetCopy()
	if c == nil {
		return nil
	}
	from, err := open(a.SecondaryInput)
	if err != nil {
		return err
	}
	return copyOf(c, from, nil, warnNothing).Sum(ctx, k)
}

func warnNothing(error) {}

// act carries out one action in the mounted tree root.
func (s *Solver) act(ctx context.Context, v *vertex, root *os.File, a *pb.FileAction, open func(int64) (edit.From, error)) error {
	switch a := a.Action.(type) {
	case *pb.FileAction_Mkdir:
		m, err := made(root, a.Mkdir.Owner, a.Mkdir.Timestamp)
		if err != nil {
			return err
		}
		return edit.Mkdir(root, a.Mkdir.Path, uint32(a.Mkdir.Mode), a.Mkdir.MakeParents, m)
	case *pb.FileAction_Mkfile:
		m, err := made(root, a.Mkfile.Owner, a.Mkfile.Timestamp)
		if err != nil {
			return err
		}
		return edit.Mkfile(root, a.Mkfile.Path, uint32(a.Mkfile.Mode), a.Mkfile.Data, m)
	case *pb.FileAction_Symlink:
		m, err := made(root, a.Symlink.Owner, a.Symlink.Timestamp)
		if err != nil {
			return err
		}
		return edit.Symlink(root, a.Symlink.Oldpath, a.Symlink.Newpath, m)
	case *pb.FileAction_Rm:
		return edit.Remove(root, a.Rm.Path, a.Rm.AllowWildcard, a.Rm.AllowNotFound)
	}
	c := a.GetCopy()
	if c == nil {
		return fmt.Errorf("the file action %T is not supported", a.Action)
	}
	owner, err := ownerOf(root, c.Owner)
	if err != nil {
		return err
	}
	from, err := open(a.SecondaryInput)
	if err != nil {
		return err
	}
	return copyOf(c, from, owner, s.warner(v)).Run(ctx, root)
}

// warner tells of what a step does not do as it should, in the step's log.
func (s *Solver) warner(v *vertex) func(error) {
	return func(err error) {
		s.Progress(&client.SolveStatus{Logs: []*client.VertexLog{{Vertex: v.digest, Stream: 2, Data: []byte("warning: " + err.Error() + "\n"), Timestamp: time.Now()}}})
	}
}

func copyOf(c *pb.FileActionCopy, from edit.From, owner *ftree.Owner, warn func(error)) *edit.Copy {
	out := &edit.Copy{
		From: from, Made: edit.Made{Owner: owner, Time: timeOf(c.Timestamp)}, Src: c.Src, Dest: c.Dest, Modes: c.ModeStr,
		Contents: c.DirCopyContents, Unpack: c.AttemptUnpackDockerCompatibility, MakeParents: c.CreateDestPath, Wildcard: c.AllowWildcard,
		Empty: c.AllowEmptyWildcard, Follow: c.FollowSymlink, Replace: c.AlwaysReplaceExistingDestPaths,
		Include: c.IncludePatterns, Exclude: c.ExcludePatterns, Required: c.RequiredPaths, Warn: warn,
	}
	if c.Mode != -1 && c.ModeStr == "" {
		m := uint32(c.Mode)
		out.Mode = &m
	}
	return out
}

// timeOf is a timestamp of LLB; -1 is none.
func timeOf(ns int64) *time.Time {
	if ns == -1 {
		return nil
	}
	t := time.Unix(0, ns)
	return &t
}

func made(root *os.File, o *pb.ChownOpt, ns int64) (edit.Made, error) {
	owner, err := ownerOf(root, o)
	return edit.Made{Owner: owner, Time: timeOf(ns)}, err
}

// ownerOf looks up an owner, whose names are those of the tree that is changed; nil for none.
func ownerOf(root *os.File, o *pb.ChownOpt) (*ftree.Owner, error) {
	if o == nil || o.User == nil && o.Group == nil {
		return nil, nil
	}
	part := func(u *pb.UserOpt) string {
		switch u := u.GetUser().(type) {
		case *pb.UserOpt_ByName:
			return u.ByName.Name
		case *pb.UserOpt_ByID:
			return fmt.Sprint(u.ByID)
		}
		return ""
	}
	user, group := part(o.User), part(o.Group)
	if user == "" {
		user = "0"
	}
	found, err := spec.ResolveUser(root, strings.TrimRight(user+":"+group, ":"), nil)
	if err != nil {
		return nil, err
	}
	out := &ftree.Owner{UID: found.UID, GID: found.GID}
	// A number alone is user and group, as Docker has it, unless the tree knows the user.
	if group == "" && slices.IndexFunc([]byte(user), func(c byte) bool { return c < '0' || c > '9' }) < 0 {
		if _, ok := o.User.User.(*pb.UserOpt_ByID); ok {
			out.GID = out.UID
		}
	}
	return out, nil
}
