package perform

import (
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/proa-containers/proa/oci/plan"
)

func (p *performer) makeDevices() error {
	for i := range p.Devices {
		d := &p.Devices[i]
		var err error
		if d.Bind != "" {
			err = p.bindDevice(d)
		} else {
			err = p.makeNode(d)
		}
		if err != nil {
			return fail(fmt.Sprintf("make the device %q", d.Path), err)
		}
	}
	return nil
}

// makeNode makes a device node through the handle of its directory. One that is already right stays.
func (p *performer) makeNode(d *plan.Device) error {
	dir, base, err := p.parentOf(d.Path)
	if err != nil {
		return err
	}
	defer unix.Close(dir)
	if err := unix.Mknodat(dir, base, d.Mode, int(d.Dev)); err != nil {
		if err != unix.EEXIST {
			return err
		}
		var st unix.Stat_t
		if err := unix.Fstatat(dir, base, &st, unix.AT_SYMLINK_NOFOLLOW); err != nil {
			return err
		}
		if st.Mode&unix.S_IFMT != d.Mode&unix.S_IFMT || st.Rdev != d.Dev {
			return unix.EEXIST
		}
	}
	if err := unix.Fchownat(dir, base, int(d.UID), int(d.GID), unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return err
	}
	// mknod(2) applied the umask. A node just made or compared is no symbolic link, and fchmodat does not follow
	// one here, since nobody else is in this mount namespace yet.
	return unix.Fchmodat(dir, base, d.Mode&0o7777, 0)
}

// bindDevice binds the host's node: in a user namespace mknod(2) makes nothing that can be opened.
func (p *performer) bindDevice(d *plan.Device) error {
	fd, err := unix.OpenTree(unix.AT_FDCWD, d.Bind, unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return err
	}
	if st.Mode&unix.S_IFMT != d.Mode&unix.S_IFMT || st.Rdev != d.Dev {
		return &plan.Error{Text: fmt.Sprintf("the host's %q is another device", d.Bind)}
	}
	target, err := p.target(d.Path, false, unix.RESOLVE_NO_SYMLINKS)
	if err != nil {
		return err
	}
	defer unix.Close(target)
	return attach(fd, target)
}

// makeLinks makes /dev/fd and the like. What an image has in their place stays.
func (p *performer) makeLinks() error {
	for _, l := range p.DevLinks {
		dir, base, err := p.parentOf(l.Path)
		if err == nil {
			err = unix.Symlinkat(l.Target, dir, base)
			unix.Close(dir)
		}
		if err != nil && err != unix.EEXIST {
			return fail(fmt.Sprintf("make the link %q", l.Path), err)
		}
	}
	return nil
}
