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
	unlock, err := e.lockEnded(ctx, c, force)
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

// lockEnded takes the lock of a container that does not run; with force it kills one that does.
func (e *Engine) lockEnded(ctx context.Context, c *Container, force bool) (unlock func(), err error) {
	up := func() (State, bool) {
		st := e.Status(c)
		return st.State, st.State != Created && st.State != Exited
	}
	for {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if st, up := up(); up {
			if !force && st != Initialized {
				return nil, &WrongStateError{c.Name, st, "can't be removed: stop it before, or remove it with --force"}
			}
			if err := e.killNow(ctx, c); err != nil && !errors.Is(err, state.ErrNotFound) { // another may remove it too
				return nil, err
			}
		}
		if unlock, err = e.lock(c.ID); err != nil {
			return nil, err
		}
		if _, up := up(); !up {
			return unlock, nil
		}
		unlock() // started meanwhile
	}
}

// killNow ends the init whatever its state, and waits until it is gone.
func (e *Engine) killNow(ctx context.Context, c *Container) error {
	if err := e.stayPut(c); err != nil {
		return fmt.Errorf("killing container %q: %w", c.Name, err)
	}
	switch e.Status(c).State {
	case Restarting:
		e.endWait(c)
	case Paused:
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

// destroy is erase for a container that was there whole.
func (e *Engine) destroy(c *Container) error {
	err := e.erase(c)
	if err == nil {
		e.say(c, "destroy")
	}
	return err
}

// erase removes everything of a container that does not run: directories and layer, then the record, so that a
// command killed in between leaves a record that the next one finishes. The caller holds the container's lock.
func (e *Engine) erase(c *Container) error {
	if err := e.noteUnfinished(c); err != nil {
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
	if err = errors.Join(err, e.unmountVolumes(c), e.dropVolumes(c)); err != nil {
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

// noteUnfinished notes that less than the container is there, and whether its own volumes go with the rest.
func (e *Engine) noteUnfinished(c *Container) error {
	err := e.note(c.ID, unfinished)
	if err == nil && c.DropVolumes && c.hasAnonymous() {
		err = e.note(c.ID, andVolumes)
	}
	return err
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
