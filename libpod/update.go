package libpod

import (
	"errors"
	"fmt"

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
// container that runs. When the cgroup does not take them the record stays as it was; change may refuse with an error.
func (e *Engine) Update(c *Container, change func(*Container) error) error {
	unlock, err := e.lockWhole(c)
	if err != nil {
		return err
	}
	defer unlock()
	now := *c
	old, policy := now.Config.Resources, now.Restart
	if err := change(&now); err != nil {
		return fmt.Errorf("updating container %q: %w", c.Name, err)
	}
	st := e.Status(&now)
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
	return nil
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
	if err != nil {
		return fmt.Errorf("setting its limits: %w", err)
	}
	return nil
}
