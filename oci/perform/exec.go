package perform

import (
	"encoding/json"
	"os"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/proa-containers/proa/oci/plan"
)

// exec enters the mount namespace of a running container and becomes the process. The launcher has put this
// process into the container's other namespaces. The mount namespace comes last and only here: until then
// neither this binary nor its descriptors are visible to the container's processes by name.
func (p *performer) exec() error {
	if p.JoinFlags != 0 {
		return p.join()
	}
	return p.execJoined()
}

// join enters the container's namespaces and starts a process in them, since a process never changes its own pid
// namespace. CLONE_PARENT makes it the launcher's child. It returns only with an error.
func (p *performer) join() error {
	if err := unix.Setns(p.FDs.Target, p.JoinFlags); err != nil {
		return fail("join the container's namespaces", err)
	}
	files := make([]uintptr, max(p.link.fd, p.mem)+1)
	for i := range files {
		files[i] = uintptr(i)
	}
	args := []string{"proa-init", "exec-joined", strconv.Itoa(p.link.fd), strconv.Itoa(p.mem)}
	pid, err := syscall.ForkExec("/proc/self/exe", args, &syscall.ProcAttr{
		Env: os.Environ(), Files: files, Sys: &syscall.SysProcAttr{Cloneflags: unix.CLONE_PARENT},
	})
	if err != nil {
		return fail("start a process in the container's namespaces", err)
	}
	b, err := json.Marshal(&plan.Go{Pid: pid})
	if err != nil {
		return fail("report the process", err)
	}
	if err := p.link.send(plan.MsgForked, b); err != nil {
		return fail("report the process", err)
	}
	os.Exit(0)
	return nil
}

func (p *performer) execJoined() error {
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
	if p.JoinCgroup {
		if err := unix.Setns(p.FDs.Target, unix.CLONE_NEWCGROUP); err != nil {
			return fail("join the container's cgroup namespace", err)
		}
	}
	if p.FDs.Target != 0 && !p.SameMounts {
		if err := unix.Unshare(unix.CLONE_FS); err != nil {
			return fail("leave the shared working directory", err)
		}
		if err := unix.Setns(p.FDs.Target, unix.CLONE_NEWNS); err != nil {
			return fail("join the container's mount namespace", err)
		}
	}
	if p.FDs.Root != 0 {
		// A container that shares a mount namespace has only its root directory to tell it from others.
		if err := unix.Fchdir(p.FDs.Root); err != nil {
			return fail("enter the container's root", err)
		}
		if err := unix.Chroot("."); err != nil {
			return fail("change the root to the container's", err)
		}
		unix.Close(p.FDs.Root)
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
