package serve

import (
	"fmt"
	"os"
	"runtime"

	"golang.org/x/sys/unix"
)

// keep makes the monitor able to start the container again: a mount can be given to one mount namespace only, and ends
// with it, so each run gets a clone.
func (s *server) keep() (err error) {
	s.again.able = true
	if s.root == nil {
		return nil
	}
	if s.kept, err = keepRoot(s.root, s.cfg.Dir); err != nil {
		return err
	}
	s.root.Close()
	s.root, err = cloneRoot(s.kept)
	return err
}

// onThread calls fn on a thread of its own, which then ends.
func onThread(fn func() error) error {
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		if unix.Gettid() == unix.Getpid() { // the first thread can't end, and /proc/PID shows its root
			done <- onThread(fn)
			runtime.UnlockOSThread()
			return
		}
		done <- fn()
	}()
	return <-done
}

// keepRoot makes a mount namespace that has only root, a detached mount, as its root directory. A detached mount could
// not be cloned before Linux 6.15, one in a namespace can. dir is any directory.
func keepRoot(root *os.File, dir string) (ns *os.File, err error) {
	err = onThread(func() error {
		if err := unix.Unshare(unix.CLONE_NEWNS); err != nil {
			return err
		}
		if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
			return err
		}
		f, err := os.Open("/proc/thread-self/ns/mnt")
		if err != nil {
			return err
		}
		if err = enterRoot(root, dir); err != nil {
			f.Close()
			return err
		}
		ns = f
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("keeping the container's root for its next start: %w", err)
	}
	return ns, nil
}

func enterRoot(root *os.File, dir string) error {
	if err := unix.MoveMount(int(root.Fd()), "", unix.AT_FDCWD, dir, unix.MOVE_MOUNT_F_EMPTY_PATH); err != nil {
		return err
	}
	if err := unix.Chdir(dir); err != nil {
		return err
	}
	if err := unix.PivotRoot(".", "."); err != nil { // the old root is then on top of the new one
		return err
	}
	return unix.Unmount(".", unix.MNT_DETACH)
}

// cloneRoot is a detached mount of the root that ns keeps.
func cloneRoot(ns *os.File) (root *os.File, err error) {
	err = onThread(func() error {
		if err := unix.Unshare(unix.CLONE_FS); err != nil { // setns(2) wants it
			return err
		}
		if err := unix.Setns(int(ns.Fd()), unix.CLONE_NEWNS); err != nil {
			return err
		}
		fd, err := unix.OpenTree(unix.AT_FDCWD, "/", unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC)
		if err != nil {
			return err
		}
		root = os.NewFile(uintptr(fd), "root")
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("mounting the container's root again: %w", err)
	}
	return root, nil
}
