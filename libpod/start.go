package libpod

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/opencontainers/runtime-spec/specs-go"
	"github.com/proa-containers/proa/image"
	"github.com/proa-containers/proa/libpod/rootless"
	"github.com/proa-containers/proa/libpod/skeleton"
	"github.com/proa-containers/proa/oci/monitor"
	"github.com/proa-containers/proa/oci/plan"
	"github.com/proa-containers/proa/oci/runtime"
	"github.com/proa-containers/proa/oci/seccomp"
	"github.com/proa-containers/proa/storage/overlay"
	"golang.org/x/sys/unix"
)

// StartError says that the container's command could not be run. Code is Docker's exit status for it: 125, 126 or 127.
type StartError struct {
	Message string
	Code    int
}

func (e *StartError) Error() string { return e.Message }

// StartOptions of Start.
type StartOptions struct {
	Attach bool         // keep the monitor's socket: the caller is its client
	Size   monitor.Size // of the terminal at first, when the container has one
	Warm   *Warm        // a monitor to use; nil: one is started
	Hold   bool         // hold the command back, as Init does
}

// Run creates a container, as Create does, calls created, and starts it, as Start does, under one lock: nobody takes
// it for one whose command was killed in between. When created fails, nothing is left.
func (e *Engine) Run(ctx context.Context, c *Container, img *image.Image, o StartOptions, created func() error) (*monitor.Conn, error) {
	unlock, err := e.create(ctx, c, img)
	if err != nil {
		return nil, err
	}
	defer unlock()
	if err := created(); err != nil {
		return nil, e.undo(c, err)
	}
	conn, err := e.startLocked(ctx, c, o)
	if err != nil && c.AutoRemove {
		err = errors.Join(err, e.destroy(c))
	}
	return conn, err
}

// Start runs a created or exited container. With Attach it returns the client's end, on which the container's output
// arrives; the caller then cleans up with Finish. A container that already runs is a *WrongStateError.
func (e *Engine) Start(ctx context.Context, c *Container, o StartOptions) (*monitor.Conn, error) {
	unlock, err := e.lockWhole(c)
	if err != nil {
		return nil, err
	}
	defer unlock()
	return e.startLocked(ctx, c, o)
}

func (e *Engine) startLocked(ctx context.Context, c *Container, o StartOptions) (*monitor.Conn, error) {
	switch st := e.Status(c); st.State {
	case Created:
		e.retire(c.ID) // whose starter was killed
	case Running, Paused, Restarting:
		return nil, &WrongStateError{c.Name, st.State, "is running already"}
	case Initialized:
		return e.release(c, o)
	case Exited:
		e.retire(c.ID) // one that went on later would write how the last run ended into the new one's directory
		if err := e.clearRun(c); err != nil {
			return nil, fmt.Errorf("clearing the last run of container %q: %w", c.Name, err)
		}
	}
	if err := os.MkdirAll(e.runDir(c.ID), 0o700); err != nil {
		return nil, fmt.Errorf("starting container %q: %w", c.Name, err)
	}
	root, err := e.mountRoot(c)
	if err != nil {
		return nil, err
	}
	defer root.close()
	if o.Attach {
		e.say(c, "attach")
	}
	conn, err := e.startIn(ctx, c, o, root)
	if err != nil {
		e.endMonitor(c.ID)
		root.close()
		return nil, errors.Join(err, e.clearRun(c))
	}
	return conn, e.noteStart(c)
}

func (e *Engine) startIn(ctx context.Context, c *Container, o StartOptions, root *rootMount) (*monitor.Conn, error) {
	s, err := e.makeSpec(ctx, c, root)
	if err != nil {
		return nil, err
	}
	if c.Terminal && o.Size.Width > 0 {
		s.Process.ConsoleSize = &specs.Box{Height: uint(o.Size.Height), Width: uint(o.Size.Width)}
	}
	if c.Runtime != "" {
		return e.startForeign(ctx, c, o, root, s)
	}
	p, err := runtime.NewPlan(s, e.planOptions(c))
	if err != nil {
		return nil, fmt.Errorf("planning container %q: %w", c.Name, err)
	}
	if p.Process.Seccomp, err = e.filter(c.Config.Security); err != nil {
		return nil, err
	}
	p.Init = c.Config.Process.Init
	finishVolumes(c, p)
	if err := e.writeBundle(c, processFile, s.Process); err != nil {
		return nil, err
	}
	return e.spawn(ctx, c, o, root, s, p)
}

func (e *Engine) cacheDir() string { return filepath.Join(e.paths.DataDir, "cache") }

func (e *Engine) planOptions(c *Container) runtime.Options {
	o := runtime.HostOptions()
	o.Bundle = e.runDir(c.ID)
	o.CompileSeccomp = func(s *specs.LinuxSeccomp) ([]byte, uint64, error) { return seccomp.Compile(s, e.cacheDir()) }
	return o
}

// processFile in the run directory is the process section of config.json: an exec takes its defaults from it. All of
// config.json, which only other runtimes need, takes a millisecond to encode.
const processFile = "process.json"

// writeBundle leaves v beside the run's other files.
func (e *Engine) writeBundle(c *Container, file string, v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("writing %s: %w", file, err)
	}
	if err := os.WriteFile(filepath.Join(e.runDir(c.ID), file), b, 0o600); err != nil {
		return fmt.Errorf("writing %s: %w", file, err)
	}
	return nil
}

// rootMount is the container's root: a detached overlay, or a directory.
type rootMount struct {
	file    *os.File         // a handle for look-ups: the mount or the directory
	overlay *overlay.Options // nil for a plain directory
	path    string           // of a plain directory
	held    []func()         // let go of the container's volumes, which it has mounts of now
}

// close may be called again.
func (r *rootMount) close() {
	r.file.Close()
	for _, release := range r.held {
		release()
	}
	r.held = nil
}

func (e *Engine) mountRoot(c *Container) (*rootMount, error) {
	if c.Rootfs != "" && !c.RootfsCopy {
		f, err := os.OpenFile(c.Rootfs, unix.O_PATH|unix.O_DIRECTORY, 0)
		if err != nil {
			return nil, fmt.Errorf("opening --rootfs %q: %w", c.Rootfs, errors.Unwrap(err))
		}
		return &rootMount{file: f, path: c.Rootfs}, nil
	}
	if c.layer != nil {
		return e.mountOverlay(c, *c.layer)
	}
	s, err := e.store()
	if err != nil {
		return nil, err
	}
	o, err := s.Overlay(c.ID)
	if err != nil {
		return nil, err
	}
	return e.mountOverlay(c, o)
}

func (e *Engine) mountOverlay(c *Container, o overlay.Options) (*rootMount, error) {
	if c.RootfsCopy {
		o.Lower = []string{c.Rootfs}
	}
	beneath, err := skeleton.Dir(e.paths.DataDir)
	if err != nil {
		return nil, err
	}
	o.Lower = append(slices.Clone(o.Lower), beneath)
	f, err := o.Mount()
	if err != nil {
		return nil, fmt.Errorf("mounting the root of container %q: %w", c.Name, err)
	}
	return &rootMount{file: f, overlay: &o}, nil
}

// spawn configures the monitor and waits for its word that the command runs. Without a plan another runtime runs it.
func (e *Engine) spawn(ctx context.Context, c *Container, o StartOptions, root *rootMount, s *specs.Spec, p *plan.Plan) (*monitor.Conn, error) {
	warm := o.Warm
	if warm == nil {
		warm = e.Warm(ctx, c)
	}
	m, err := warm.take()
	if m == nil && err == nil { // cancelled
		warm = e.Warm(ctx, c)
		m, err = warm.take()
	}
	if err != nil {
		return nil, err
	}
	if c.networked() {
		err = e.join(c, m, warm)
		defer warm.nets.Close()
	}
	if err == nil {
		err = e.configure(c, o, m, root, s, p, warm.cgroup)
	}
	if err == nil {
		err = awaitStart(ctx, c, m)
	}
	if err != nil {
		m.discard()
		warm.dropCgroup()
		return nil, err
	}
	m.cmd.Process.Release()
	if !o.Attach {
		m.conn.Close()
		return nil, nil
	}
	return m.conn, nil
}

func (e *Engine) configure(c *Container, o StartOptions, m *monitorProcess, root *rootMount, s *specs.Spec, p *plan.Plan, cgroupDir string) error {
	self, err := os.Readlink("/proc/self/exe")
	if err != nil {
		return fmt.Errorf("finding proa itself: %w", err)
	}
	log, err := monitorLog(c)
	if err != nil {
		return err
	}
	cfg := monitor.Config{
		ID: c.ID, Dir: e.runDir(c.ID), HasRoot: root.overlay != nil,
		Log: log, Terminal: c.Terminal, Stdin: c.Stdin, Attached: o.Attach, Hold: o.Hold, Restart: c.Restart, Events: e.eventSource(c),
		Cleanup: []string{self, "container", "cleanup", c.ID}, CleanupEnv: rootless.ChildEnv(os.Environ()),
	}
	if err := e.place(c, s, cgroupDir, p, &cfg); err != nil {
		return err
	}
	if p == nil {
		cfg.Runtime, err = e.prepareForeign(c, s, root)
	} else if cfg.Plan, err = json.Marshal(p); err != nil {
		err = fmt.Errorf("encoding the plan: %w", err)
	}
	if err != nil {
		return err
	}
	if cfg.Health, err = e.healthConfig(c, s); err != nil {
		return err
	}
	if cfg.Health != nil {
		cfg.Health.FreezeFile = e.freezeFile(c.ID, cfg.CgroupDir)
	}
	conf, err := memfile("monitor config", cfg)
	if err != nil {
		return err
	}
	defer conf.Close()
	files := []*os.File{conf}
	if root.overlay != nil {
		files = append(files, root.file)
	}
	if err := m.conn.SendFiles(monitor.Configure, nil, files...); err != nil {
		return fmt.Errorf("starting container %q: configuring its monitor: %w", c.Name, err)
	}
	return nil
}

func awaitStart(ctx context.Context, c *Container, m *monitorProcess) error {
	conn := m.conn
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	defer m.guard()()
	buf := make([]byte, monitor.MaxPayload+1)
	kind, payload, err := conn.Receive(buf)
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case err != nil:
		return fmt.Errorf("starting container %q: the monitor ended without a word: %w", c.Name, err)
	case kind == monitor.Started:
		return nil
	}
	var f monitor.Failure
	if err := json.Unmarshal(payload, &f); err != nil {
		return fmt.Errorf("starting container %q: reading the monitor's answer: %w", c.Name, err)
	}
	return &StartError{f.Message, f.Code}
}

// memfile is v as JSON in a memory file, for a child to read from its start.
func memfile(name string, v any) (*os.File, error) {
	b, err := json.Marshal(v)
	if err != nil {
		return nil, fmt.Errorf("encoding the %s: %w", name, err)
	}
	fd, err := unix.MemfdCreate(name, unix.MFD_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("making a memory file: %w", err)
	}
	f := os.NewFile(uintptr(fd), name)
	if _, err := f.WriteAt(b, 0); err != nil {
		f.Close()
		return nil, fmt.Errorf("writing the %s: %w", name, err)
	}
	return f, nil
}

// Finish ends an attached run: it settles the container once its monitor has gone.
func (e *Engine) Finish(c *Container) error {
	deadline := time.Now().Add(2 * time.Second)
	for e.wake(c.ID) && time.Now().Before(deadline) {
		time.Sleep(500 * time.Microsecond)
	}
	_, err := e.settle(c)
	return err
}
