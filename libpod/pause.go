package libpod

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/proa-containers/proa/libpod/cgroup"
)

// Pause stops every process of the running container through its cgroup.
func (e *Engine) Pause(c *Container) error {
	os.Remove(filepath.Join(e.runDir(c.ID), stillFile)) // from now on it is paused because somebody wants it
	return e.freeze(c, Running, true)
}

// Unpause lets the processes of a paused container go on.
func (e *Engine) Unpause(c *Container) error {
	os.Remove(filepath.Join(e.runDir(c.ID), stillFile))
	return e.freeze(c, Paused, false)
}

func (e *Engine) freeze(c *Container, from State, on bool) error {
	unlock, err := e.lockWhole(c)
	if err != nil {
		return err
	}
	defer unlock()
	st := e.Status(c)
	if st.State != from {
		reason := "is not running"
		if !on {
			reason = "is not paused"
		}
		if on && st.State == Paused {
			reason = "is paused already"
		}
		return &WrongStateError{c.Name, st.State, reason}
	}
	set, err := e.freezer(c)
	if err != nil {
		return err
	}
	if err := set(on); err != nil {
		return err
	}
	if now := e.Status(c); on && now.State != Paused {
		// It ended just then, and its monitor may be starting it again: the new init would wait, frozen, for ever.
		return errors.Join(&WrongStateError{c.Name, now.State, "is not running"}, set(false))
	}
	action := "pause"
	if !on {
		action = "unpause"
	}
	e.say(c, action)
	return nil
}

// freezer freezes and thaws the container's cgroup.
func (e *Engine) freezer(c *Container) (set func(on bool) error, err error) {
	dirs := e.cgroupsOf(c.ID)
	if cgroup.Unified() {
		if len(dirs) != 1 {
			return nil, fmt.Errorf("container %q can't be paused: it has no cgroup of its own, since %w; `proa doctor` says what gives it one", c.Name, cgroup.ErrNone)
		}
		return func(on bool) error { return cgroup.Freeze(dirs[0], on) }, nil
	}
	i := slices.IndexFunc(dirs, func(d string) bool { return strings.Contains(d, "/freezer/") })
	if i < 0 {
		return nil, fmt.Errorf("container %q can't be paused: without root that needs cgroup v2, which this host does not use alone", c.Name)
	}
	return func(on bool) error { return cgroup.FreezeV1(dirs[i], on) }, nil
}

// frozenV1 tells whether the container's cgroup of version 1 is frozen.
func (e *Engine) frozenV1(id string) bool {
	for _, dir := range e.cgroupsOf(id) {
		if b, err := os.ReadFile(filepath.Join(dir, "freezer.state")); err == nil {
			return strings.TrimSpace(string(b)) != "THAWED"
		}
	}
	return false
}
