package libpod

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"

	"github.com/proa-containers/proa/libpod/state"
	"github.com/proa-containers/proa/oci/monitor"
)

// settle brings the store in line with a container that has ended: one that goes when it ends is removed, another's
// last run is written down, so that it survives a reboot. It does nothing for one that runs or whose command still
// holds it. One that a killed commit left paused goes on. It returns the status it found.
func (e *Engine) settle(c *Container) (Status, error) {
	st := e.Status(c)
	if st.State == Paused && e.unstill(c) == nil {
		st = e.Status(c)
	}
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
	if err := e.reread(c); errors.Is(err, state.ErrNotFound) {
		return st, nil
	} else if err != nil {
		return st, err
	}
	if st = e.Status(c); st.State != Exited { // started again meanwhile
		return st, nil
	}
	if c.AutoRemove {
		if e.kept(c.ID) {
			return st, nil
		}
		return st, e.destroy(c)
	}
	return st, e.writeDown(c, st)
}

// reread reads c's record again, for a caller that has got its lock: another command may have renamed it, written down its
// end or removed it since it was looked up. Gone is ErrNotFound.
func (e *Engine) reread(c *Container) error {
	r, err := e.state.Find(c.ID)
	if err != nil {
		return err
	}
	now, err := decode(r)
	if err != nil {
		return err
	}
	now.layer, now.unlock, now.DropVolumes = c.layer, c.unlock, c.DropVolumes
	*c = *now
	return nil
}

// whole is ErrNotFound for a container that a killed command has half made or half removed, and removes the rest of it.
func (e *Engine) whole(c *Container) error {
	if whole, _ := e.noted(c.ID); whole {
		return nil
	}
	unlock, err := e.tryLock(c.ID)
	if err != nil || unlock == nil {
		return err // a command is at it
	}
	defer unlock()
	if err := e.reread(c); err != nil {
		return err
	}
	return e.finishRemoval(c)
}

// lockWhole takes the lock of a container that was looked up before, and brings c up to date: another command may have
// removed it meanwhile, and what works on the container's run directory would make one that belongs to nobody.
func (e *Engine) lockWhole(c *Container) (unlock func(), err error) {
	if unlock, err = e.lock(c.ID); err != nil {
		return nil, err
	}
	if err = e.reread(c); err == nil {
		err = e.finishRemoval(c)
	}
	if errors.Is(err, state.ErrNotFound) {
		os.Remove(e.lockPath(c.ID)) // the lock made it again
		err = fmt.Errorf("%w: %q", state.ErrNotFound, c.Name)
	}
	if err != nil {
		unlock()
		return nil, err
	}
	return unlock, nil
}

// finishRemoval is whole for a caller that has the container's lock.
func (e *Engine) finishRemoval(c *Container) error {
	if whole, _ := e.noted(c.ID); whole {
		return nil
	}
	c.DropVolumes = e.notedVolumes(c.ID)
	if err := e.erase(c); err != nil {
		return err
	}
	return fmt.Errorf("%w: %q", state.ErrNotFound, c.Name)
}

// writeDown stores how the last run ended and drops its run directory. The caller holds the container's lock.
func (e *Engine) writeDown(c *Container, st Status) error {
	if e.monitorPID(c.ID) != 0 {
		return nil // the monitor has a last word to say
	}
	run := st.Run
	if run.ExitCode == lostMonitor && run.Error != "" {
		e.say(c, "die", "exitCode", strconv.Itoa(lostMonitor)) // for the monitor
	}
	if c.restarts() {
		_, err := os.Lstat(filepath.Join(e.runDir(c.ID), monitor.StayFile))
		run.Stay = err == nil
		if r, ok := e.restarts(c.ID); ok {
			run.Restarts = r.Count
		}
	}
	run.Health = e.Health(c, st)
	c.Last, c.Started = &run, false
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
	e.endInit(c.ID)
	return errors.Join(e.dropForeign(c), e.dropCgroups(c.ID), e.dropRunDir(c.ID), e.unmountVolumes(c))
}

// abandoned removes a container that was to go when it ended and never ran: the command that made it was killed.
func (e *Engine) abandoned(c *Container, st Status) error {
	if st.State == Created && st.MonitorPID != 0 {
		return e.wakeUnstarted(c)
	}
	if !c.AutoRemove && st.State == Created {
		return e.clearUnstarted(c)
	}
	if !c.AutoRemove || c.Standing || st.State != Created {
		return nil
	}
	unlock, err := e.tryLock(c.ID)
	if err != nil || unlock == nil {
		return err
	}
	defer unlock()
	if err := e.reread(c); errors.Is(err, state.ErrNotFound) {
		return nil
	} else if err != nil {
		return err
	}
	if e.Status(c).State != Created {
		return nil
	}
	return e.destroy(c)
}

// wakeUnstarted lets the monitor of a container go on that was stopped before that ran: it ends when it finds that its starter
// has gone.
func (e *Engine) wakeUnstarted(c *Container) error {
	unlock, err := e.tryLock(c.ID)
	if err != nil || unlock == nil {
		return err // the starter lives, and guards it
	}
	defer unlock()
	e.wake(c.ID)
	return nil
}

// goneMark is before the id in the name of a run directory that is being removed.
const goneMark = ".gone-"

// dropRunDir removes a container's run directory. It goes by its name first: a reader sees all of it or nothing.
func (e *Engine) dropRunDir(id string) error {
	dir := e.runDir(id)
	gone := e.runDir(goneMark + id)
	if err := os.Rename(dir, gone); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return os.RemoveAll(gone)
}
