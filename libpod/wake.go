package libpod

import (
	"os"
	"path/filepath"
	"time"

	"github.com/proa-containers/proa/libpod/rootless"
	"github.com/proa-containers/proa/oci/monitor"
	"golang.org/x/sys/unix"
)

// A monitor that was stopped (SIGSTOP, or a debugger that let it go so) neither reads its container's output nor tells
// how that ended. It has no reason to be stopped: every verb that needs it lets it go on, and one that does not go on,
// as under a debugger, is killed when its container has ended, since nothing of that is lost but how it did.

// patience is how long a container's end is awaited of a monitor that lives.
const patience = 3 * time.Second

// monitorPID is the live monitor of the container, 0 when there is none.
func (e *Engine) monitorPID(id string) int {
	return rootless.Holder(filepath.Join(e.runDir(id), monitor.LockFile))
}

// wake lets a stopped monitor go on and tells whether there is a monitor.
func (e *Engine) wake(id string) bool {
	pid := e.monitorPID(id)
	if pid != 0 && stopped(pid) {
		e.signalMonitor(id, unix.SIGCONT)
	}
	return pid != 0
}

// signalMonitor sends sig to the live monitor through a pidfd: who still has the lock when that is open is its process.
func (e *Engine) signalMonitor(id string, sig unix.Signal) {
	pid := e.monitorPID(id)
	if pid == 0 {
		return
	}
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return
	}
	defer unix.Close(fd)
	if e.monitorPID(id) == pid {
		unix.PidfdSendSignal(fd, sig, nil, 0)
	}
}

// endMonitor kills a monitor that outlives its container, and waits until it can write nothing any more.
func (e *Engine) endMonitor(id string) {
	e.signalMonitor(id, unix.SIGKILL)
	for end := time.Now().Add(patience); e.monitorPID(id) != 0 && time.Now().Before(end); {
		time.Sleep(time.Millisecond)
	}
}

// retire waits until the monitor of a container that has ended, or is not to run, has said all, and ends one that does not
// come to an end.
func (e *Engine) retire(id string) {
	for end := time.Now().Add(patience); e.wake(id); time.Sleep(time.Millisecond) {
		e.endInit(id)
		if time.Now().After(end) {
			e.endMonitor(id)
		}
	}
	e.endInit(id)
}

// endInit kills an init that runs though the container is not to: its command was killed, or its monitor before that could
// tell that the container runs.
func (e *Engine) endInit(id string) {
	for _, file := range []string{monitor.InitFile, monitor.LockFile} {
		var init monitor.Init
		if readJSON(filepath.Join(e.runDir(id), file), &init) != nil || !alive(init) {
			continue
		}
		fd, err := unix.PidfdOpen(init.PID, 0)
		if err != nil {
			continue
		}
		if alive(init) {
			unix.PidfdSendSignal(fd, unix.SIGKILL, nil, 0)
			unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, int(patience.Milliseconds()))
		}
		unix.Close(fd)
	}
}

// stopped tells whether a process is stopped, by a signal or a debugger (proc_pid_stat(5)).
func stopped(pid int) bool {
	f := statFields(pid)
	return len(f) > 0 && (f[0] == "T" || f[0] == "t")
}

// guardTime is how long a client of a monitor takes its silence for granted.
const guardTime = time.Second

// Guard sees to it that the client of a monitor hears how the container ends, though the monitor be stopped. It costs
// nothing before guardTime, and no wake-up until the end.
func (e *Engine) Guard(c *Container) (stop func()) {
	done := make(chan struct{})
	timer := time.AfterFunc(guardTime, func() { e.guard(c.ID, done) })
	return func() { timer.Stop(); close(done) }
}

func (e *Engine) guard(id string, done <-chan struct{}) {
	var init monitor.Init
	if readJSON(filepath.Join(e.runDir(id), monitor.InitFile), &init) == nil && !awaitEnd(init, done) {
		return
	}
	for end := time.Now().Add(patience); e.wake(id); {
		select {
		case <-done:
			return
		case <-time.After(100 * time.Millisecond):
		}
		if time.Now().After(end) && stopped(e.monitorPID(id)) {
			e.endMonitor(id)
		}
	}
}

// guard lets a monitor go on that is stopped before its container runs. It costs nothing before guardTime.
func (m *monitorProcess) guard() (stop func()) {
	done := make(chan struct{})
	pid := m.cmd.Process.Pid // a child that is not waited for before stop: no other has its pid
	timer := time.AfterFunc(guardTime, func() {
		for {
			if stopped(pid) {
				unix.Kill(pid, unix.SIGCONT)
			}
			select {
			case <-done:
				return
			case <-time.After(guardTime):
			}
		}
	})
	return func() { timer.Stop(); close(done) }
}

// awaitEnd waits for the end of init and tells whether it came, or was there, before done.
func awaitEnd(init monitor.Init, done <-chan struct{}) bool {
	// A pidfd that does not block goes into the poller: no thread waits for it.
	fd, err := unix.PidfdOpen(init.PID, unix.PIDFD_NONBLOCK)
	if err != nil {
		return true
	}
	f := os.NewFile(uintptr(fd), "pidfd")
	defer f.Close()
	raw, err := f.SyscallConn()
	if err != nil || !alive(init) {
		return true
	}
	ended := make(chan struct{})
	go func() {
		raw.Read(func(fd uintptr) bool {
			n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, 0)
			return n > 0 || err != nil && err != unix.EINTR
		})
		close(ended)
	}()
	select {
	case <-ended:
		return true
	case <-done:
		return false
	}
}
