package runtime

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"runtime"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// A container without a mount namespace of its own has one tree of mounts, over its root, which lives as long as the
// container. To tell it from what was mounted at the root before, the record keeps the id of that.

// noteRoot is called before the init, with the record's other fields in place.
func (r *Record) noteRoot() error {
	r.SharedRoot = true
	err := r.inMounts(func() (err error) {
		r.RootMount, err = mountID(r.Rootfs)
		return err
	})
	if err != nil {
		return fmt.Errorf("look at the container's root: %w", err)
	}
	return nil
}

// unmountRoot removes the container's mounts, if there are any.
func (r *Record) unmountRoot() error {
	if !r.SharedRoot {
		return nil
	}
	err := r.inMounts(func() error {
		if id, err := mountID(r.Rootfs); err != nil || id == r.RootMount {
			return err
		}
		return unix.Unmount(r.Rootfs, unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW)
	})
	if errors.Is(err, fs.ErrNotExist) { // the root, or the namespace and the mounts with it
		return nil
	}
	if err != nil {
		return fmt.Errorf("unmount the root of container %q: %w", r.ID, err)
	}
	return nil
}

func mountID(path string) (uint64, error) {
	var st unix.Statx_t
	err := unix.Statx(unix.AT_FDCWD, path, 0, unix.STATX_MNT_ID, &st)
	return st.Mnt_id, err
}

// inMounts calls f in the mount namespace the container joins, or in this one.
func (r *Record) inMounts(f func() error) error {
	path := ""
	for _, n := range r.Config.Linux.Namespaces {
		if n.Type == specs.MountNamespace {
			path = n.Path
		}
	}
	if path == "" {
		return f()
	}
	ns, err := os.Open(path)
	if err != nil {
		return err
	}
	defer ns.Close()
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
		if err := unix.Unshare(unix.CLONE_FS); err != nil {
			done <- err
			return
		}
		if err := unix.Setns(int(ns.Fd()), unix.CLONE_NEWNS); err != nil {
			done <- err
			return
		}
		done <- f()
	}()
	return <-done
}
