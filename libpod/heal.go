package libpod

import (
	"errors"
	"os"
	"path/filepath"

	"github.com/proa-containers/proa/libpod/rootless"
	"github.com/proa-containers/proa/oci/monitor"
)

// settle brings the store in line with a container that has ended: one that goes when it ends is removed, another's
// last run is written down, so that it survives a reboot. It does nothing for one that runs or whose command still
// holds it. It returns the status it found.
func (e *Engine) settle(c *Container) (Status, error) {
	st := e.Status(c)
	if st.State != Exited {
		return st, e.abandoned(c, st)
	}
	if _, err := os.Stat(e.runDir(c.ID)); errors.Is(err, os.ErrNotExist) {
		return st, nil
	}
	unlock, err := e.tryLock(c.ID)
	if err != nil || unlock == nil {
		return st, err
	}
	defer unlock()
	if c.AutoRemove {
		return st, e.destroy(c)
	}
	return st, e.writeDown(c, st)
}

// writeDown stores how the last run ended and drops its run directory. The caller holds the container's lock.
func (e *Engine) writeDown(c *Container, st Status) error {
	if rootless.Holder(filepath.Join(e.runDir(c.ID), monitor.LockFile)) != 0 {
		return nil // the monitor has a last word to say
	}
	run := st.Run
	c.Last = &run
	r, err := c.record()
	if err != nil {
		return err
	}
	if err := e.state.Put(r); err != nil {
		return err
	}
	return e.clearRun(c)
}

// clearRun removes what is left of a container's run. The caller holds the container's lock.
func (e *Engine) clearRun(c *Container) error {
	return errors.Join(e.dropForeign(c), e.dropCgroups(c.ID), e.dropRunDir(c.ID), e.unmountVolumes(c))
}

// abandoned removes a container that was to go when it ended and never ran: the command that made it was killed.
func (e *Engine) abandoned(c *Container, st Status) error {
	if !c.AutoRemove && c.Runtime != "" && st.State == Created && st.MonitorPID == 0 {
		return e.clearUnstarted(c)
	}
	if !c.AutoRemove || c.Standing || st.State != Created || st.MonitorPID != 0 {
		return nil
	}
	unlock, err := e.tryLock(c.ID)
	if err != nil || unlock == nil {
		return err
	}
	defer unlock()
	if e.Status(c).State != Created {
		return nil
	}
	return e.destroy(c)
}

// dropRunDir removes a container's run directory. It goes by its name first: a reader sees all of it or nothing.
func (e *Engine) dropRunDir(id string) error {
	dir := e.runDir(id)
	gone := filepath.Join(filepath.Dir(dir), ".gone-"+id)
	if err := os.Rename(dir, gone); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return os.RemoveAll(gone)
}
