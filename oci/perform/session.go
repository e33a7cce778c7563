package perform

import (
	"os"
	"runtime"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// lifeline is the descriptor of a session's pipe: the first that the launcher preserves.
const lifeline = 3

// session is what a process keeps of a command that is to leave nothing behind, in a pid namespace whose pid 1 is
// another and goes on. Who it is killed by takes the command along alone (PR_SET_PDEATHSIG): what that has started is
// pid 1's then.
type session struct {
	gone chan struct{} // closed when the launcher has ended
}

// ReapSession is Reap for a session: it also ends when the launcher does.
func ReapSession(args []string) int { return reap(args, &session{gone: make(chan struct{})}) }

// begin adopts the orphans of what is started from now on and listens for the end of the launcher.
func (s *session) begin() error {
	// The parent's death is that of the thread which forked (prctl(2)); the first one lives as long as the process.
	runtime.LockOSThread()
	unix.CloseOnExec(lifeline)
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		return err
	}
	go func() {
		var b [1]byte
		for {
			if _, err := unix.Read(lifeline, b[:]); err != unix.EINTR {
				break
			}
		}
		close(s.gone)
	}()
	return nil
}

// cut is closed when the launcher has ended; never without a session.
func (s *session) cut() <-chan struct{} {
	if s == nil {
		return nil
	}
	return s.gone
}

// endTime bounds the wait for what was killed: it may be stuck in the kernel, or be another user's.
const endTime = 5 * time.Second

// end kills every descendant. The children of a killed one become this process's, so that they come up next.
func (s *session) end() {
	for deadline := time.Now().Add(endTime); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		for _, pid := range children() {
			_ = unix.Kill(pid, unix.SIGKILL)
		}
		for {
			got, err := unix.Wait4(-1, nil, unix.WNOHANG, nil)
			if err == unix.ECHILD {
				return
			}
			if err != unix.EINTR && got <= 0 {
				break
			}
		}
	}
}

// children are the processes whose parent is this one, from the fourth field of /proc/PID/stat (proc_pid_stat(5)).
func children() []int {
	list, err := os.ReadDir("/proc")
	if err != nil {
		return nil
	}
	self := strconv.Itoa(os.Getpid())
	var out []int
	for _, e := range list {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		b, err := os.ReadFile("/proc/" + e.Name() + "/stat")
		if err != nil {
			continue
		}
		f := strings.Fields(string(b[strings.LastIndexByte(string(b), ')')+1:]))
		if len(f) > 1 && f[1] == self {
			out = append(out, pid)
		}
	}
	return out
}
