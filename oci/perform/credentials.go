package perform

import (
	"fmt"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/proa-containers/proa/oci/plan"
)

// lastCap bounds the loop over capabilities; the kernel answers EINVAL after its last one.
const lastCap = 63

// boundCaps drops from the bounding set what the plan does not list.
func (p *performer) boundCaps() error {
	if p.Process.Caps == nil {
		return nil
	}
	for c := uintptr(0); c <= lastCap; c++ {
		if p.Process.Caps.Bounding>>c&1 == 1 {
			continue
		}
		_, _, e := unix.RawSyscall6(unix.SYS_PRCTL, unix.PR_CAPBSET_DROP, c, 0, 0, 0, 0)
		if e == unix.EINVAL {
			return nil
		}
		if e != 0 {
			return fail("limit the bounding capabilities", e)
		}
	}
	return nil
}

// setUser changes groups and ids of this thread, keeping the permitted capabilities for setCaps.
func (p *performer) setUser() error {
	pr := &p.Process
	if err := unix.Prctl(unix.PR_SET_KEEPCAPS, 1, 0, 0, 0); err != nil {
		return fail("keep the capabilities", err)
	}
	if !pr.KeepGroups {
		if err := setGroups(pr.Groups); err != nil {
			return fail(fmt.Sprintf("set the supplementary groups %v", pr.Groups), err)
		}
	}
	if err := setIDs(pr.UID, pr.GID); err != nil {
		if err == unix.EINVAL {
			return &plan.Error{
				Step: fmt.Sprintf("become user %d, group %d", pr.UID, pr.GID),
				Text: "that id is not mapped in the user namespace; give the user more subordinate ids in /etc/subuid and /etc/subgid",
			}
		}
		return fail(fmt.Sprintf("become user %d, group %d", pr.UID, pr.GID), err)
	}
	return nil
}

func setGroups(gids []uint32) error {
	var first unsafe.Pointer
	if len(gids) > 0 {
		first = unsafe.Pointer(&gids[0])
	}
	_, _, e := unix.RawSyscall(unix.SYS_SETGROUPS, uintptr(len(gids)), uintptr(first), 0)
	if e == unix.EPERM && len(gids) == 0 {
		return nil // denied by /proc/self/setgroups in a namespace made without privilege
	}
	if e != 0 {
		return e
	}
	return nil
}

// setPrivilegedSeccomp installs the filter of a process that may still gain privileges. The change of the user has
// emptied the effective set, not the permitted one.
func (p *performer) setPrivilegedSeccomp() error {
	if p.Process.NoNewPrivileges || p.Process.Seccomp == nil {
		return nil
	}
	hdr := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	if err := unix.Capget(&hdr, &data[0]); err != nil {
		return fail("read the capabilities", err)
	}
	if data[0].Effective != data[0].Permitted {
		data[0].Effective, data[1].Effective = data[0].Permitted, data[1].Permitted
		if err := unix.Capset(&hdr, &data[0]); err != nil {
			return fail("raise the capabilities", err)
		}
	}
	return p.setSeccomp()
}

// setCaps sets the permitted, effective, inheritable and ambient sets.
func (p *performer) setCaps() error {
	c := p.Process.Caps
	if c == nil {
		return nil
	}
	hdr := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	known, err := knownCaps(&hdr)
	if err != nil {
		return fail("read the capabilities", err)
	}
	// The permitted set can only shrink. Inside a container that was itself given less, ask for what there is.
	permitted := c.Permitted & known
	effective, inheritable := c.Effective&permitted, c.Inheritable&(permitted|known)
	data := [2]unix.CapUserData{
		{Effective: uint32(effective), Permitted: uint32(permitted), Inheritable: uint32(inheritable)},
		{Effective: uint32(effective >> 32), Permitted: uint32(permitted >> 32), Inheritable: uint32(inheritable >> 32)},
	}
	if err := unix.Capset(&hdr, &data[0]); err != nil {
		return fail("set the capabilities", err)
	}
	if err := unix.Prctl(unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0); err != nil {
		return fail("clear the ambient capabilities", err)
	}
	for i := uintptr(0); i <= lastCap; i++ {
		if c.Ambient&permitted&inheritable>>i&1 == 0 {
			continue
		}
		if err := unix.Prctl(unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_RAISE, i, 0, 0); err != nil {
			return fail("raise the ambient capabilities", err)
		}
	}
	return nil
}

func knownCaps(hdr *unix.CapUserHeader) (uint64, error) {
	var now [2]unix.CapUserData
	if err := unix.Capget(hdr, &now[0]); err != nil {
		return 0, err
	}
	return uint64(now[0].Permitted) | uint64(now[1].Permitted)<<32, nil
}

// setLabel sets the security label for execve, through the file opened before the container was in sight.
func (p *performer) setLabel() error {
	if p.attr < 0 {
		return nil
	}
	value, what := p.Process.SELinux, "SELinux label"
	if p.Process.AppArmor != "" {
		value, what = "exec "+p.Process.AppArmor, "AppArmor profile"
	}
	if _, err := unix.Write(p.attr, []byte(value)); err != nil {
		return fail(fmt.Sprintf("set the %s %q", what, value), err)
	}
	return unix.Close(p.attr)
}

// setSeccomp installs the filter on this thread, the one that executes the command.
func (p *performer) setSeccomp() error {
	s := p.Process.Seccomp
	if s == nil {
		return nil
	}
	prog := unix.SockFprog{Len: uint16(len(s.Filter) / unix.SizeofSockFilter)}
	if prog.Len == 0 || len(s.Filter)/unix.SizeofSockFilter > unix.BPF_MAXINSNS {
		return &plan.Error{Step: "install the seccomp filter", Text: "it is empty or longer than the kernel takes"}
	}
	prog.Filter = (*unix.SockFilter)(unsafe.Pointer(&s.Filter[0]))
	_, _, e := unix.RawSyscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, uintptr(s.Flags), uintptr(unsafe.Pointer(&prog)))
	if e != 0 {
		return fail("install the seccomp filter", e)
	}
	return nil
}
