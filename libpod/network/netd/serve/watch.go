package serve

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"

	"github.com/proa-containers/proa/oci/launch"
	"github.com/proa-containers/proa/oci/monitor"
	"golang.org/x/sys/unix"
)

// process is one whose end is waited for.
type process struct{ f *os.File }

// errGone says that there is no such process any more.
var errGone = errors.New("the process has ended")

// watchInit opens init, which its start time tells from another one that got its pid.
func watchInit(init monitor.Init) (*process, error) {
	p, err := watchPID(init.PID)
	if err != nil {
		return nil, err
	}
	if start, err := launch.StartTime(init.PID); err != nil || start != init.StartTime || p.ended() {
		p.close()
		return nil, errGone
	}
	return p, nil
}

// watchPID opens the process pid. The runtime waits for it as for a socket, with no thread (pidfd_open(2)).
func watchPID(pid int) (*process, error) {
	fd, err := unix.PidfdOpen(pid, unix.PIDFD_NONBLOCK)
	if err != nil {
		return nil, errGone
	}
	return &process{os.NewFile(uintptr(fd), "pidfd")}, nil
}

func (p *process) close() { p.f.Close() }

// ended tells whether the process has.
func (p *process) ended() bool {
	ended := true // closed
	if raw, err := p.f.SyscallConn(); err == nil {
		raw.Control(func(fd uintptr) { ended = readable(fd) })
	}
	return ended
}

func readable(fd uintptr) bool {
	set := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
	for {
		n, err := unix.Poll(set, 0)
		if err != unix.EINTR {
			return n > 0
		}
	}
}

// wait returns when the process has ended, or was closed.
func (p *process) wait() {
	raw, err := p.f.SyscallConn()
	if err == nil {
		raw.Read(readable)
	}
}

// successor is who keeps a container on its networks whose init has ended: its monitor, which may start another one, or
// the init that a monitor has started again before it was killed. nil: the container has ended.
func successor(runDir string) *process {
	lock := filepath.Join(runDir, monitor.LockFile)
	if pid := lockHolder(lock); pid != 0 {
		if p, err := watchPID(pid); err == nil {
			if lockHolder(lock) == pid {
				return p
			}
			p.close()
		}
	}
	b, err := os.ReadFile(filepath.Join(runDir, monitor.InitFile))
	var init monitor.Init
	if err != nil || json.Unmarshal(b, &init) != nil {
		return nil
	}
	p, err := watchInit(init)
	if err != nil {
		return nil
	}
	return p
}

// lockHolder is the process that holds the POSIX lock on a file, 0 without one.
func lockHolder(path string) int {
	f, err := os.OpenFile(path, os.O_RDWR|unix.O_NOFOLLOW, 0)
	if err != nil {
		return 0
	}
	defer f.Close()
	l := unix.Flock_t{Type: unix.F_WRLCK}
	if unix.FcntlFlock(f.Fd(), unix.F_GETLK, &l) != nil || l.Type == unix.F_UNLCK || l.Pid <= 0 {
		return 0
	}
	return int(l.Pid)
}
