package libpod

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/proa-containers/proa/libpod/state"
	"golang.org/x/sys/unix"
)

// Remove removes a container; a running one only with force, which kills it.
func (e *Engine) Remove(ctx context.Context, c *Container, force bool) error {
	st := e.Status(c)
	if st.State == Running || st.State == Paused {
		if !force {
			return &WrongStateError{c.Name, st.State, "is running: stop it before removing it, or remove it with --force"}
		}
		if err := e.killNow(ctx, c); err != nil && !errors.Is(err, state.ErrNotFound) { // another may remove it too
			return err
		}
	}
	unlock, err := e.lock(c.ID)
	if err != nil {
		return err
	}
	defer unlock()
	if err := e.reread(c); errors.Is(err, state.ErrNotFound) {
		return nil // it was to go when it ended, and did
	} else if err != nil {
		return err
	}
	if err := e.destroy(c); err != nil {
		return err
	}
	s, err := e.store()
	if err != nil {
		return err
	}
	return s.Sweep()
}

// killNow ends the init whatever its state, and waits until it is gone.
func (e *Engine) killNow(ctx context.Context, c *Container) error {
	if e.Status(c).State == Paused {
		if err := e.thaw(c); err != nil {
			return err
		}
	}
	if err := e.signal(c, unix.SIGKILL); err != nil {
		var wrong *WrongStateError
		if errors.As(err, &wrong) {
			return nil
		}
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	if _, err := e.Wait(ctx, c); err != nil {
		return fmt.Errorf("killing container %q: %w", c.Name, err)
	}
	return nil
}

// destroy removes everything of a container that does not run: directories and layer, then the record, so that a
// command killed in between leaves a record that the next one finishes. The caller holds the container's lock.
func (e *Engine) destroy(c *Container) error {
	if err := e.note(c.ID, unfinished); err != nil {
		return err
	}
	e.retire(c.ID)
	if err := e.dropForeign(c); err != nil {
		return fmt.Errorf("removing container %q: %w", c.Name, err)
	}
	dirs := make(chan error, 1)
	go func() { dirs <- errors.Join(e.dropCgroups(c.ID), os.RemoveAll(e.dataDir(c.ID)), e.dropRunDir(c.ID)) }()
	err := e.deleteLayer(c)
	if failed := <-dirs; failed != nil {
		err = errors.Join(err, fmt.Errorf("removing container %q: %w", c.Name, failed))
	}
	if err != nil {
		return err
	}
	r, err := c.record()
	if err != nil {
		return err
	}
	if err := e.state.Remove(r); err != nil {
		return err
	}
	os.Remove(e.lockPath(c.ID))
	return nil
}

func (e *Engine) deleteLayer(c *Container) error {
	if c.Rootfs != "" && !c.RootfsCopy {
		return nil
	}
	s, err := e.store()
	if err != nil {
		return err
	}
	return s.DeleteContainer(c.ID)
}
