package runtime

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// killTimeout is how long a killed container may take to end: it may be writing to a slow disk.
const killTimeout = 10 * time.Second

// Delete removes a stopped container, or with force any; then an absent one is no error.
func (r *Runtime) Delete(id string, force bool) error {
	rec, err := r.Load(id)
	if errors.Is(err, ErrNotFound) && force {
		dir, err := r.dir(id)
		if err != nil {
			return err
		}
		return os.RemoveAll(dir) // of a creation that was killed
	}
	if err != nil {
		return err
	}
	st := r.Status(rec)
	if st != specs.StateStopped {
		if !force {
			return fmt.Errorf("delete container %q: it is %s; kill it first or use --force", id, st)
		}
		if err := r.end(rec); err != nil {
			return err
		}
	}
	return r.remove(rec)
}

// Finish removes a container that the caller has created and whose process it has waited for. One that somebody has
// deleted meanwhile, and may have made again, is left alone.
func (r *Runtime) Finish(rec *Record) error {
	dir, err := os.Stat(filepath.Join(r.Root, rec.ID))
	if err != nil || !os.SameFile(dir, rec.made) {
		return nil
	}
	return r.remove(rec)
}

// remove frees what a stopped container has: processes left in a shared pid namespace, cgroup, record.
func (r *Runtime) remove(rec *Record) error {
	cg, err := leftCgroup(rec)
	if err != nil {
		return err
	}
	if cg != nil {
		if !rec.hasOwn(specs.PIDNamespace) {
			if err := r.killAll(rec, unix.SIGKILL); err != nil {
				return err
			}
		}
		if err := cg.Destroy(); err != nil {
			return fmt.Errorf("remove the cgroup of container %q: %w", rec.ID, err)
		}
	}
	rec.removeParents()
	if err := rec.unmountRoot(); err != nil {
		return err
	}
	if err := os.RemoveAll(filepath.Join(r.Root, rec.ID)); err != nil {
		return fmt.Errorf("remove the state of container %q: %w", rec.ID, err)
	}
	r.poststop(rec)
	return nil
}

// end kills the process and waits for its end.
func (r *Runtime) end(rec *Record) error {
	pidfd, err := rec.open()
	if err != nil {
		return nil // ended meanwhile
	}
	defer pidfd.Close()
	if cg, err := loadCgroup(rec); err == nil && cg != nil && frozen(rec.CgroupPaths) {
		defer func() { _ = thaw(cg) }()
	}
	if err := unix.PidfdSendSignal(int(pidfd.Fd()), unix.SIGKILL, nil, 0); err != nil && err != unix.ESRCH {
		return fmt.Errorf("kill container %q: %w", rec.ID, err)
	}
	if cg, err := loadCgroup(rec); err == nil && cg != nil && frozen(rec.CgroupPaths) {
		if err := thaw(cg); err != nil {
			return err
		}
	}
	fds := []unix.PollFd{{Fd: int32(pidfd.Fd()), Events: unix.POLLIN}}
	for deadline := time.Now().Add(killTimeout); ; {
		n, err := unix.Poll(fds, int(time.Until(deadline).Milliseconds()))
		if n > 0 {
			return nil
		}
		if err != nil && err != unix.EINTR {
			return fmt.Errorf("wait for container %q: %w", rec.ID, err)
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("delete container %q: its process %d did not end within %s of SIGKILL", rec.ID, rec.Pid, killTimeout)
		}
	}
}

// hasOwn reports whether a namespace was made for the container. When its pid namespace was, the kernel kills everything
// in it when the container's process ends.
func (r *Record) hasOwn(t specs.LinuxNamespaceType) bool {
	for _, n := range r.Config.Linux.Namespaces {
		if n.Type == t {
			return n.Path == ""
		}
	}
	return false
}
