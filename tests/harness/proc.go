package harness

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// Process is one process seen in /proc.
type Process struct {
	PID     int
	Parent  int
	UID     int
	Args    []string
	Environ []string
}

func (p Process) String() string { return fmt.Sprintf("%d %s", p.PID, strings.Join(p.Args, " ")) }

// Processes lists the processes that run as the user or as one of its subordinate ids.
func (e *Env) Processes() []Process {
	var out []Process
	dirs, _ := filepath.Glob("/proc/[0-9]*")
	for _, d := range dirs {
		pid, _ := strconv.Atoi(filepath.Base(d))
		if pid == os.Getpid() {
			continue
		}
		p, ok := readProcess(pid)
		if ok && (p.UID == e.UID || e.subordinate(p.UID)) {
			out = append(out, p)
		}
	}
	return out
}

func readProcess(pid int) (Process, bool) {
	dir := filepath.Join("/proc", strconv.Itoa(pid))
	args, err := os.ReadFile(filepath.Join(dir, "cmdline"))
	if err != nil || len(args) == 0 { // no command line: a zombie or a kernel thread
		return Process{}, false
	}
	status, err := os.ReadFile(filepath.Join(dir, "status"))
	if err != nil {
		return Process{}, false
	}
	environ, _ := os.ReadFile(filepath.Join(dir, "environ"))
	p := Process{PID: pid, UID: -1,
		Args:    strings.Split(strings.TrimRight(string(args), "\x00"), "\x00"),
		Environ: strings.Split(strings.TrimRight(string(environ), "\x00"), "\x00")}
	for _, l := range strings.Split(string(status), "\n") {
		f := strings.Fields(l)
		switch {
		case len(f) > 1 && f[0] == "PPid:":
			p.Parent, _ = strconv.Atoi(f[1])
		case len(f) > 1 && f[0] == "Uid:":
			p.UID, _ = strconv.Atoi(f[1])
		}
	}
	return p, true
}

func (e *Env) subordinate(uid int) bool {
	b, _ := os.ReadFile("/etc/subuid")
	for _, l := range strings.Split(string(b), "\n") {
		f := strings.Split(l, ":")
		if len(f) != 3 || f[0] != e.Name {
			continue
		}
		first, _ := strconv.Atoi(f[1])
		n, _ := strconv.Atoi(f[2])
		if uid >= first && uid < first+n {
			return true
		}
	}
	return false
}

// Owns tells whether p was started with this environment's runtime directory.
func (e *Env) Owns(p Process) bool { return slices.Contains(p.Environ, "XDG_RUNTIME_DIR="+e.Runtime) }

// killAll kills the user's processes that match, until there are none.
func (e *Env) killAll(match func(Process) bool) error {
	for range 100 {
		left := 0
		for _, p := range e.Processes() {
			if match(p) {
				left++
				_ = syscall.Kill(p.PID, syscall.SIGKILL)
			}
		}
		if left == 0 {
			return nil
		}
		time.Sleep(20 * time.Millisecond)
	}
	return errors.New("kill the test user's processes: some do not die")
}

// Mounts lists the mount points below the user's home and runtime directory that are visible outside every container.
func (e *Env) Mounts(t testing.TB) []string {
	t.Helper()
	b, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	return e.mountsIn(string(b))
}

// PauseMounts lists the same in the mount namespace of every process of the user.
func (e *Env) PauseMounts() []string {
	var out []string
	for _, p := range e.Processes() {
		b, err := os.ReadFile(fmt.Sprintf("/proc/%d/mountinfo", p.PID))
		if err == nil {
			out = append(out, e.mountsIn(string(b))...)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

func (e *Env) mountsIn(mountinfo string) []string {
	var out []string
	for _, l := range strings.Split(mountinfo, "\n") {
		f := strings.Fields(l)
		if len(f) > 4 && (strings.HasPrefix(f[4], e.Home+"/") || strings.HasPrefix(f[4], e.Runtime+"/")) {
			out = append(out, f[4])
		}
	}
	slices.Sort(out)
	return out
}
