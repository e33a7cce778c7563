package libpod

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/opencontainers/runtime-spec/specs-go"
	"github.com/proa-containers/proa/oci/launch"
	"github.com/proa-containers/proa/oci/runtime"
	"golang.org/x/sys/unix"
)

// runSession starts the session in s.root with an end of a pipe, so that it ends with this process, and waits for it. It also
// ends with the container, if that runs.
func (e *Engine) runSession(ctx context.Context, session *Container, sp *specs.Spec, s *subject, o ExecOptions) (int, error) {
	p, err := runtime.NewPlan(sp, e.planOptions(session))
	if err != nil {
		return 0, fmt.Errorf("planning the command: %w", err)
	}
	if p.Process.Seccomp, err = e.filter(session.Config.Security); err != nil {
		return 0, err
	}
	p.Init, p.Lifeline = true, true
	prog, err := e.openInit()
	if err != nil {
		return 0, err
	}
	defer prog.Close()
	theirs, ours, err := os.Pipe()
	if err != nil {
		return 0, fmt.Errorf("making a pipe: %w", err)
	}
	defer theirs.Close()
	defer ours.Close()
	cfg := &launch.Config{InitFD: prog, Plan: p, RootFD: s.root, Preserve: []*os.File{theirs}}
	leave, err := e.placeSession(ctx, session, sp, cfg)
	if err != nil {
		return 0, err
	}
	defer leave()
	relay := &execStreams{opts: o}
	if err := relay.connect(cfg); err != nil {
		return 0, err
	}
	proc, err := launch.Start(cfg)
	relay.closeChild()
	if err != nil {
		relay.abandon()
		if s.init != nil && !alive(*s.init) { // the kernel says ENOMEM
			err = &WrongStateError{session.Name, Exited, "has ended just now: try again"}
		}
		return 0, notStarted(err)
	}
	defer proc.PidFD.Close()
	theirs.Close()
	s.closeFiles()
	defer endStrays(mountsOf(proc.Pid))
	if s.init != nil {
		done := make(chan struct{})
		defer close(done)
		go func() { // its pid namespace may be another's, which goes on
			if awaitEnd(*s.init, done) {
				ours.Close()
			}
		}()
	}
	defer forward(proc.PidFD)()
	return relay.wait(proc.Console, proc.Wait)
}

// mountsOf is the mount namespace of a session, by the process that watches over it; nil when that has ended.
func mountsOf(pid int) os.FileInfo {
	its, err := os.Stat(fmt.Sprintf("/proc/%d/ns/mnt", pid))
	if err != nil {
		return nil
	}
	ours, err := os.Stat("/proc/thread-self/ns/mnt")
	if err != nil || os.SameFile(its, ours) {
		return nil
	}
	return its
}

// endStrays kills what is left in a session's mount namespace. That is something where the process which watched over the
// session was killed, and the host has no cgroup for it.
func endStrays(mounts os.FileInfo) {
	if mounts == nil {
		return
	}
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		found := false
		list, _ := filepath.Glob("/proc/[0-9]*")
		for _, dir := range list {
			found = endStray(dir, mounts) || found
		}
		if !found {
			return
		}
	}
}

// endStray kills the process of a directory of /proc if it is in the mount namespace.
func endStray(dir string, mounts os.FileInfo) bool {
	pid, err := strconv.Atoi(filepath.Base(dir))
	if err != nil {
		return false
	}
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return false
	}
	defer unix.Close(fd)
	its, err := os.Stat(dir + "/ns/mnt")
	if err != nil || !os.SameFile(its, mounts) {
		return false
	}
	unix.PidfdSendSignal(fd, unix.SIGKILL, nil, 0)
	return true
}

// placeSession gives the session a cgroup beside the container's, with the container's limits, where containers have any:
// the session neither takes from what the container may use nor goes short when that has none left. leave kills what is
// left of the session there.
func (e *Engine) placeSession(ctx context.Context, session *Container, sp *specs.Spec, cfg *launch.Config) (leave func(), err error) {
	unlock, err := e.lock(session.ID)
	if err != nil {
		return nil, err
	}
	leave = func() {
		if cfg.CgroupFD != nil {
			cfg.CgroupFD.Close()
		}
		// The lock file tells the next command of a cgroup that this one can't remove.
		if err := e.dropCgroups(session.ID); err != nil {
			e.warn(err)
		} else {
			os.Remove(e.lockPath(session.ID))
		}
		unlock()
	}
	if err := e.makePlace(ctx, session, sp, cfg); err != nil {
		leave()
		return nil, err
	}
	return leave, nil
}

func (e *Engine) makePlace(ctx context.Context, session *Container, sp *specs.Spec, cfg *launch.Config) error {
	place, err := e.findPlace(ctx, session.Config.Resources)
	if err != nil {
		return err
	}
	dir := ""
	if place != nil {
		if place.Attach {
			if err := place.Move(ctx, e.cgroupOptions(), os.Getpid()); err != nil {
				return err
			}
		}
		if err := e.noteCgroup(session.ID, place.Path(session.ID)); err != nil {
			return err
		}
		if dir, err = place.Make(session.ID); err != nil {
			return err
		}
		if cfg.CgroupFD, err = os.Open(dir); err != nil {
			return fmt.Errorf("opening the session's cgroup: %w", err)
		}
	}
	cfg.Plan.CgroupDirs, err = e.limit(session, sp, dir)
	for _, dir := range cfg.Plan.CgroupDirs {
		err = errors.Join(err, e.noteCgroup(session.ID, dir))
	}
	return err
}
