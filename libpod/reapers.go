package libpod

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/proa-containers/proa/oci/monitor"
	"golang.org/x/sys/unix"
)

// The first process of a pid namespace ends only when all others in it have been waited for by their parents
// (zap_pid_ns_processes in the kernel). The parent of an exec's command, or of a debug session, is a client outside, that of
// a health check's the monitor. Either may be stopped, as the first by Ctrl-Z: the container would never end.

// exitingFlag is PF_EXITING of the flags in /proc/PID/stat (proc_pid_stat(5)).
const exitingFlag = 0x4

// letReap has the stopped clients of an ending container go on, while its end is awaited.
func (e *Engine) letReap(c *Container) (stop func()) {
	var init monitor.Init
	if readJSON(filepath.Join(e.runDir(c.ID), monitor.InitFile), &init) != nil {
		return func() {}
	}
	done := make(chan struct{})
	go func() {
		for {
			select {
			case <-done:
				return
			case <-time.After(guardTime):
			}
			if exiting(init.PID) && alive(init) {
				wakeParents()
			}
		}
	}()
	return func() { close(done) }
}

// exiting tells whether a process is on its way out.
func exiting(pid int) bool {
	f := statFields(pid)
	if len(f) < 7 {
		return false
	}
	flags, err := strconv.ParseUint(f[6], 10, 64)
	return err == nil && flags&exitingFlag != 0
}

// statFields are those of /proc/PID/stat from the third on, the state; nil when there is no such process. The second is the
// name in parentheses, which may itself hold some (proc_pid_stat(5)).
func statFields(pid int) []string {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return nil
	}
	return strings.Fields(string(b[strings.LastIndexByte(string(b), ')')+1:]))
}

// wakeParents continues stopped clients and monitors that have a child which has ended in a pid namespace below this one. The kernel does
// not tell in which, of a process without memory; to go on is right for each: there is nothing more to wait for.
func wakeParents() {
	list, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, file := range list {
		child, err := strconv.Atoi(strings.Split(file, "/")[2])
		if err != nil {
			continue
		}
		f := statFields(child)
		if len(f) < 2 || f[0] != "Z" || !nested(child) {
			continue
		}
		if parent, err := strconv.Atoi(f[1]); err == nil && parent > 1 {
			continueStopped(parent)
		}
	}
}

// nested tells whether a process has a pid in a namespace below this one (NSpid in proc_pid_status(5)).
func nested(pid int) bool {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return false
	}
	for line := range strings.Lines(string(b)) {
		if pids, ok := strings.CutPrefix(line, "NSpid:"); ok {
			return len(strings.Fields(pids)) > 1
		}
	}
	return false
}

// continueStopped lets a client or a monitor go on that is stopped.
func continueStopped(pid int) {
	exe, err := os.Readlink(fmt.Sprintf("/proc/%d/exe", pid))
	if name := strings.TrimPrefix(filepath.Base(exe), "memfd:"); err != nil || !strings.HasPrefix(name, "proa") {
		return
	}
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return
	}
	defer unix.Close(fd)
	if stopped(pid) {
		unix.PidfdSendSignal(fd, unix.SIGCONT, nil, 0)
	}
}
