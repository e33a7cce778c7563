// Package libpod is the engine: one verb of a container's life a file. It runs in proa, as uid 0 of proa's user
// namespace or as root, keeps nothing in memory between two calls, prints nothing and never exits. What a container
// is comes from libpod/state, how it is from the kernel (Status).
package libpod

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"github.com/proa-containers/proa/image"
	"github.com/proa-containers/proa/libpod/config"
	"github.com/proa-containers/proa/libpod/initbin"
	"github.com/proa-containers/proa/libpod/rootless"
	"github.com/proa-containers/proa/libpod/state"
	"github.com/proa-containers/proa/storage"
)

// Engine serves one invocation of proa.
type Engine struct {
	paths config.Paths
	state *state.Store
	log   *slog.Logger
	store func() (*storage.Store, error)

	cgroupfs bool
	warn     func(error)
}

// Options of New.
type Options struct {
	Paths config.Paths
	Log   *slog.Logger
	// Cgroupfs makes cgroups without asking systemd.
	Cgroupfs bool
	// Warn hears of what does not keep a verb from being done; nil drops it.
	Warn func(error)
}

// New is an engine over the user's state; nothing is opened before it is needed.
func New(ctx context.Context, o Options) (*Engine, error) {
	if err := os.MkdirAll(filepath.Join(o.Paths.RunDir, "containers"), 0o700); err != nil {
		return nil, fmt.Errorf("making the run directory: %w", err)
	}
	e := &Engine{paths: o.Paths, log: o.Log, state: state.New(o.Paths.DataDir, o.Paths.RunDir)}
	e.cgroupfs, e.warn = o.Cgroupfs, o.Warn
	if e.warn == nil {
		e.warn = func(error) {}
	}
	if e.log == nil {
		e.log = slog.New(slog.DiscardHandler)
	}
	e.store = sync.OnceValues(func() (*storage.Store, error) {
		return storage.Open(ctx, storage.Options{Rootless: rootless.Inside(), OuterUID: rootless.OuterUID(), Home: o.Paths.Home})
	})
	return e, nil
}

// Store is the image and layer store.
func (e *Engine) Store() (*storage.Store, error) { return e.store() }

// Paths are the engine's directories.
func (e *Engine) Paths() config.Paths { return e.paths }

// Image finds a local image; the built-in one is made when its name is asked for and no other has it.
func (e *Engine) Image(name string) (*image.Image, error) {
	s, err := e.store()
	if err != nil {
		return nil, err
	}
	img, err := image.Lookup(s, name)
	if isHello(name) && (errors.Is(err, image.ErrNotFound) || err == nil && strings.HasPrefix(img.Match, "localhost/proa/hello:")) {
		return image.EnsureHello(s, initbin.Binary())
	}
	return img, err
}

// isHello tells whether name is the built-in image's, in a form that a registry is not named in.
func isHello(name string) bool {
	switch name {
	case "hello", "hello:latest", "proa/hello", "localhost/proa/hello", "localhost/proa/hello:latest":
		return true
	}
	return false
}

// openInit is the sealed proa-init.
func (e *Engine) openInit() (*os.File, error) {
	return initbin.Open(rootless.Holder(filepath.Join(e.paths.RunDir, "pause.lock")))
}

// Lookup finds a container by name, id or prefix of an id.
func (e *Engine) Lookup(ref string) (*Container, error) {
	r, err := e.state.Find(ref)
	if err != nil {
		return nil, err
	}
	c, err := decode(r)
	if err != nil {
		return nil, err
	}
	return c, e.whole(c)
}

// ImageAfterPull finds an image that another process has stored since this one opened the store.
func (e *Engine) ImageAfterPull(id string) (*image.Image, error) {
	s, err := e.store()
	if err != nil {
		return nil, err
	}
	return image.Lookup(s, id)
}
