package libpod

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"

	"github.com/opencontainers/runtime-spec/specs-go"
	"github.com/proa-containers/proa/image"
	"github.com/proa-containers/proa/libpod/rootless"
	"github.com/proa-containers/proa/oci/spec"
)

// DebugOptions of Debug.
type DebugOptions struct {
	// ExecOptions are the command's, as the toolbox knows users and directories. Without Args it is the toolbox's shell,
	// without a User root, without a Cwd DebugRoot. There is no Detach: a session ends with its caller.
	ExecOptions
	Toolbox  *image.Image
	Name     string // the toolbox's, for errors
	Writable bool   // what is written below DebugRoot changes the container's files
	// Ready is called when nothing is left but to start the command; its error is Debug's.
	Ready func() error
}

// Debug runs a command in the namespaces of a running container, or in those of a stopped one's kind, with the files of a
// toolbox image as its root and the container's at DebugRoot, and returns its exit status. The container notices nothing,
// and of the session nothing is left: what it changes in the toolbox is in memory, and its processes end with the command
// and with the caller. With Writable nobody starts or removes a stopped container meanwhile. A command that can't be run is
// a *StartError.
func (e *Engine) Debug(ctx context.Context, c *Container, o DebugOptions) (int, error) {
	if err := checkCwd(o.Cwd); err != nil {
		return 0, err
	}
	s, err := e.subject(ctx, c, o.Writable)
	if err != nil {
		return 0, err
	}
	defer s.close()
	box, err := e.toolbox(o.Toolbox, s.texts)
	if err != nil {
		return 0, err
	}
	s.files = append(s.files, box)
	if len(o.Args) == 0 {
		shell := findShell(box)
		if shell == "" {
			return 0, fmt.Errorf("image %q has no shell: name a command that it has, or another --image", o.Name)
		}
		o.Args = []string{shell}
	}
	session, sp, err := e.sessionSpec(c, s, o, box)
	if err != nil {
		return 0, err
	}
	if s.root, err = graft(e.paths.RunDir, box, s.tree, DebugRoot); err != nil {
		return 0, err
	}
	s.files = append(s.files, s.root)
	if err := errors.Join(ctx.Err(), o.Ready()); err != nil {
		return 0, err
	}
	return e.runSession(ctx, session, sp, s, o.ExecOptions)
}

// sessionSpec is the configuration of the session, as that of a container which nobody has a record of: with the container's
// security and limits, and none of its mounts.
func (e *Engine) sessionSpec(c *Container, s *subject, o DebugOptions, box *os.File) (*Container, *specs.Spec, error) {
	name := o.User
	if name == "" {
		name = "0"
	}
	user, err := spec.ResolveUser(box, name, nil)
	if err != nil {
		return nil, nil, fmt.Errorf("finding user %q in toolbox %q: %w", name, o.Name, errors.Unwrap(err))
	}
	was := c.Config.Process
	cfg := spec.Config{
		Process: spec.Process{
			Args: o.Args, Env: slices.Concat(o.Toolbox.Config.Env, o.Env), Cwd: o.Cwd, Terminal: o.Terminal,
			Rlimits: was.Rlimits, OOMScore: was.OOMScore,
		},
		Namespaces: s.namespaces, Security: c.Config.Security, Resources: c.Config.Resources,
	}
	if cfg.Process.Cwd == "" {
		cfg.Process.Cwd = DebugRoot
	}
	cfg.Security.Privileged = cfg.Security.Privileged || o.Privileged
	if cfg.Resources.PidsLimit > 0 {
		cfg.Resources.PidsLimit += initThreads // of what watches over the session
	}
	env := spec.Env{ID: c.ID, Rootless: rootless.Rootless(), Root: "rootfs", User: user}
	if _, err := os.Stat("/dev/mqueue"); err == nil {
		env.HostMqueue = true
	}
	if cfg.Security.Privileged {
		env.Devices = hostDevices()
	}
	sp, err := spec.New(cfg, env)
	if err != nil {
		return nil, nil, err
	}
	if s.init != nil { // the name is the container's to set
		sp.Hostname, sp.Domainname = "", ""
	}
	if o.Terminal && o.Size.Width > 0 {
		sp.Process.ConsoleSize = &specs.Box{Height: uint(o.Size.Height), Width: uint(o.Size.Width)}
	}
	return &Container{ID: newID(), Name: c.Name, Config: cfg}, sp, nil
}
