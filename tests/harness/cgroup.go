package harness

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// Delegation is a cgroup v2 subtree that belongs to the user, as a login without systemd or a container may give it.
type Delegation struct {
	Dir string // on this host; a command's own cgroup is "session" in it
	env *Env
}

// Delegate makes a subtree. Only for tests that require root.
func (e *Env) Delegate(t testing.TB) *Delegation {
	t.Helper()
	top := ""
	for _, dir := range []string{"/sys/fs/cgroup", "/sys/fs/cgroup/unified"} {
		var st syscall.Statfs_t
		if syscall.Statfs(dir, &st) == nil && st.Type == 0x63677270 { // CGROUP2_SUPER_MAGIC
			top = dir
			break
		}
	}
	if top == "" {
		Requires(t, "/sys/fs/cgroup/unified/cgroup.procs")
	}
	d := &Delegation{Dir: filepath.Join(top, fmt.Sprintf("proa-test-%d-%d", os.Getpid(), time.Now().UnixNano())), env: e}
	for _, dir := range []string{d.Dir, filepath.Join(d.Dir, "session")} {
		if err := os.Mkdir(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		for _, file := range []string{"", "cgroup.procs", "cgroup.subtree_control", "cgroup.threads"} {
			if err := os.Chown(filepath.Join(dir, file), e.UID, e.GID); err != nil {
				t.Fatal(err)
			}
		}
	}
	t.Cleanup(func() {
		_ = os.WriteFile(filepath.Join(d.Dir, "cgroup.kill"), []byte("1"), 0) // the pause process too
		for end := time.Now().Add(5 * time.Second); ; time.Sleep(20 * time.Millisecond) {
			if err := removeCgroups(d.Dir); err == nil || time.Now().After(end) {
				return
			}
		}
	})
	return d
}

// Command prepares a program that runs in the subtree and sees cgroup v2 alone at /sys/fs/cgroup.
func (d *Delegation) Command(args ...string) *Cmd {
	script := fmt.Sprintf("echo $$ > %s/session/cgroup.procs && umount -R /sys/fs/cgroup && mount -t cgroup2 cgroup2 /sys/fs/cgroup", d.Dir)
	return d.env.CommandIn(script, args...)
}

// Proa is Command for proa.
func (d *Delegation) Proa(args ...string) *Cmd {
	return d.Command(append([]string{"proa"}, args...)...)
}

// Cgroups are the cgroups in the subtree but the session's, by their paths in it.
func (d *Delegation) Cgroups(t testing.TB) []string {
	t.Helper()
	var out []string
	err := filepath.WalkDir(d.Dir, func(path string, e os.DirEntry, err error) error {
		if errors.Is(err, os.ErrNotExist) {
			return nil // one that just went
		}
		if err == nil && e.IsDir() && path != d.Dir && filepath.Base(path) != "session" {
			out = append(out, path[len(d.Dir)+1:])
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func removeCgroups(dir string) error {
	list, err := os.ReadDir(dir)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, e := range list {
		if e.IsDir() {
			if err := removeCgroups(filepath.Join(dir, e.Name())); err != nil {
				return err
			}
		}
	}
	return syscall.Rmdir(dir)
}
