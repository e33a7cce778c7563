package driver

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"runtime"

	"golang.org/x/sys/unix"
)

// inMounts calls run on a thread that has a mount namespace of its own, as arrange leaves it; what run starts inherits
// it. The namespace goes with the thread and with what was started: the kernel then unmounts what was mounted there,
// however they ended. No other process, and no other thread of this one, sees those mounts.
func inMounts(arrange, run func() error) error {
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		if unix.Gettid() == unix.Getpid() {
			// The main thread never ends, and /proc/PID/ns/mnt is its namespace. While it is held here another
			// thread has to take the work.
			defer runtime.UnlockOSThread()
			done <- inMounts(arrange, run)
			return
		}
		// Still locked at its end, this goroutine takes the thread along.
		err := ownMounts()
		if err == nil {
			err = arrange()
		}
		if err == nil {
			// A runtime may hand its signal mask on to the container, and it inherits this thread's.
			err = unix.PthreadSigmask(unix.SIG_SETMASK, &unix.Sigset_t{}, nil)
		}
		if err == nil {
			err = run()
		}
		done <- err
	}()
	return <-done
}

func ownMounts() error {
	if err := unix.Unshare(unix.CLONE_NEWNS); err != nil {
		return fmt.Errorf("making a mount namespace for the runtime: %w", err)
	}
	if err := unix.Mount("", "/", "", unix.MS_SLAVE|unix.MS_REC, ""); err != nil {
		return fmt.Errorf("making a mount namespace for the runtime: %w", err)
	}
	return nil
}

// mounts arranges the mounts that the runtime needs to see.
func (r Runtime) mounts(root *os.File) error {
	if root != nil {
		if err := unix.MoveMount(int(root.Fd()), "", unix.AT_FDCWD, r.RootPath(), unix.MOVE_MOUNT_F_EMPTY_PATH); err != nil {
			return fmt.Errorf("attaching the container's root at %q: %w", r.RootPath(), err)
		}
	}
	if !r.Born {
		return nil
	}
	return hideUnified("/sys/fs/cgroup/unified")
}

// hideUnified covers the cgroup2 hierarchy of a host that has hierarchies of version 1 beside it. crun refuses to run
// where it has controllers, also when told to leave cgroups alone.
func hideUnified(dir string) error {
	b, err := os.ReadFile(filepath.Join(dir, "cgroup.controllers"))
	if err != nil || len(bytes.TrimSpace(b)) == 0 {
		return nil
	}
	if err := unix.Mount("tmpfs", dir, "tmpfs", unix.MS_RDONLY|unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, "mode=555,nr_inodes=2"); err != nil {
		return fmt.Errorf("hiding %s from the runtime: %w", dir, err)
	}
	return nil
}
