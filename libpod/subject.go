package libpod

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/proa-containers/proa/libpod/state"
	"github.com/proa-containers/proa/oci/monitor"
	"github.com/proa-containers/proa/oci/runtime"
	"github.com/proa-containers/proa/oci/spec"
	"github.com/proa-containers/proa/storage/overlay"
)

// subject is the container that a debug session looks at.
type subject struct {
	tree       *os.File        // its files, detached mounts
	root       *os.File        // the toolbox with tree in it
	namespaces spec.Namespaces // of the session
	texts      map[string][]byte
	init       *monitor.Init // of a running container
	files      []*os.File
	held       []func()
}

// close lets go of everything, the last first.
func (s *subject) close() {
	s.closeFiles()
	for _, release := range slices.Backward(s.held) {
		release()
	}
}

// closeFiles closes what the session has when it has started. A client that is stopped would keep the container's files
// mounted for longer than the session lives.
func (s *subject) closeFiles() {
	for _, f := range s.files {
		f.Close()
	}
	s.files = nil
}

// CheckDebug is the error of a debug session that the container's state does not allow: Debug's own, before a toolbox is
// brought from far.
func (e *Engine) CheckDebug(c *Container, writable bool) error {
	st := e.Status(c)
	switch {
	case st.State == Paused:
		return &WrongStateError{c.Name, st.State, "can't be debugged: unpause it first"}
	case st.State == Initialized:
		return &WrongStateError{c.Name, st.State, "can't be debugged: start it first"}
	case st.State == Restarting && writable:
		// Its monitor has the overlay mounted; what two mounts of one upper directory do is undefined (overlayfs.rst).
		return &WrongStateError{c.Name, st.State, "can't have its files written between two runs: stop it, or leave out --writable"}
	}
	return nil
}

// subject opens the container. Its files can be written to only with writable.
func (e *Engine) subject(ctx context.Context, c *Container, writable bool) (*subject, error) {
	s := &subject{}
	err := e.openSubject(ctx, c, s, writable)
	if err == nil {
		return s, nil
	}
	s.close()
	_, lookup := e.state.Find(c.ID)
	if whole, _ := e.noted(c.ID); !whole || errors.Is(lookup, state.ErrNotFound) { // it was removed meanwhile, or just is
		return nil, fmt.Errorf("%w: %q", state.ErrNotFound, c.Name)
	}
	return nil, err
}

func (e *Engine) openSubject(ctx context.Context, c *Container, s *subject, writable bool) error {
	running := func() bool { return e.Status(c).PID != 0 }
	for deadline := time.Now().Add(patience); ; time.Sleep(5 * time.Millisecond) {
		if err := errors.Join(ctx.Err(), e.CheckDebug(c, writable)); err != nil {
			return err
		}
		if running() {
			err := e.openRunning(c, s, writable)
			var wrong *WrongStateError
			if !errors.As(err, &wrong) || wrong.State != Exited || time.Now().After(deadline) {
				return err
			}
			s.closeFiles() // it is just ending
			s.init = nil
			continue
		}
		if !writable {
			return e.openStopped(ctx, c, s, false)
		}
		// A container whose upper directory is mounted must not be started, nor its files be removed.
		unlock, err := e.lockUnless(ctx, c.ID)
		if err != nil {
			return err
		}
		if err := errors.Join(e.reread(c), e.CheckDebug(c, writable)); err != nil {
			unlock()
			return err
		}
		if !running() {
			s.held = append(s.held, unlock)
			return e.openStopped(ctx, c, s, true)
		}
		unlock() // started while the lock was waited for
	}
}

// joinedKinds are the namespaces that a session shares with a running container. Its mount namespace is its own, and so is
// its cgroup namespace, from within which it could not be born in a cgroup beside the container's.
var joinedKinds = []string{"pid", "net", "ipc", "uts"}

func (e *Engine) openRunning(c *Container, s *subject, writable bool) error {
	t, err := e.execTarget(c)
	if err != nil {
		return err
	}
	defer t.close()
	s.init = &monitor.Init{}
	if err := readJSON(filepath.Join(e.runDir(c.ID), monitor.InitFile), s.init); err != nil || s.init.PID != t.PID {
		return &WrongStateError{c.Name, Exited, "is not running"} // it is just ending
	}
	n := c.Config.Namespaces
	s.namespaces = spec.Namespaces{Hostname: n.Hostname}
	if n.Cgroup == "host" {
		s.namespaces.Cgroup = n.Cgroup
	}
	for i, mode := range []*string{&s.namespaces.PID, &s.namespaces.Network, &s.namespaces.IPC, &s.namespaces.UTS} {
		if *mode, err = s.join(t.PID, joinedKinds[i]); err != nil {
			return fmt.Errorf("opening the %s namespace of container %q: %w", joinedKinds[i], c.Name, err)
		}
	}
	if s.tree, err = treeOf(t.PIDFD, t.Root); err != nil {
		return fmt.Errorf("opening the files of container %q: %w", c.Name, err)
	}
	s.files = append(s.files, s.tree)
	if !alive(*s.init) { // what was opened by its pid may have been another's
		return &WrongStateError{c.Name, Exited, "is not running"}
	}
	s.texts = map[string][]byte{}
	for _, name := range etcNames {
		if b := readText(t.Root, name); b != nil {
			s.texts[name] = b
		}
	}
	if writable {
		return nil
	}
	return readOnlyTree(s.tree)
}

// join is the mode that makes a session share a namespace of process pid: "host" where that has proa's own.
func (s *subject) join(pid int, kind string) (string, error) {
	f, err := os.Open(fmt.Sprintf("/proc/%d/ns/%s", pid, kind))
	if err != nil {
		return "", err
	}
	s.files = append(s.files, f)
	its, err := f.Stat()
	if err != nil {
		return "", err
	}
	ours, err := os.Stat("/proc/thread-self/ns/" + kind)
	if err != nil {
		return "", err
	}
	if os.SameFile(its, ours) {
		return "host", nil
	}
	return fmt.Sprintf("ns:/proc/self/fd/%d", f.Fd()), nil
}

// openStopped opens a container that does not run. To be read it needs no lock: its layer is one of those beneath a mount
// that changes nothing, and what becomes of it meanwhile is nobody's concern but the reader's.
func (e *Engine) openStopped(ctx context.Context, c *Container, s *subject, writable bool) error {
	n := c.Config.Namespaces
	s.namespaces = spec.Namespaces{Hostname: n.Hostname, Domainname: n.Domainname, Network: "none"}
	if n.Network == "host" {
		s.namespaces.Network = "host"
	}
	s.texts = e.etcTexts(c)
	open := e.coverRoot
	if writable {
		open = e.mountRoot
	}
	root, err := open(c)
	if err != nil {
		return err
	}
	s.held = append(s.held, func() { e.releaseVolumes(c, writable) })
	defer root.close() // the copy of the mounts is enough: nobody is to wait for the session to be over
	mounts, err := e.heldMounts(ctx, c, root)
	if err != nil {
		return err
	}
	list := slices.DeleteFunc(boundMounts(mounts), func(b bound) bool {
		_, err := os.Stat(b.Source)
		if err != nil { // perhaps why it does not start
			e.warn(fmt.Errorf("container %q: what is to be mounted at %q is not there: %w", c.Name, b.Target, err))
		}
		return err != nil
	})
	ns, err := bindInto(e.paths.RunDir, root, list, writable && c.Config.Mounts.ReadonlyRoot)
	if err != nil {
		return fmt.Errorf("mounting the files of container %q: %w", c.Name, err)
	}
	defer ns.Close()
	if s.tree, err = treeOf(ns, root.file); err != nil {
		return fmt.Errorf("mounting the files of container %q: %w", c.Name, err)
	}
	s.files = append(s.files, s.tree)
	if writable {
		return nil
	}
	return readOnlyTree(s.tree)
}

// coverRoot is the root of a container that does not run, under a layer in memory for what has to be made to mount on.
func (e *Engine) coverRoot(c *Container) (*rootMount, error) {
	o := overlay.Options{Lower: []string{c.Rootfs}, UserXattr: runtime.HostOptions().UserNS}
	if c.Rootfs == "" || c.RootfsCopy {
		var err error
		if o, err = e.layerOf(c); err != nil {
			return nil, err
		}
		o.Lower, o.Volatile = slices.Concat([]string{o.Upper}, o.Lower), false
	}
	o, err := e.onSkeleton(o)
	if err != nil {
		return nil, err
	}
	f, err := throwAway(e.paths.RunDir, o, nil)
	if err != nil {
		return nil, fmt.Errorf("mounting the root of container %q: %w", c.Name, err)
	}
	return &rootMount{file: f, overlay: &o}, nil
}

// releaseVolumes unmounts those of the container's volumes that were mounted for the session, unless the container has
// been started meanwhile: they go with it then.
func (e *Engine) releaseVolumes(c *Container, locked bool) {
	if !slices.ContainsFunc(c.Config.Mounts.List, func(m spec.Mount) bool { return m.Volume != nil && m.Volume.Mounted }) {
		return
	}
	if !locked {
		unlock, err := e.tryLock(c.ID)
		if err != nil || unlock == nil {
			return
		}
		defer unlock()
		if st := e.Status(c).State; st != Created && st != Exited {
			return
		}
	}
	if err := e.unmountVolumes(c); err != nil {
		e.warn(err)
	}
}
