package perform

import (
	"errors"
	"os"
	"os/signal"
	"strconv"
	"syscall"
	"unsafe"

	"github.com/proa-containers/proa/oci/plan"
	"golang.org/x/sys/unix"
)

// execReaper replaces this process, now with the command's credentials and filter, by a reaper: a process of
// one kind of privilege, unlike this one, whose other threads never gave theirs up.
func (p *performer) execReaper() error {
	if _, err := unix.FcntlInt(uintptr(p.link.fd), unix.F_SETFD, 0); err != nil {
		return fail("hand the link to the reaper", err)
	}
	mode := "reap"
	if p.Lifeline {
		mode = "reap-session"
	}
	argv := append([]string{"proa-init", mode, strconv.Itoa(p.link.fd), strconv.Itoa(p.FDs.Preserve), p.path}, p.Process.Args...)
	args, err := syscall.SlicePtrFromStrings(argv)
	if err != nil {
		return fail("start the reaper", err)
	}
	env, err := syscall.SlicePtrFromStrings(p.Process.Env)
	if err != nil {
		return fail("start the reaper", err)
	}
	empty := []byte{0}
	_, _, e := unix.RawSyscall6(unix.SYS_EXECVEAT, uintptr(p.self), uintptr(unsafe.Pointer(&empty[0])),
		uintptr(unsafe.Pointer(&args[0])), uintptr(unsafe.Pointer(&env[0])), unix.AT_EMPTY_PATH, 0)
	return fail("start the reaper", e)
}

// Reap is pid 1 of a container run with an init: it starts the command, forwards signals to it, reaps every
// orphan and ends as the command ends. args are the link, the number of preserved descriptors, the command's
// path and its arguments.
func Reap(args []string) int { return reap(args, nil) }

// reap is Reap; in a session what descends from the command ends with it.
func reap(args []string, s *session) int {
	fd, err1 := strconv.Atoi(args[0])
	preserve, err2 := strconv.Atoi(args[1])
	if err := errors.Join(err1, err2); err != nil {
		return 125
	}
	unix.CloseOnExec(fd)
	if s != nil {
		if err := s.begin(); err != nil {
			link{fd: fd}.report(asError(fail("watch over the session", err)))
			return 125
		}
		preserve = 0
	}
	sigs := make(chan os.Signal, 64)
	signal.Notify(sigs)
	files := make([]uintptr, 3+preserve)
	for i := range files {
		files[i] = uintptr(i)
	}
	// A process group of its own, in the foreground if there is a terminal, so that job control reaches the command.
	attr := &syscall.SysProcAttr{Setpgid: true}
	if _, err := unix.IoctlGetInt(0, unix.TIOCGPGRP); err == nil {
		attr.Foreground, attr.Ctty = true, 0
	}
	if s != nil {
		attr.Pdeathsig = unix.SIGKILL
	}
	pid, err := syscall.ForkExec(args[2], args[3:], &syscall.ProcAttr{Env: os.Environ(), Files: files, Sys: attr})
	l := link{fd: fd}
	if err != nil {
		e := asError(invokeError(args[3], err))
		if !l.report(e) {
			_, _ = os.Stderr.WriteString("proa-init: " + e.Error() + "\n")
		}
		return e.ExitCode()
	}
	unix.Close(fd)
	if s != nil {
		defer s.end()
	}
	return attend(pid, sigs, s.cut())
}

// attend forwards signals to the process pid and reaps until it has ended, whose exit code it returns, or until cut is
// closed.
func attend(pid int, sigs <-chan os.Signal, cut <-chan struct{}) int {
	for {
		select {
		case <-cut:
			return 128 + int(unix.SIGKILL)
		case s := <-sigs:
			switch s {
			case unix.SIGCHLD:
				if code, done := reapAll(pid); done {
					return code
				}
			case unix.SIGURG, unix.SIGTTOU, unix.SIGTTIN, unix.SIGPIPE:
				// SIGURG is Go's own; the terminal's stop signals are about this process only.
			default:
				_ = unix.Kill(pid, s.(syscall.Signal))
			}
		}
	}
}

// ReapCommand is Reap where another runtime made the container: args are the command as the user gave it, to be found
// as a runtime would. There is nobody to report to but standard error.
func ReapCommand(args []string) int {
	cwd, err := os.Getwd()
	if err != nil {
		cwd = "/"
	}
	p := performer{Plan: &plan.Plan{Process: plan.Process{Args: args, Cwd: cwd, Env: os.Environ()}}}
	if err := p.lookPath(); err != nil {
		e := asError(err)
		_, _ = os.Stderr.WriteString("proa-init: " + e.Error() + "\n")
		return e.ExitCode()
	}
	return Reap(append([]string{"-1", "0", p.path}, args...))
}

// reapAll waits for everything that ended; done when pid did.
func reapAll(pid int) (code int, done bool) {
	for {
		var ws unix.WaitStatus
		got, err := unix.Wait4(-1, &ws, unix.WNOHANG, nil)
		if err == unix.EINTR {
			continue
		}
		if err != nil || got == 0 {
			return code, done
		}
		if got == pid {
			done, code = true, ws.ExitStatus()
			if ws.Signaled() {
				code = 128 + int(ws.Signal())
			}
		}
	}
}
