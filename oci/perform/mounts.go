package perform

import (
	"errors"
	"fmt"
	"path"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/proa-containers/proa/oci/plan"
)

func (p *performer) makeMounts() error {
	for i := range p.Mounts {
		m := &p.Mounts[i]
		if err := p.makeMount(m); err != nil {
			what := m.FSType
			if m.Kind == plan.MountBind {
				what = fmt.Sprintf("%q", m.Source)
			}
			if m.Subpath != "" {
				what = fmt.Sprintf("%q of %q", m.Subpath, m.Source)
			}
			if m.FSType == "proc" && errors.Is(err, unix.EPERM) {
				// The kernel gives a user namespace a fresh procfs only where it sees all of one (mount_too_revealing).
				return &plan.Error{Step: fmt.Sprintf("mount %s at %q", what, m.Dest), Text: "operation not permitted; within a container that works when that one runs with --security-opt unmask=all, or --privileged"}
			}
			return fail(fmt.Sprintf("mount %s at %q", what, m.Dest), err)
		}
	}
	return nil
}

// makeMount makes a detached mount, gives it its flags, and attaches it to the handle of its destination.
func (p *performer) makeMount(m *plan.Mount) error {
	if m.Kind == plan.MountCgroup1 {
		return p.mountCgroup1(m)
	}
	fd, err := p.newMount(m)
	if err != nil {
		return err
	}
	isDir := true
	if m.Kind == plan.MountBind {
		t, err := mode(fd)
		if err != nil {
			return err
		}
		isDir = t == unix.S_IFDIR
	}
	target, err := p.mountTarget(m, fd, isDir)
	if err != nil {
		return err
	}
	defer unix.Close(target)
	if t, err := mode(target); err == nil && isDir && t != unix.S_IFDIR {
		return unix.ENOTDIR // move_mount(2) would say EINVAL
	} else if err == nil && !isDir && t == unix.S_IFDIR {
		return unix.EISDIR
	}
	if m.CopyUp {
		if err := copyTree(target, fd); err != nil {
			return fail(fmt.Sprintf("copy %q into its tmpfs", m.Dest), err)
		}
	}
	if err := attach(fd, target); err != nil {
		return err
	}
	if m.Propagation != 0 {
		flags := uint(unix.AT_EMPTY_PATH)
		if m.PropagationRec {
			flags |= unix.AT_RECURSIVE
		}
		if err := unix.MountSetattr(fd, "", flags, &unix.MountAttr{Propagation: m.Propagation}); err != nil {
			return fmt.Errorf("set its propagation: %w", err)
		}
	}
	p.keep(m, fd)
	return nil
}

// keep remembers the mounts that later steps go through, and closes the others.
func (p *performer) keep(m *plan.Mount, fd int) {
	switch {
	case m.Kind == plan.MountFS && m.FSType == "proc" && m.Dest == "/proc":
		p.proc = fd
	case m.Kind == plan.MountFS && m.FSType == "devpts" && p.devpts < 0:
		p.devpts = fd
	case m.Kind == plan.MountFS && m.FSType == "tmpfs" && m.Set&unix.MOUNT_ATTR_RDONLY != 0:
		p.readonly = append(p.readonly, fd)
	default:
		unix.Close(fd)
	}
}

func attach(fd, target int) error {
	return unix.MoveMount(fd, "", target, "", unix.MOVE_MOUNT_F_EMPTY_PATH|unix.MOVE_MOUNT_T_EMPTY_PATH)
}

func (p *performer) newMount(m *plan.Mount) (int, error) {
	if m.Kind == plan.MountFS {
		set := m.Set
		if m.FSType == "tmpfs" {
			set &^= unix.MOUNT_ATTR_RDONLY // sealMounts, when everything beneath it is made
		}
		fd, err := newFS(m.FSType, m.Source, m.Data, set)
		if m.Fallback == "" || (err != unix.EPERM && err != unix.EBUSY) {
			return fd, err
		}
		m.Kind, m.Source, m.Recursive = plan.MountBind, m.Fallback, true
		m.RecSet |= m.Set
	}
	flags := uint(unix.OPEN_TREE_CLONE | unix.OPEN_TREE_CLOEXEC)
	if m.Recursive {
		flags |= unix.AT_RECURSIVE
	}
	if m.NoFollow {
		flags |= unix.AT_SYMLINK_NOFOLLOW
	}
	if m.Subpath != "" {
		return p.bindBelow(m, flags)
	}
	fd, err := unix.OpenTree(unix.AT_FDCWD, m.Source, flags)
	if err == unix.EINVAL && !m.Recursive {
		// In a user namespace a tree with mounts beneath may be cloned only as a whole.
		fd, err = unix.OpenTree(unix.AT_FDCWD, m.Source, flags|unix.AT_RECURSIVE)
	}
	if err != nil {
		return -1, err
	}
	return p.dress(m, fd)
}

// bindBelow clones a part of a directory that other containers may write to: its links lead nowhere else.
func (p *performer) bindBelow(m *plan.Mount, flags uint) (int, error) {
	top, err := unix.Open(m.Source, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1, err
	}
	defer unix.Close(top)
	how := &unix.OpenHow{Flags: unix.O_PATH | unix.O_CLOEXEC, Resolve: unix.RESOLVE_IN_ROOT | unix.RESOLVE_NO_MAGICLINKS}
	part, err := unix.Openat2(top, m.Subpath, how)
	if err != nil {
		return -1, err
	}
	defer unix.Close(part)
	fd, err := unix.OpenTree(part, "", flags|unix.AT_EMPTY_PATH)
	if err != nil {
		return -1, err
	}
	return p.dress(m, fd)
}

// dress gives a detached bind its flags and ids.
func (p *performer) dress(m *plan.Mount, fd int) (int, error) {
	if err := setAttr(fd, false, m.Set, m.Clear); err != nil {
		return -1, err
	}
	if err := setAttr(fd, true, m.RecSet, m.RecClear); err != nil {
		return -1, err
	}
	if m.IDMap > 0 {
		attr := &unix.MountAttr{Attr_set: unix.MOUNT_ATTR_IDMAP, Userns_fd: uint64(p.FDs.IDMaps[m.IDMap-1])}
		at := uint(unix.AT_EMPTY_PATH)
		if m.IDMapRec {
			at |= unix.AT_RECURSIVE
		}
		if err := unix.MountSetattr(fd, "", at, attr); err != nil {
			return -1, fmt.Errorf("map its ids: %w", err)
		}
	}
	return fd, nil
}

// newFS makes a detached mount of a filesystem.
func newFS(fstype, source string, data []string, attr uint64) (int, error) {
	fs, err := unix.Fsopen(fstype, unix.FSOPEN_CLOEXEC)
	if err != nil {
		return -1, err
	}
	defer unix.Close(fs)
	if source == "" {
		source = fstype
	}
	if err := unix.FsconfigSetString(fs, "source", source); err != nil {
		return -1, err
	}
	for _, d := range data {
		k, v, valued := strings.Cut(d, "=")
		if valued {
			err = unix.FsconfigSetString(fs, k, v)
		} else {
			err = unix.FsconfigSetFlag(fs, k)
		}
		if err != nil {
			return -1, fmt.Errorf("option %q: %w", d, err)
		}
	}
	if err := unix.FsconfigCreate(fs); err != nil {
		return -1, err
	}
	return unix.Fsmount(fs, unix.FSMOUNT_CLOEXEC, int(attr))
}

// mountTarget opens a mount's destination. procfs and sysfs go to a real directory, never through a symbolic
// link, and nothing covers a part of procfs but the few files that are commonly virtualized: whoever could
// replace /proc/self/attr or /proc/sys would undo the confinement set up later.
func (p *performer) mountTarget(m *plan.Mount, fd int, isDir bool) (int, error) {
	dest := path.Clean("/" + m.Dest)
	var resolve uint64
	if m.FSType == "proc" || m.FSType == "sysfs" || dest == "/proc" || strings.HasPrefix(dest, "/proc/") {
		resolve = unix.RESOLVE_NO_SYMLINKS
	}
	if dest == "/proc" && !onProc(fd) {
		return -1, &plan.Error{Step: "mount at \"/proc\"", Text: "only procfs may be mounted there"}
	}
	if m.NoFollow {
		resolve |= unix.RESOLVE_NO_SYMLINKS
	}
	target, err := p.target(dest, isDir, resolve)
	if err == unix.ELOOP {
		return -1, &plan.Error{Step: fmt.Sprintf("mount at %q", dest), Text: "the image has a symbolic link there"}
	}
	if err != nil {
		return -1, err
	}
	if onProc(target) && !coverable(dest) {
		unix.Close(target)
		return -1, &plan.Error{Step: fmt.Sprintf("mount at %q", dest), Text: "it is inside procfs, where nothing may be mounted"}
	}
	return target, nil
}

// coverable lists the files of procfs that system-information filesystems replace.
func coverable(dest string) bool {
	switch dest {
	case "/proc", "/proc/cpuinfo", "/proc/diskstats", "/proc/meminfo", "/proc/stat", "/proc/swaps", "/proc/uptime",
		"/proc/loadavg", "/proc/slabinfo", "/proc/net/dev", "/proc/sys/kernel/ns_last_pid", "/proc/sys/crypto/fips_enabled":
		return true
	}
	return false
}

// sealMounts makes read-only what had to stay writable while it was filled.
func (p *performer) sealMounts() error {
	for _, fd := range p.readonly {
		if err := setAttr(fd, false, unix.MOUNT_ATTR_RDONLY, 0); err != nil {
			return fail("make a tmpfs read-only", err)
		}
		unix.Close(fd)
	}
	return nil
}
