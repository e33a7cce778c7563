package libpod

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/proa-containers/proa/image"
	"github.com/proa-containers/proa/libpod/tree"
	"github.com/proa-containers/proa/storage"
	"golang.org/x/sys/unix"
)

// CommitOptions of Commit.
type CommitOptions struct {
	Name            string // of the image; empty: none
	Author, Message string
	Changes         []string // Dockerfile instructions
	Format          image.Format
	// Pause stops a running container's processes meanwhile, where that can be done; MustPause makes it an error where
	// it can't.
	Pause, MustPause bool
	Squash           bool // all files in one layer, in place of the changes on the layers of its image
	Volumes          bool // what is mounted in the container is a volume of the image
}

// Commit makes an image of what the container has changed in its own. Nothing is left of it after an error.
func (e *Engine) Commit(ctx context.Context, c *Container, o CommitOptions) (*image.Image, error) {
	if c.Rootfs != "" && !o.Squash {
		return nil, fmt.Errorf("container %q is made of the directory %q and not of an image, on which a layer could lie; --squash makes one of all its files", c.Name, c.Rootfs)
	}
	name := ""
	var err error
	if o.Name != "" {
		if name, err = image.LocalName(o.Name); err != nil {
			return nil, err
		}
	}
	s, err := e.store()
	if err != nil {
		return nil, err
	}
	in, err := commitInput(s, c, o)
	if err != nil {
		return nil, fmt.Errorf("committing container %q: %w", c.Name, err)
	}
	in.Name = name
	thaw, err := e.still(c, o)
	if err != nil {
		return nil, err
	}
	img, err := e.commitLayer(ctx, s, c, in)
	if err = errors.Join(err, thaw()); err != nil {
		return nil, fmt.Errorf("committing container %q: %w", c.Name, err)
	}
	e.say(c, "commit", "comment", o.Message, "imageID", "sha256:"+img.ID, "imageRef", name)
	e.SayImage("create", img.ID, cmp.Or(name, "sha256:"+img.ID), img.Config.Labels)
	if name != "" {
		e.SayImage("tag", img.ID, name, img.Config.Labels)
	}
	return img, nil
}

// commitInput is what the image is made of besides the layer.
func commitInput(s *storage.Store, c *Container, o CommitOptions) (in image.CommitOptions, err error) {
	in = image.CommitOptions{
		Squash: o.Squash, Author: o.Author, Message: o.Message, Format: o.Format, CreatedBy: strings.Join(c.Config.Process.Args, " "),
	}
	var cfg image.Config
	if c.Rootfs == "" {
		if in.Base, err = image.Lookup(s, c.ImageID); err != nil {
			return in, err
		}
		cfg = in.Base.Config
	}
	in.Config = commitConfig(c, cfg)
	if o.Volumes {
		for _, m := range c.Config.Mounts.List {
			if in.Config.Volumes == nil {
				in.Config.Volumes = map[string]struct{}{}
			}
			in.Config.Volumes[m.Target] = struct{}{}
		}
	}
	if err := in.Config.Change(o.Changes); err != nil {
		return in, err
	}
	if !o.Squash {
		in.Parent, err = s.ParentLayer(c.ID)
	}
	return in, err
}

func (e *Engine) commitLayer(ctx context.Context, s *storage.Store, c *Container, o image.CommitOptions) (*image.Image, error) {
	if o.Squash {
		return e.commitTree(ctx, s, c, o)
	}
	layer, err := e.layerOf(c)
	if err != nil {
		return nil, err
	}
	r, err := storage.LayerArchive(layer)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	o.Layer = &cancelled{ctx, r}
	return image.Commit(s, o)
}

// commitTree makes an image of one layer, which has all of the container's files.
func (e *Engine) commitTree(ctx context.Context, s *storage.Store, c *Container, o image.CommitOptions) (*image.Image, error) {
	root, err := e.readRoot(c)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	r, w := io.Pipe()
	done := make(chan struct{})
	go func() {
		defer close(done)
		sink := tree.Archive(w)
		err := tree.Walk(ctx, root, ".", sink, e.warn)
		if err == nil {
			err = sink.Close()
		}
		w.CloseWithError(err)
	}()
	o.Layer = r
	img, err := image.Commit(s, o)
	r.Close() // ends the walk, if it has not
	<-done
	return img, err
}

// cancelled is a reader that ends with its context.
type cancelled struct {
	ctx context.Context
	r   io.Reader
}

func (c *cancelled) Read(p []byte) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, err
	}
	return c.r.Read(p)
}

// commitConfig is the image's configuration with what the container was made with, as Docker has it.
func commitConfig(c *Container, cfg image.Config) image.Config {
	p := c.Config.Process
	cfg.Cmd, cfg.Entrypoint, cfg.User, cfg.Labels = p.Cmd, p.Entrypoint, p.User, maps.Clone(c.Labels)
	cfg.Env = nil
	for _, v := range p.Env {
		key, _, _ := strings.Cut(v, "=")
		if i := slices.IndexFunc(cfg.Env, func(old string) bool { return strings.HasPrefix(old, key+"=") }); i >= 0 {
			cfg.Env[i] = v
		} else {
			cfg.Env = append(cfg.Env, v)
		}
	}
	if p.Cwd != "" {
		cfg.WorkingDir = p.Cwd
	}
	if c.StopSignal != "" {
		cfg.StopSignal = c.StopSignal
	}
	cfg.ExposedPorts, cfg.Volumes, cfg.OnBuild = maps.Clone(cfg.ExposedPorts), maps.Clone(cfg.Volumes), slices.Clone(cfg.OnBuild)
	return cfg
}

// stillFile in the run directory is locked by the command that has the container paused for a moment. Where it is left
// and not locked, that command was killed.
const stillFile = "still"

// still pauses a running container; thaw lets it go on.
func (e *Engine) still(c *Container, o CommitOptions) (thaw func() error, err error) {
	nothing := func() error { return nil }
	if !o.Pause || e.Status(c).State != Running {
		return nothing, nil
	}
	path := filepath.Join(e.runDir(c.ID), stillFile)
	mark, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nothing, nil // it has just ended
	}
	if unix.Flock(int(mark.Fd()), unix.LOCK_EX|unix.LOCK_NB) != nil {
		mark.Close()
		return nil, fmt.Errorf("container %q is being committed by another command; wait for it, or use --pause=false", c.Name)
	}
	done := func() {
		os.Remove(path)
		mark.Close()
	}
	var wrong *WrongStateError
	switch err := e.freeze(c, Running, true); {
	case err == nil:
		return func() error {
			defer done()
			if err := e.freeze(c, Paused, false); err != nil && !errors.As(err, &wrong) {
				return err
			}
			return nil
		}, nil
	case errors.As(err, &wrong): // it has just ended, or was paused already
		done()
		return nothing, nil
	case o.MustPause:
		done()
		return nil, err
	default:
		done()
		e.warn(fmt.Errorf("files may change while they are committed: %w", err))
		return nothing, nil
	}
}

// unstill lets a container go on whose commit was killed.
func (e *Engine) unstill(c *Container) error {
	path := filepath.Join(e.runDir(c.ID), stillFile)
	mark, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return nil
	}
	defer mark.Close()
	if unix.Flock(int(mark.Fd()), unix.LOCK_EX|unix.LOCK_NB) != nil {
		return nil // it goes on
	}
	return e.Unpause(c)
}
