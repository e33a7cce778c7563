// Package cgroup owns the place of containers' cgroups: which cgroup of the host they are made beneath, which
// controllers there are for limits, and how a process of proa gets where it may fork into them. It runs in proa, as
// root or as uid 0 of proa's user namespace, and in the latter case with the rights of the user alone: cgroup v2 lets a
// user make cgroups only in a subtree that was handed over ("Delegation" in the kernel's cgroup-v2.rst).
//
// What it lays out in the delegated cgroup, which under systemd is that of the unit proa.scope:
//
//	proa.scope/         holds no process, so that it can give controllers to its children
//	proa.scope/proa/    the pause process and the monitors
//	proa.scope/ID/      a container
package cgroup

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Mount is where the unified hierarchy is on every host that has only that.
const Mount = "/sys/fs/cgroup"

// own is the leaf of proa's own processes.
const own = "proa"

// Place is a delegated cgroup beneath which containers' cgroups are made.
type Place struct {
	Dir     string // absolute
	Systemd bool   // Dir is the cgroup of proa.scope
	// Leaf is where a monitor must be, to fork into Dir and to outlive its session; "" when it may stay where it is.
	Leaf string
	// Attach tells that the caller may not fork into Leaf itself: systemd moves the process there.
	Attach bool
}

// ErrNone says that there is no cgroup to make others in: containers stay in their caller's, and no limit can be held.
var ErrNone = errors.New("no cgroup v2 is delegated to this user")

// Unified tells whether the host has cgroup v2 alone; otherwise v1 has the controllers.
func Unified() bool {
	var st unix.Statfs_t
	return unix.Statfs(Mount, &st) == nil && st.Type == unix.CGROUP2_SUPER_MAGIC
}

// Own is the cgroup v2 directory of process pid, or of the caller with 0.
func Own(pid int) (string, error) {
	name := "/proc/self/cgroup"
	if pid != 0 {
		name = fmt.Sprintf("/proc/%d/cgroup", pid)
	}
	b, err := os.ReadFile(name)
	if err != nil {
		return "", fmt.Errorf("finding the cgroup: %w", err)
	}
	if path := Path(string(b)); path != "" {
		return filepath.Join(Mount, path), nil
	}
	return "", fmt.Errorf("finding the cgroup: %s names none of version 2", name)
}

// Path is the cgroup v2 path in the text of a /proc/PID/cgroup (cgroups(7)), "" when there is none.
func Path(text string) string {
	for line := range strings.Lines(text) {
		if path, ok := strings.CutPrefix(strings.TrimSpace(line), "0::"); ok {
			return path
		}
	}
	return ""
}

// writable tells whether the caller may make cgroups in dir and move processes across it.
func writable(dir string) bool {
	return unix.Access(dir, unix.W_OK) == nil && unix.Access(filepath.Join(dir, "cgroup.procs"), unix.W_OK) == nil
}

// mayMove tells whether the caller may move a process, or fork one, from cgroup from into to: it needs to write to the
// cgroup.procs of both to and their nearest common ancestor.
func mayMove(from, to string) bool {
	common := from
	for common != to && !strings.HasPrefix(to, strings.TrimSuffix(common, "/")+"/") {
		common = filepath.Dir(common)
	}
	return unix.Access(filepath.Join(common, "cgroup.procs"), unix.W_OK) == nil
}

// delegated is the highest cgroup above from that the caller owns with all between, or "".
func delegated(from string) string {
	top := ""
	for dir := from; writable(dir); dir = filepath.Dir(dir) {
		top = dir
		if dir == Mount {
			break
		}
	}
	return top
}

// Controllers that can be enabled for containers in place.
func (p *Place) Controllers() []string {
	b, err := os.ReadFile(filepath.Join(p.Dir, "cgroup.controllers"))
	if err != nil {
		return nil
	}
	return strings.Fields(string(b))
}

// enable gives the children of dir every controller that dir has. One that can't be given, as when dir holds processes, is
// missed when a limit needs it.
func enable(dir string) {
	b, err := os.ReadFile(filepath.Join(dir, "cgroup.controllers"))
	if err != nil {
		return
	}
	for _, c := range strings.Fields(string(b)) {
		os.WriteFile(filepath.Join(dir, "cgroup.subtree_control"), []byte("+"+c), 0)
	}
}

// Path is the directory of container id's cgroup.
func (p *Place) Path(id string) string { return filepath.Join(p.Dir, id) }

// Make makes the cgroup of container id and returns its directory.
func (p *Place) Make(id string) (string, error) {
	dir := p.Path(id)
	err := os.Mkdir(dir, 0o755)
	if errors.Is(err, fs.ErrExist) {
		if err = Remove(dir); err == nil { // of a run that nobody cleaned up after
			err = os.Mkdir(dir, 0o755)
		}
	}
	if err != nil {
		return "", fmt.Errorf("making the container's cgroup: %w", err)
	}
	return dir, nil
}

// removeTime bounds the wait for the kernel to have killed a cgroup's processes.
const removeTime = 5 * time.Second

// Remove removes a cgroup and those in it, killing what is left in them. It is not an error when there is none.
func Remove(dir string) error {
	err := unix.Rmdir(dir)
	if err == nil || errors.Is(err, unix.ENOENT) {
		return nil
	}
	// It has children, made by the container, or processes that outlived the init without a pid namespace of its own.
	if err := os.WriteFile(filepath.Join(dir, "cgroup.kill"), []byte("1"), 0); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("removing the container's cgroup: %w", err)
	}
	for end := time.Now().Add(removeTime); ; time.Sleep(5 * time.Millisecond) {
		if err = removeTree(dir); err == nil || time.Now().After(end) {
			break
		}
	}
	if err != nil {
		return fmt.Errorf("removing the container's cgroup: %w", err)
	}
	return nil
}

func removeTree(dir string) error {
	list, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, e := range list {
		if e.IsDir() {
			if err := removeTree(filepath.Join(dir, e.Name())); err != nil {
				return err
			}
		}
	}
	if err := unix.Rmdir(dir); err != nil && !errors.Is(err, unix.ENOENT) {
		return &fs.PathError{Op: "rmdir", Path: dir, Err: err}
	}
	return nil
}

// Freeze stops every process in the cgroup dir, or lets them go on, and waits until they have.
func Freeze(dir string, on bool) error {
	word, want := "0", "frozen 0"
	if on {
		word, want = "1", "frozen 1"
	}
	if err := os.WriteFile(filepath.Join(dir, "cgroup.freeze"), []byte(word), 0); err != nil {
		return err
	}
	for range 1000 {
		b, err := os.ReadFile(filepath.Join(dir, "cgroup.events"))
		if err != nil {
			return err
		}
		if strings.Contains(string(b), want) {
			return nil
		}
		time.Sleep(time.Millisecond)
	}
	return fmt.Errorf("the processes of %s did not stop within a second", dir)
}

// FreezeV1 is Freeze for a directory of the freezer hierarchy of cgroup v1.
func FreezeV1(dir string, on bool) error {
	word := "THAWED"
	if on {
		word = "FROZEN"
	}
	file := filepath.Join(dir, "freezer.state")
	for range 1000 {
		// A process that is just being forked may slip through: the kernel asks to write again (freezer-subsystem.rst).
		if err := os.WriteFile(file, []byte(word), 0); err != nil {
			return err
		}
		b, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		if strings.TrimSpace(string(b)) == word {
			return nil
		}
		time.Sleep(time.Millisecond)
	}
	return fmt.Errorf("the processes of %s did not stop within a second", dir)
}
