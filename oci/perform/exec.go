package perform

import (
	"golang.org/x/sys/unix"

	"github.com/proa-containers/proa/oci/plan"
)

// exec enters the mount namespace of a running container and becomes the process. The launcher has put this
// process into the container's other namespaces. The mount namespace comes last and only here: until then
// neither this binary nor its descriptors are visible to the container's processes by name.
func (p *performer) exec() error {
	if p.Prepare || len(p.CgroupDirs) > 0 {
		if _, err := p.link.await(plan.MsgPrepare); err != nil {
			return err
		}
	}
	if err := p.openTrusted(); err != nil {
		return err
	}
	if err := unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0); err != nil {
		return fail("become undumpable", err)
	}
	unix.Umask(0o022)
	if p.FDs.Target != 0 {
		if err := unix.Unshare(unix.CLONE_FS); err != nil {
			return fail("leave the shared working directory", err)
		}
		if err := unix.Setns(p.FDs.Target, unix.CLONE_NEWNS); err != nil {
			return fail("join the container's mount namespace", err)
		}
	}
	if p.Process.Terminal {
		if err := p.execConsole(); err != nil {
			return err
		}
	}
	if err := p.lookPath(); err != nil {
		return err
	}
	return p.become()
}

func (p *performer) execConsole() error {
	pts, err := unix.Openat2(unix.AT_FDCWD, "/dev/pts", &unix.OpenHow{
		Flags:   unix.O_PATH | unix.O_DIRECTORY | unix.O_CLOEXEC,
		Resolve: unix.RESOLVE_NO_SYMLINKS,
	})
	if err != nil {
		return fail("open /dev/pts for a terminal", err)
	}
	defer unix.Close(pts)
	slave, err := p.newTerminal(pts)
	if err != nil {
		return err
	}
	return p.useTerminal(slave)
}
