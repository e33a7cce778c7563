package perform

import (
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/proa-containers/proa/oci/plan"
)

// maskPaths hides files behind /dev/null and directories behind an empty read-only tmpfs.
func (p *performer) maskPaths() error {
	null := -1
	for _, name := range p.Masked {
		target, err := p.inRoot(name, unix.O_PATH, 0)
		if err == unix.ENOENT || err == unix.ENOTDIR || err == unix.ELOOP {
			continue
		}
		if err == nil {
			err = p.mask(target, &null)
			unix.Close(target)
		}
		if err != nil {
			return fail(fmt.Sprintf("mask %q", name), err)
		}
	}
	return nil
}

func (p *performer) mask(target int, null *int) error {
	t, err := mode(target)
	if err != nil {
		return err
	}
	if t == unix.S_IFDIR {
		return p.maskDir(target)
	}
	if *null < 0 {
		if *null, err = openNull(); err != nil {
			return err
		}
	}
	fd, err := unix.OpenTree(*null, "", unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC|unix.AT_EMPTY_PATH)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	return attach(fd, target)
}

// maskDir mounts an empty tmpfs; the second and later ones are clones of the first.
func (p *performer) maskDir(target int) error {
	if p.masks < 0 {
		fd, err := newFS("tmpfs", "tmpfs", []string{"mode=755"}, unix.MOUNT_ATTR_RDONLY|unix.MOUNT_ATTR_NOSUID|unix.MOUNT_ATTR_NODEV|unix.MOUNT_ATTR_NOEXEC)
		if err != nil {
			return err
		}
		p.masks = fd
		return attach(fd, target)
	}
	fd, err := unix.OpenTree(p.masks, "", unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC|unix.AT_EMPTY_PATH)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	return attach(fd, target)
}

// openNull opens the host's /dev/null, not the container's, and checks that it is the null device.
func openNull() (int, error) {
	fd, err := unix.Open("/dev/null", unix.O_PATH|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1, err
	}
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return -1, err
	}
	if st.Mode&unix.S_IFMT != unix.S_IFCHR || st.Rdev != unix.Mkdev(1, 3) {
		return -1, &plan.Error{Text: "the host's /dev/null is not the null device"}
	}
	return fd, nil
}

// readonlyPaths binds paths onto themselves, read-only.
func (p *performer) readonlyPaths() error {
	for _, name := range p.Readonly {
		target, err := p.inRoot(name, unix.O_PATH, 0)
		if err == unix.ENOENT || err == unix.ENOTDIR || err == unix.ELOOP {
			continue
		}
		if err == nil {
			err = readonlyPath(target)
			unix.Close(target)
		}
		if err != nil {
			return fail(fmt.Sprintf("make %q read-only", name), err)
		}
	}
	return nil
}

func readonlyPath(target int) error {
	fd, err := unix.OpenTree(target, "", unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC|unix.AT_EMPTY_PATH|unix.AT_RECURSIVE)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	if err := setAttr(fd, true, unix.MOUNT_ATTR_RDONLY, 0); err != nil {
		return err
	}
	return attach(fd, target)
}
