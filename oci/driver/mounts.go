package driver

import (
	"fmt"
	"os"
	"runtime"

	"golang.org/x/sys/unix"
)

// inMounts calls run on a thread that has a mount namespace of its own, with root attached at dir; what run starts
// inherits it. The namespace goes with the thread and with what was started: the kernel then unmounts the root, however
// they ended. No other process, and no other thread of this one, sees the mount.
func inMounts(root *os.File, dir string, run func() error) error {
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		if unix.Gettid() == unix.Getpid() {
			// The main thread never ends, and /proc/PID/ns/mnt is its namespace. While it is held here another
			// thread has to take the work.
			defer runtime.UnlockOSThread()
			done <- inMounts(root, dir, run)
			return
		}
		// Still locked at its end, this goroutine takes the thread along.
		err := arrangeMounts(root, dir)
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

func arrangeMounts(root *os.File, dir string) error {
	if err := unix.Unshare(unix.CLONE_NEWNS); err != nil {
		return fmt.Errorf("making a mount namespace for the runtime: %w", err)
	}
	if err := unix.Mount("", "/", "", unix.MS_SLAVE|unix.MS_REC, ""); err != nil {
		return fmt.Errorf("making a mount namespace for the runtime: %w", err)
	}
	if root != nil {
		if err := unix.MoveMount(int(root.Fd()), "", unix.AT_FDCWD, dir, unix.MOVE_MOUNT_F_EMPTY_PATH); err != nil {
			return fmt.Errorf("attaching the container's root at %q: %w", dir, err)
		}
	}
	return hideUnified("/sys/fs/cgroup/unified")
}

// hideUnified covers the cgroup2 hierarchy of a host that has v1 hierarchies beside it: crun refuses to run where such
// a hierarchy has controllers, though without privilege it could use neither.
func hideUnified(dir string) error {
	var fs unix.Statfs_t
	if unix.Statfs(dir, &fs) != nil || fs.Type != unix.CGROUP2_SUPER_MAGIC {
		return nil
	}
	if err := unix.Mount("tmpfs", dir, "tmpfs", unix.MS_RDONLY|unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, "mode=555,nr_inodes=2"); err != nil {
		return fmt.Errorf("hiding %s from the runtime: %w", dir, err)
	}
	return nil
}
