// Package sandbox runs one command of a build in a tree of files, through the bundled runtime and with a container's
// isolation. What it makes for that lies in a directory of a mount namespace that this process has for itself, so that
// nothing of it outlives the process, and the command ends with the process, however that ends. It knows neither layers
// nor LLB, and runs in proa-build, as uid 0 of the user's namespace or as root.
package sandbox

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/proa-containers/proa/libpod/rootless"
	"github.com/proa-containers/proa/libpod/tree"
	"github.com/proa-containers/proa/oci/launch"
	"github.com/proa-containers/proa/oci/plan"
	"github.com/proa-containers/proa/oci/runtime"
	"github.com/proa-containers/proa/oci/seccomp"
	"github.com/proa-containers/proa/oci/spec"
)

// Host is what all commands of a build share.
type Host struct {
	Init  func() (*os.File, error) // proa-init
	Cache string                   // of compiled seccomp filters
	dir   string                   // a tmpfs of this mount namespace
	count atomic.Int64
}

// Open makes the place for what commands are given. The process has a mount namespace of its own already. dir is any
// directory of the user's: what is in it is hidden from this process.
func (h *Host) Open(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("making the directory of the build: %w", err)
	}
	if err := unix.Mount("proa-build", dir, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, "mode=0755"); err != nil {
		return fmt.Errorf("mounting the directory of the build at %q: %w", dir, err)
	}
	h.dir = dir
	return nil
}

// Dir makes an empty directory for one command.
func (h *Host) Dir() (string, error) {
	dir := filepath.Join(h.dir, fmt.Sprint(h.count.Add(1)))
	if err := os.Mkdir(dir, 0o755); err != nil {
		return "", fmt.Errorf("making the directory of a step: %w", err)
	}
	return dir, nil
}

// Command is what runs.
type Command struct {
	ID       string
	Root     *os.File // a mount of its files that is attached nowhere
	Dir      string   // of Host.Dir, for what the command needs besides
	Config   spec.Config
	Out, Err io.Writer
}

// Exit says that a command ran and how it ended.
type Exit struct{ Code int }

func (e *Exit) Error() string { return fmt.Sprintf("exit code: %d", e.Code) }

// Run runs the command to its end. The error is an *Exit when it failed. The places of mounts that were not in the root are
// not in it afterwards.
func (h *Host) Run(ctx context.Context, c *Command) error {
	p, err := h.plan(c)
	if err != nil {
		return err
	}
	clean := stubs(c)
	err = h.start(ctx, c, p)
	if cerr := clean(); err == nil {
		err = cerr
	}
	return err
}

func (h *Host) plan(c *Command) (*plan.Plan, error) {
	proc := &c.Config.Process
	user, err := spec.ResolveUser(c.Root, proc.User, nil)
	if err != nil {
		return nil, err
	}
	if proc.Cwd != "" && proc.Cwd != "/" {
		if err := spec.EnsureDir(c.Root, proc.Cwd); err != nil {
			return nil, err
		}
	}
	files, err := etcFiles(c)
	if err != nil {
		return nil, err
	}
	env := spec.Env{ID: c.ID, Rootless: rootless.Rootless(), Root: "rootfs", User: user, Files: files}
	if _, err := os.Stat("/dev/mqueue"); err == nil {
		env.HostMqueue = true
	}
	s, err := spec.New(c.Config, env)
	if err != nil {
		return nil, err
	}
	// A container's environment has its name; that of a build's command has not, as Docker's.
	if !slices.ContainsFunc(proc.Env, func(e string) bool { return strings.HasPrefix(e, "HOSTNAME=") }) {
		s.Process.Env = slices.DeleteFunc(s.Process.Env, func(e string) bool { return strings.HasPrefix(e, "HOSTNAME=") })
	}
	o := runtime.HostOptions()
	o.Bundle = c.Dir
	o.CompileSeccomp = func(s *specs.LinuxSeccomp) ([]byte, uint64, error) { return seccomp.Compile(s, h.Cache) }
	p, err := runtime.NewPlan(s, o)
	if err != nil {
		return nil, fmt.Errorf("planning the step: %w", err)
	}
	sec := c.Config.Security
	if !sec.Privileged && sec.Seccomp != "unconfined" {
		f, err := seccomp.Default(sec.Seccomp, sec.Capabilities(), h.Cache)
		if err != nil {
			return nil, err
		}
		p.Process.Seccomp = &plan.Seccomp{Filter: f.BPF, Flags: f.Flags}
	}
	p.Init, p.Lifeline = true, true
	return p, nil
}

// etcFiles writes what the command sees as its hosts, its host's name and its resolv.conf.
func etcFiles(c *Command) (map[string]string, error) {
	n := c.Config.Namespaces
	hosts := "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n"
	var resolv []byte
	if n.Network == "host" {
		if b, err := os.ReadFile("/etc/hosts"); err == nil {
			hosts = string(b)
		}
		resolv, _ = os.ReadFile("/etc/resolv.conf")
	}
	for _, h := range n.ExtraHosts {
		host, ip, _ := strings.Cut(h, ":")
		hosts += ip + "\t" + host + "\n"
	}
	out := map[string]string{}
	for target, text := range map[string][]byte{"/etc/hosts": []byte(hosts), "/etc/hostname": []byte(n.Hostname + "\n"), "/etc/resolv.conf": resolv} {
		if c.Config.Mounts.Mounted(target) {
			continue
		}
		out[target] = filepath.Join(c.Dir, filepath.Base(target))
		if err := os.WriteFile(out[target], text, 0o644); err != nil {
			return nil, fmt.Errorf("writing the step's %s: %w", target, err)
		}
	}
	return out, nil
}

// start runs the plan and waits for its end.
func (h *Host) start(ctx context.Context, c *Command, p *plan.Plan) error {
	prog, err := h.Init()
	if err != nil {
		return err
	}
	defer prog.Close()
	// The write end is nobody's but this process's, and closes with it.
	life, hold, err := os.Pipe()
	if err != nil {
		return err
	}
	defer hold.Close()
	defer life.Close()
	out, err := newStream(c.Out)
	if err != nil {
		return err
	}
	errs, err := newStream(c.Err)
	if err != nil {
		out.close()
		return err
	}
	proc, err := launch.Start(&launch.Config{InitFD: prog, Plan: p, RootFD: c.Root, Stdout: out.theirs, Stderr: errs.theirs, Preserve: []*os.File{life}})
	out.theirs.Close()
	errs.theirs.Close()
	if err != nil {
		out.close()
		errs.close()
		var start *plan.Error
		if errors.As(err, &start) && start.ExitCode() != 125 {
			return fmt.Errorf("%w: %w", &Exit{start.ExitCode()}, err)
		}
		return err
	}
	defer proc.PidFD.Close()
	stop := context.AfterFunc(ctx, func() { _ = unix.PidfdSendSignal(int(proc.PidFD.Fd()), unix.SIGKILL, nil, 0) })
	status, err := proc.Wait()
	stop()
	out.close()
	errs.close()
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case err != nil:
		return err
	case status.Signaled():
		return &Exit{128 + int(status.Signal())}
	case status.ExitStatus() != 0:
		return &Exit{status.ExitStatus()}
	}
	return nil
}

// stream is a pipe from the command to a writer.
type stream struct {
	ours, theirs *os.File
	done         sync.WaitGroup
}

func newStream(w io.Writer) (*stream, error) {
	r, t, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	s := &stream{ours: r, theirs: t}
	s.done.Go(func() { _, _ = io.Copy(w, r) })
	return s, nil
}

// close waits for what is left in the pipe.
func (s *stream) close() {
	s.theirs.Close()
	s.done.Wait()
	s.ours.Close()
}

// stubs notes which places of mounts are not in the root; the returned function removes what was made for them, unless the
// command put something there.
func stubs(c *Command) func() error {
	var made []string
	for _, m := range c.Config.Mounts.List {
		for at := filepath.Clean(m.Target); at != "/"; at = filepath.Dir(at) {
			p, err := tree.Find(c.Root, at, true)
			if err == nil {
				there := p.File != nil
				p.Close()
				if there {
					break
				}
			}
			made = append(made, at)
		}
	}
	return func() error {
		slices.SortFunc(made, func(a, b string) int { return len(b) - len(a) })
		for _, at := range slices.Compact(made) {
			p, err := tree.Find(c.Root, at, false)
			if err != nil || p.File == nil {
				continue
			}
			var st unix.Stat_t
			err = unix.Fstat(int(p.File.Fd()), &st)
			switch {
			case err != nil:
			case p.IsDir():
				_ = unix.Unlinkat(int(p.Parent.Fd()), p.Base, unix.AT_REMOVEDIR) // only an empty one
			case st.Mode&unix.S_IFMT == unix.S_IFREG && st.Size == 0:
				err = unix.Unlinkat(int(p.Parent.Fd()), p.Base, 0)
			}
			p.Close()
			if err != nil {
				return fmt.Errorf("removing the place of a mount: %w", err)
			}
		}
		return nil
	}
}
