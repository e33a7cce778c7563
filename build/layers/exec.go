package layers

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/moby/buildkit/client"
	"github.com/moby/buildkit/solver/pb"
	"github.com/opencontainers/go-digest"

	"github.com/proa-containers/proa/build/sandbox"
	"github.com/proa-containers/proa/oci/spec"
)

func supportedExec(op *pb.ExecOp) error {
	for _, m := range op.Mounts {
		switch {
		case m.Dest == "/" && (m.Output != 0 || m.MountType != pb.MountType_BIND):
			return errors.New("a command whose root is not its only output is not supported")
		case m.MountType == pb.MountType_SECRET || m.MountType == pb.MountType_SSH:
		case m.Dest != "/" && m.Output != -1:
			return fmt.Errorf("the mount at %q is an output of the command, which is not supported; only its root is", m.Dest)
		}
	}
	if len(op.CdiDevices) > 0 {
		return errors.New("RUN --device is not supported")
	}
	return nil
}

// exec runs a command in a layer of its own.
func (s *Solver) exec(ctx context.Context, v *vertex, op *pb.ExecOp, in []tree) (tree, bool, error) {
	if op.Security == pb.SecurityMode_INSECURE && !s.Insecure {
		return tree{}, false, errors.New("RUN --security=insecure asks for all privileges; allow it with --allow security.insecure")
	}
	in = slices.Clone(in)
	base := tree{}
	for _, m := range op.Mounts {
		if m.Input < 0 {
			continue
		}
		t, err := s.stored(ctx, in[m.Input], m.Selector)
		if err != nil {
			return tree{}, false, err
		}
		if in[m.Input].local == nil || m.Dest == "/" {
			in[m.Input] = t
		}
		if m.Dest == "/" {
			base = t
		}
	}
	k, err := s.execKey(ctx, op, in)
	if err != nil {
		return tree{}, false, err
	}
	return s.grow(ctx, k.name(), v.name(), base, v.meta.GetIgnoreCache(), s.Beneath, func(root *os.File) error {
		return s.run(ctx, v, op, in, root, digest.FromString(k.name()).Encoded())
	})
}

// execKey is made of the command, and of what is mounted for it: not of secrets, proxies and limits, and of cache mounts
// only by their names.
func (s *Solver) execKey(ctx context.Context, op *pb.ExecOp, in []tree) (key, error) {
	k := newKey("exec")
	plain := op.CloneVT()
	plain.Meta.ProxyEnv = nil
	raw, err := plain.MarshalVT()
	if err != nil {
		return k, err
	}
	k.add(raw, s.Latest.UnixNano())
	for _, m := range op.Mounts {
		if m.Input < 0 {
			k.add("scratch")
			continue
		}
		t, err := s.stored(ctx, in[m.Input], m.Selector)
		if err != nil {
			return k, err
		}
		k.add(t.chain)
	}
	return k, nil
}

func (s *Solver) run(ctx context.Context, v *vertex, op *pb.ExecOp, in []tree, root *os.File, id string) (err error) {
	dir, err := s.Host.Dir()
	if err != nil {
		return err
	}
	logs := &stepLog{vertex: v.digest, tell: s.Progress}
	c := &sandbox.Command{ID: id, Root: root, Dir: dir, Config: s.Step, Out: logs.stream(1), Err: logs.stream(2)}
	if err := command(&c.Config, op, v.meta); err != nil {
		return err
	}
	m := &mounter{solver: s, vertex: v, command: c, in: in}
	defer func() { err = errors.Join(err, m.close()) }()
	for _, mount := range op.Mounts {
		if mount.Dest == "/" {
			continue
		}
		if err := m.add(ctx, mount); err != nil {
			return fmt.Errorf("mounting %q: %w", mount.Dest, err)
		}
	}
	for _, e := range op.Secretenv {
		if err := m.secretEnv(e); err != nil {
			return err
		}
	}
	err = s.Host.Run(ctx, c)
	var exit *sandbox.Exit
	if errors.As(err, &exit) && slices.Contains(op.Meta.ValidExitCodes, int32(exit.Code)) {
		return nil
	}
	if exit != nil && ctx.Err() == nil {
		return &ExecError{Args: op.Meta.Args, Code: exit.Code, Err: err}
	}
	return err
}

// ExecError says that a command failed.
type ExecError struct {
	Args []string
	Code int
	Err  error
}

func (e *ExecError) Error() string {
	why := ""
	var exit *sandbox.Exit
	if e.Err != nil && !errors.As(e.Err, &exit) || e.Err != nil && e.Err.Error() != exit.Error() {
		why = " (" + e.Err.Error() + ")"
	}
	return fmt.Sprintf("%q did not complete successfully: exit code: %d%s", strings.Join(e.Args, " "), e.Code, why)
}

func (e *ExecError) Unwrap() error { return e.Err }

// command is what LLB says of a command, over what every command of the build has.
func command(c *spec.Config, op *pb.ExecOp, meta *pb.OpMetadata) error {
	m := op.Meta
	c.Process.Args, c.Process.Env, c.Process.Cwd, c.Process.User = m.Args, slices.Clone(m.Env), m.Cwd, m.User
	if p := m.ProxyEnv; p != nil {
		for name, value := range map[string]string{"HTTP_PROXY": p.HttpProxy, "HTTPS_PROXY": p.HttpsProxy, "FTP_PROXY": p.FtpProxy, "NO_PROXY": p.NoProxy, "ALL_PROXY": p.AllProxy} {
			if value != "" {
				c.Process.Env = append(c.Process.Env, name+"="+value, strings.ToLower(name)+"="+value)
			}
		}
	}
	c.Process.Rlimits = slices.Clone(c.Process.Rlimits)
	for _, u := range m.Ulimit {
		c.Process.Rlimits = append(c.Process.Rlimits, spec.Rlimit{Name: u.Name, Soft: u.Soft, Hard: u.Hard})
	}
	c.Namespaces.Hostname = "buildkitsandbox" // as in BuildKit's steps
	if m.Hostname != "" {
		c.Namespaces.Hostname = m.Hostname
	}
	c.Namespaces.ExtraHosts = slices.Clone(c.Namespaces.ExtraHosts)
	for _, h := range m.ExtraHosts {
		c.Namespaces.ExtraHosts = append(c.Namespaces.ExtraHosts, h.Host+":"+h.IP)
	}
	switch op.Network {
	case pb.NetMode_HOST:
		c.Namespaces.Network = "host"
	case pb.NetMode_NONE:
		c.Namespaces.Network = "none"
	}
	if op.Security == pb.SecurityMode_INSECURE {
		c.Security.Privileged = true
	}
	c.Mounts.List = nil
	for _, mount := range op.Mounts {
		if mount.Dest == "/" && mount.Readonly {
			c.Mounts.ReadonlyRoot = true
		}
	}
	return nil
}

// stepLog tells progress what a command writes.
type stepLog struct {
	vertex digest.Digest
	tell   func(*client.SolveStatus)
}

func (l *stepLog) stream(n int) io.Writer { return logStream{l, n} }

type logStream struct {
	*stepLog
	n int
}

func (l logStream) Write(p []byte) (int, error) {
	l.tell(&client.SolveStatus{Logs: []*client.VertexLog{{Vertex: l.vertex, Stream: l.n, Data: slices.Clone(p), Timestamp: time.Now()}}})
	return len(p), nil
}

func shortHash(b []byte) string { return hex.EncodeToString(b)[:32] }
