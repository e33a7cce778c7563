package perform

import (
	"fmt"
	"math"
	"path"
	"strings"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/proa-containers/proa/oci/plan"
)

const defaultPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// lookPath finds the command inside the container.
func (p *performer) lookPath() error {
	if len(p.Process.Args) == 0 || p.Process.Args[0] == "" {
		return &plan.Error{Step: "start the container", Text: "there is no command to run", Kind: plan.KindNotFound}
	}
	name := p.Process.Args[0]
	if strings.Contains(name, "/") {
		file := name
		if !path.IsAbs(file) {
			file = path.Join("/", p.Process.Cwd, file)
		}
		p.path = file
		return p.executable(name, file)
	}
	dirs := defaultPath
	for _, e := range p.Process.Env {
		if v, ok := strings.CutPrefix(e, "PATH="); ok {
			dirs = v
		}
	}
	var denied error
	for _, dir := range strings.Split(dirs, ":") {
		if !path.IsAbs(dir) {
			dir = path.Join("/", p.Process.Cwd, dir)
		}
		file := path.Join(dir, name)
		err := p.executable(name, file)
		if err == nil {
			p.path = file
			return nil
		}
		if e := asError(err); e.Kind == plan.KindNotInvokable && denied == nil {
			denied = err
		}
	}
	if denied != nil {
		return denied
	}
	return &plan.Error{
		Step: fmt.Sprintf("execute %q", name), Kind: plan.KindNotFound,
		Text: "executable file not found in $PATH; check the command's name and that the image has it",
	}
}

func (p *performer) executable(name, file string) error {
	var st unix.Stat_t
	err := unix.Stat(file, &st)
	switch {
	case err == unix.ENOENT || err == unix.ENOTDIR:
		return &plan.Error{Step: fmt.Sprintf("execute %q", name), Errno: unix.ENOENT, Kind: plan.KindNotFound}
	case err != nil:
		return invokeError(name, err)
	case st.Mode&unix.S_IFMT == unix.S_IFDIR:
		return &plan.Error{Step: fmt.Sprintf("execute %q", name), Errno: unix.EISDIR, Kind: plan.KindNotInvokable}
	case st.Mode&0o111 == 0 || st.Mode&unix.S_IFMT != unix.S_IFREG:
		return &plan.Error{Step: fmt.Sprintf("execute %q", name), Errno: unix.EACCES, Kind: plan.KindNotInvokable}
	}
	return nil
}

func invokeError(name string, err error) error {
	e := asError(fail(fmt.Sprintf("execute %q", name), err))
	e.Kind = plan.KindNotInvokable
	switch err {
	case unix.ENOENT:
		e.Kind = plan.KindNotFound
		e.Text = "its interpreter, named in its first line or its ELF header, is missing in the container"
	case unix.ENOEXEC:
		e.Text = "exec format error: it is for another architecture, or a script without a #! line"
	}
	return e
}

// become takes on the credentials of the process and executes it. The order is the kernel's: the bounding set
// needs CAP_SETPCAP, a filter without no_new_privs needs CAP_SYS_ADMIN, and the working directory must be
// reachable for the user. The filter comes as late as it can: it may forbid what the steps before it call.
func (p *performer) become() error {
	pr := &p.Process
	if p.Limit { // while the system calls of the conversation are allowed
		if _, err := p.link.await(plan.MsgLimit); err != nil {
			return err
		}
	}
	if err := p.setLimits(); err != nil {
		return err
	}
	p.ownStreams()
	if err := leaveKeyring(); err != nil {
		return err
	}
	// execve keeps the mask, which may be that of whoever called proa.
	if err := unix.PthreadSigmask(unix.SIG_SETMASK, &unix.Sigset_t{}, nil); err != nil {
		return fail("unblock signals", err)
	}
	if !pr.Terminal {
		if _, err := unix.Setsid(); err != nil && err != unix.EPERM {
			return fail("start a session", err)
		}
	}
	// Before the filter, which may forbid these calls.
	if pr.Umask != nil {
		unix.Umask(int(*pr.Umask))
	}
	if err := unix.CloseRange(uint(3+p.FDs.Preserve), math.MaxUint32, unix.CLOSE_RANGE_CLOEXEC); err != nil {
		return fail("close inherited descriptors", err)
	}
	for _, step := range []func() error{p.boundCaps, p.setUser, p.enterCwd, p.setPrivilegedSeccomp, p.setCaps, p.setLabel} {
		if err := step(); err != nil {
			return err
		}
	}
	if pr.NoNewPrivileges {
		if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
			return fail("give up new privileges", err)
		}
		if err := p.setSeccomp(); err != nil {
			return err
		}
	}
	defaultSignals()
	if p.Init {
		return p.execReaper()
	}
	return invokeError(pr.Args[0], syscall.Exec(p.path, pr.Args, pr.Env))
}

// defaultSignals lets the command start with every signal at its default, whatever the caller of proa ignored (nohup):
// execve resets a caught signal, not an ignored one. os/signal leaves 32 and 33 alone, which C libraries use.
func defaultSignals() {
	var action struct { // struct sigaction as the kernel has it; all zero is SIG_DFL
		handler, flags, restorer uintptr
		mask                     uint64
	}
	for sig := uintptr(1); sig <= 64; sig++ {
		// SIGKILL and SIGSTOP refuse; they can't be ignored either.
		_, _, _ = syscall.RawSyscall6(unix.SYS_RT_SIGACTION, sig, uintptr(unsafe.Pointer(&action)), 0, 8, 0, 0)
	}
}

// enterCwd enters the working directory and checks that it lies inside the root: the kernel marks a directory
// that can't be reached from it with a path that does not begin with a slash. Magic links are refused, since
// /proc/self/fd still holds what this process has open (CVE-2024-21626).
func (p *performer) enterCwd() error {
	dir := p.Process.Cwd
	if dir == "" {
		dir = "/"
	}
	if err := chdir(dir); err != nil {
		e := asError(fail(fmt.Sprintf("enter the working directory %q", dir), err))
		if err == unix.EACCES {
			e.Kind = plan.KindNotInvokable
		}
		return e
	}
	b := make([]byte, unix.PathMax)
	n, err := unix.Getcwd(b)
	if err != nil || n < 1 || b[0] != '/' {
		return &plan.Error{Step: fmt.Sprintf("enter the working directory %q", dir), Text: "it lies outside of the container's root"}
	}
	return nil
}

// chdir is chdir(2) that follows no magic link.
func chdir(dir string) error {
	fd, err := unix.Openat2(unix.AT_FDCWD, dir, &unix.OpenHow{
		Flags: unix.O_PATH | unix.O_DIRECTORY | unix.O_CLOEXEC, Resolve: unix.RESOLVE_NO_MAGICLINKS,
	})
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	return unix.Fchdir(fd)
}
