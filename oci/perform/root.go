package perform

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// attachRoot takes the root filesystem as a detached mount and puts it on top of "/". Look-ups still start at
// the old root, since the process's root directory does not follow what is mounted over it, until the pivot.
func (p *performer) attachRoot() error {
	prop := uintptr(unix.MS_SLAVE | unix.MS_REC)
	if p.Root.Propagation&unix.MS_SHARED != 0 {
		prop = unix.MS_SHARED | unix.MS_REC
	}
	if err := unix.Mount("", "/", "", prop, ""); err != nil {
		return fail("detach mount events from the host's", err)
	}
	p.root = p.FDs.Root
	if p.root == 0 {
		fd, err := unix.OpenTree(unix.AT_FDCWD, p.Root.Path, unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC|unix.AT_RECURSIVE)
		if err != nil {
			return fail(fmt.Sprintf("open the root filesystem %q", p.Root.Path), err)
		}
		p.root = fd
	}
	if prop&unix.MS_SHARED != 0 {
		// pivot_root(2) refuses a shared parent; the parent of the new root is the old one.
		if err := unix.Mount("", "/", "", unix.MS_PRIVATE, ""); err != nil {
			return fail("make the old root private", err)
		}
		// Nor may the new root be shared yet; finishRoot makes it so.
		if err := unix.MountSetattr(p.root, "", unix.AT_EMPTY_PATH, &unix.MountAttr{Propagation: unix.MS_PRIVATE}); err != nil {
			return fail("make the new root private", err)
		}
	}
	if err := unix.MoveMount(p.root, "", unix.AT_FDCWD, "/", unix.MOVE_MOUNT_F_EMPTY_PATH); err != nil {
		return fail("attach the root filesystem", err)
	}
	return nil
}

// attachShared puts a copy of the root filesystem's mounts over itself, in a mount namespace that other processes
// use as well: none of what is mounted beneath it may reach the original or another namespace.
func (p *performer) attachShared() error {
	fd, err := unix.OpenTree(unix.AT_FDCWD, p.Root.Path, unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC|unix.AT_RECURSIVE)
	if err != nil {
		return fail(fmt.Sprintf("open the root filesystem %q", p.Root.Path), err)
	}
	p.root = fd
	private := func() error {
		return unix.MountSetattr(fd, "", unix.AT_EMPTY_PATH|unix.AT_RECURSIVE, &unix.MountAttr{Propagation: unix.MS_PRIVATE})
	}
	if err := private(); err != nil {
		return fail("make the root private", err)
	}
	if err := unix.MoveMount(fd, "", unix.AT_FDCWD, p.Root.Path, unix.MOVE_MOUNT_F_EMPTY_PATH|unix.MOVE_MOUNT_T_SYMLINKS); err != nil {
		return fail("attach the root filesystem in a mount namespace that is not the container's own", err)
	}
	// What is attached to a shared mount becomes shared.
	if err := private(); err != nil {
		return fail("make the root private", err)
	}
	return nil
}

// pivot makes the root filesystem the root and drops the old one.
func (p *performer) pivot() error {
	old, err := unix.Open("/", unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return fail("open the old root", err)
	}
	defer unix.Close(old)
	if err := unix.Fchdir(p.root); err != nil {
		return fail("enter the root filesystem", err)
	}
	if p.Root.NoPivot || !p.OwnMounts() {
		if err := unix.Chroot("."); err != nil {
			return fail("change the root", err)
		}
		return p.finishRoot()
	}
	if err := unix.PivotRoot(".", "."); err != nil {
		return fail("pivot the root", err)
	}
	// The old root now lies on top of the new one, at the same place.
	if err := unix.Fchdir(old); err != nil {
		return fail("enter the old root", err)
	}
	if err := unix.Mount("", ".", "", unix.MS_SLAVE|unix.MS_REC, ""); err != nil {
		return fail("detach the old root", err)
	}
	if err := unix.Unmount(".", unix.MNT_DETACH); err != nil {
		return fail("unmount the old root", err)
	}
	if err := unix.Chdir("/"); err != nil {
		return fail("enter the root", err)
	}
	return p.finishRoot()
}

// finishRoot sets the root's propagation and makes it read-only.
func (p *performer) finishRoot() error {
	flags := uint(unix.AT_EMPTY_PATH)
	if p.Root.Recursive {
		flags |= unix.AT_RECURSIVE
	}
	if p.Root.Propagation != 0 {
		if err := unix.MountSetattr(p.root, "", flags, &unix.MountAttr{Propagation: p.Root.Propagation}); err != nil {
			return fail("set the root's mount propagation", err)
		}
	}
	if p.Root.Readonly {
		if err := setAttr(p.root, false, unix.MOUNT_ATTR_RDONLY, 0); err != nil {
			return fail("make the root read-only", err)
		}
	}
	return nil
}

// chroot is for a container that shares or joins a mount namespace and mounts nothing.
func (p *performer) chroot() error {
	if p.Root.Path == "/" {
		return nil // it has that root, and may lack the right to change it
	}
	if err := unix.Chroot(p.Root.Path); err != nil {
		return fail(fmt.Sprintf("change the root to %q", p.Root.Path), err)
	}
	if err := unix.Chdir("/"); err != nil {
		return fail("enter the root", err)
	}
	return nil
}

// setAttr changes the flags of a mount, or of a tree of mounts.
func setAttr(fd int, tree bool, set, clr uint64) error {
	if set|clr == 0 {
		return nil
	}
	if set&unix.MOUNT_ATTR__ATIME != 0 || clr&unix.MOUNT_ATTR__ATIME != 0 {
		clr |= unix.MOUNT_ATTR__ATIME // one of several values: the kernel wants the whole field cleared
	}
	flags := uint(unix.AT_EMPTY_PATH)
	if tree {
		flags |= unix.AT_RECURSIVE
	}
	err := unix.MountSetattr(fd, "", flags, &unix.MountAttr{Attr_set: set, Attr_clr: clr})
	if err == unix.EPERM && clr != 0 {
		// A flag that a parent user namespace locked can't be cleared; what is asked for in addition still can be set.
		err = unix.MountSetattr(fd, "", flags, &unix.MountAttr{Attr_set: set &^ unix.MOUNT_ATTR__ATIME})
	}
	return err
}
