package perform

import (
	"fmt"
	"strconv"

	"golang.org/x/sys/unix"

	"github.com/proa-containers/proa/oci/plan"
)

// enter waits until the parent has written the id maps and the cgroups, becomes the namespace's root, and
// makes or joins the namespaces that clone(2) can't make in one go.
func (p *performer) enter() error {
	newUser := false
	for _, n := range p.Namespaces {
		newUser = newUser || n.Type == unix.CLONE_NEWUSER && n.Path == ""
	}
	if newUser || p.Prepare || len(p.CgroupDirs) > 0 {
		g, err := p.link.await(plan.MsgPrepare)
		if err != nil {
			return err
		}
		p.pid, p.state = g.Pid, g.State
	}
	if newUser {
		if err := setIDs(0, 0); err != nil {
			return fail("become root in the user namespace", err)
		}
	}
	for _, n := range p.Namespaces {
		switch {
		case n.Path == "" && (n.Type == unix.CLONE_NEWCGROUP || n.Type == unix.CLONE_NEWTIME):
			// A cgroup namespace is rooted in the cgroup of the moment. A time namespace is entered on execve.
			if err := unix.Unshare(int(n.Type)); err != nil {
				return fail("make a cgroup or time namespace", err)
			}
		case n.Path != "" && n.Type == unix.CLONE_NEWNS:
			if err := p.joinMounts(n.Path); err != nil {
				return err
			}
		}
	}
	return p.setTimeOffsets()
}

func (p *performer) joinMounts(path string) error {
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return fail(fmt.Sprintf("open the mount namespace %q", path), err)
	}
	defer unix.Close(fd)
	if err := unix.Unshare(unix.CLONE_FS); err != nil {
		return fail("leave the shared working directory", err)
	}
	if err := unix.Setns(fd, unix.CLONE_NEWNS); err != nil {
		return fail(fmt.Sprintf("join the mount namespace %q", path), err)
	}
	return nil
}

func (p *performer) setTimeOffsets() error {
	for _, t := range p.Time {
		line := t.Clock + " " + strconv.FormatInt(t.Secs, 10) + " " + strconv.FormatUint(uint64(t.Nanosecs), 10)
		if err := writeTrusted("thread-self/timens_offsets", line); err != nil {
			// Older kernels have the file in the process directory only.
			if err = writeTrusted("self/timens_offsets", line); err != nil {
				return fail("set the offset of the clock "+t.Clock, err)
			}
		}
	}
	return nil
}

// setIDs sets all user and group ids of this thread.
func setIDs(uid, gid uint32) error {
	if _, _, e := unix.RawSyscall(unix.SYS_SETRESGID, uintptr(gid), uintptr(gid), uintptr(gid)); e != 0 {
		return e
	}
	if _, _, e := unix.RawSyscall(unix.SYS_SETRESUID, uintptr(uid), uintptr(uid), uintptr(uid)); e != 0 {
		return e
	}
	return nil
}
