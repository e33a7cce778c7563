package harness

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
)

// Fresh is the same user with an empty home and runtime directory: an empty store, no state, no pause process.
// When the test ends its processes are killed and its files removed.
func (e *Env) Fresh(t testing.TB) *Env {
	t.Helper()
	f := *e
	dir, err := os.MkdirTemp(e.Dir, "fresh-")
	if err != nil {
		t.Fatal(err)
	}
	f.Home = filepath.Join(dir, "home")
	f.Runtime = filepath.Join(dir, "run")
	if err := errors.Join(f.MkdirUser(dir, 0o755), f.MkdirUser(f.Home, 0o700), f.MkdirUser(f.Runtime, 0o700)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := f.killOwned(); err != nil {
			t.Error(err)
		}
		if !f.asRoot {
			f.Proa("unshare", "rm", "-rf", f.Home).Run(t)
			_ = f.killOwned()
		}
		if err := os.RemoveAll(dir); err != nil && f.asRoot {
			t.Error(err)
		}
	})
	return &f
}

// WriteFile writes a file the user owns and returns its path; dir is made when it is missing.
func (e *Env) WriteFile(t testing.TB, path, content string, mode os.FileMode) string {
	t.Helper()
	if err := e.MkdirUser(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), mode); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, mode); err != nil {
		t.Fatal(err)
	}
	if e.asRoot {
		if err := os.Chown(path, e.UID, e.GID); err != nil {
			t.Fatal(err)
		}
	}
	return path
}

// TempDir is a directory of the test that the user owns.
func (e *Env) TempDir(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp(e.Dir, "test-")
	if err != nil {
		t.Fatal(err)
	}
	if err := e.MkdirUser(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

// Reboot kills every process that was started with this runtime directory or runs in a container of one, and empties
// the directory.
func (e *Env) Reboot() error {
	return errors.Join(e.killOwned(), os.RemoveAll(e.Runtime), e.MkdirUser(e.Runtime, 0o700))
}

// killOwned kills the environment's processes and their children: a container's processes have an environment of
// their own, and all of them die with its init, whose parent is ours.
func (e *Env) killOwned() error {
	ours := map[int]bool{}
	for _, p := range e.Processes() {
		if e.Owns(p) {
			ours[p.PID] = true
		}
	}
	return e.killAll(func(p Process) bool { return e.Owns(p) || ours[p.Parent] })
}
