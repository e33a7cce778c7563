package libpod

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"

	"github.com/opencontainers/cgroups"
	"github.com/opencontainers/cgroups/fs2"
	"github.com/opencontainers/cgroups/manager"
	"github.com/opencontainers/runtime-spec/specs-go"
	"github.com/proa-containers/proa/libpod/cgroup"
	"github.com/proa-containers/proa/oci/monitor"
	"github.com/proa-containers/proa/oci/runtime"
	"github.com/proa-containers/proa/oci/spec"
)

// Update has change edit the container's record, and makes the limits that come of it those of the cgroup of a
// container that runs, and the health check that of its monitor. When the cgroup does not take them the record stays as it
// was; change may refuse with an error.
func (e *Engine) Update(ctx context.Context, c *Container, change func(*Container) error) error {
	unlock, err := e.lockWhole(c)
	if err != nil {
		return err
	}
	defer unlock()
	now := *c
	old, policy, health := now.Config.Resources, now.Restart, now.Config.Health
	if err := change(&now); err != nil {
		return fmt.Errorf("updating container %q: %w", c.Name, err)
	}
	st := e.Status(&now)
	checks, err := e.newChecks(&now, st, health)
	if err != nil {
		return fmt.Errorf("updating container %q: %w", c.Name, err)
	}
	if limits := now.Config.Resources; limits != old && st.PID != 0 {
		if err := e.setLimits(c.ID, limits, old); err != nil {
			// Some may have been taken.
			return fmt.Errorf("updating container %q: %w", c.Name, errors.Join(err, e.setLimits(c.ID, old, limits)))
		}
	}
	now.Started = now.Restart.Name != "" && st.State != Created && st.State != Exited
	r, err := now.record()
	if err != nil {
		return err
	}
	if err := e.state.Put(r); err != nil {
		return err
	}
	e.say(&now, "update")
	if now.Restart != policy {
		e.tellMonitor(c.ID, monitor.Change{Restart: &now.Restart})
	}
	if checks != nil {
		if err := e.recheck(ctx, c.ID, checks); err != nil {
			return fmt.Errorf("changing the health check of container %q, which is recorded for its next start: %w", c.Name, err)
		}
	}
	return nil
}

// newChecks is what the monitor of a running container is to be told of the health check that comes in place of old;
// nil when there is nothing to tell.
func (e *Engine) newChecks(c *Container, st Status, old *spec.Health) (*monitor.Checks, error) {
	now := c.Config.Health
	if st.MonitorPID == 0 || reflect.DeepEqual(old, now) || !old.Checks() && !now.Checks() {
		return nil, nil
	}
	s := &specs.Spec{}
	if err := readJSON(filepath.Join(e.runDir(c.ID), processFile), &s.Process); err != nil {
		return nil, fmt.Errorf("reading how it was started: %w", err)
	}
	h, err := e.healthConfig(c, s)
	if err != nil {
		return nil, err
	}
	if h != nil {
		dir := ""
		if dirs := e.cgroupsOf(c.ID); len(dirs) == 1 && cgroup.Unified() {
			dir = dirs[0]
		}
		h.FreezeFile = e.freezeFile(c.ID, dir)
	}
	return &monitor.Checks{Health: h, Afresh: !old.Checks() || !now.Checks() || !slices.Equal(old.Test, now.Test)}, nil
}

// recheck has the monitor make other health checks, and returns when it does.
func (e *Engine) recheck(ctx context.Context, id string, checks *monitor.Checks) error {
	f, err := memfile("health check", checks)
	if err != nil {
		return err
	}
	defer f.Close()
	e.wake(id)
	conn, err := monitor.Dial(e.runDir(id))
	if err != nil {
		return nil // it has ended meanwhile
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	if err := conn.SendFiles(monitor.Recheck, nil, f); err != nil {
		return err
	}
	buf := make([]byte, monitor.MaxPayload+1)
	for {
		switch kind, _, err := conn.Receive(buf); {
		case ctx.Err() != nil:
			return ctx.Err()
		case err != nil && e.monitorPID(id) != 0:
			return errors.New("its monitor can't make it")
		case err != nil || kind == monitor.Recheck || kind == monitor.Exited:
			return nil
		}
	}
}

// setLimits writes the limits r of a running container that had old.
func (e *Engine) setLimits(id string, r, old spec.Resources) error {
	dirs := e.cgroupsOf(id)
	if len(dirs) == 0 {
		return withoutCgroup(r)
	}
	res := spec.Limits(r, old)
	if r.Reserved == 0 && old.Reserved != 0 {
		none := int64(-1)
		if cgroup.Unified() {
			none = 1 // memory.low counts pages and rounds down; 0 would mean no change
		}
		if res.Memory == nil {
			res.Memory = &specs.LinuxMemory{}
		}
		res.Memory.Reservation = &none
	}
	conv, err := runtime.Resources(res)
	if err != nil {
		return err
	}
	conv.SkipDevices = true // they are as they were
	var m cgroups.Manager
	if cgroup.Unified() {
		if err := checkControllers(r, dirs[0]); err != nil {
			return err
		}
		m, err = fs2.NewManager(&cgroups.Cgroup{Resources: conv, Path: "/"}, dirs[0])
	} else {
		m, err = manager.New(&cgroups.Cgroup{Path: v1Path(id), Resources: conv})
	}
	if err == nil {
		err = m.Set(conv)
	}
	if err == nil && r.IOWeight == 0 && old.IOWeight != 0 {
		err = dropIOWeight(dirs)
	}
	if err != nil {
		return fmt.Errorf("setting its limits: %w", err)
	}
	return nil
}

// dropIOWeight writes the kernel's own weights, which are none of those that an option can ask for.
func dropIOWeight(dirs []string) (err error) {
	for _, dir := range dirs {
		for path, def := range weightFiles(dir) {
			err = errors.Join(err, os.WriteFile(path, []byte(def), 0))
		}
	}
	return err
}
