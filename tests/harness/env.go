// Package harness owns what the end-to-end tests stand on: an unprivileged user per run, the built binaries in the
// layout that `make install` makes, images built without any tool, a registry, a terminal, and checks for what is left
// behind. What is expected of proa stays in the tests. It runs in the test process, as root or as an ordinary user;
// what it starts runs as the ordinary user.
package harness

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// Env is the place the tests run proa in: one unprivileged user with a home and a runtime directory.
type Env struct {
	Root    string // the checkout
	Dir     string // scratch, readable by the user
	Prefix  string // where the binaries are installed
	Name    string
	UID     int
	GID     int
	Home    string
	Runtime string // XDG_RUNTIME_DIR
	Extra   []string

	asRoot bool
}

// New makes the user (when root) and installs bin/ for it. Close removes both.
func New() (*Env, error) {
	root, err := checkout()
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("/tmp", "proa-e2e-")
	if err != nil {
		return nil, err
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		return nil, err
	}
	e := &Env{Root: root, Dir: dir, Prefix: filepath.Join(dir, "prefix"), asRoot: os.Getuid() == 0}
	if err := e.install(); err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	if e.asRoot {
		err = e.makeUser("proa-test-" + strconv.Itoa(os.Getpid()))
	} else {
		err = e.takeUser()
	}
	if err != nil {
		return nil, errors.Join(err, e.Close())
	}
	return e, nil
}

func checkout() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for ; dir != "/"; dir = filepath.Dir(dir) {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir, nil
		}
	}
	return "", errors.New("find go.mod above the test's directory")
}

func (e *Env) install() error {
	for _, d := range []string{"bin", "libexec/proa"} {
		if err := os.MkdirAll(filepath.Join(e.Prefix, d), 0o755); err != nil {
			return err
		}
	}
	for from, to := range map[string]string{"proa": "bin/proa", "proa-runtime": "bin/proa-runtime", "proa-image": "libexec/proa/proa-image", "proa-build": "libexec/proa/proa-build", "proa-netd": "libexec/proa/proa-netd"} {
		if err := copyFile(filepath.Join(e.Root, "bin", from), filepath.Join(e.Prefix, to), 0o755); err != nil {
			return fmt.Errorf("install the built binaries (run 'make build' first): %w", err)
		}
	}
	return nil
}

func (e *Env) makeUser(name string) error {
	e.Name = name
	if out, err := exec.Command("useradd", "-m", "-s", "/bin/sh", e.Name).CombinedOutput(); err != nil {
		return fmt.Errorf("make the user %s: %w: %s", e.Name, err, out)
	}
	u, err := user.Lookup(e.Name)
	if err != nil {
		return err
	}
	e.UID, _ = strconv.Atoi(u.Uid)
	e.GID, _ = strconv.Atoi(u.Gid)
	e.Home = u.HomeDir
	if err := e.ensureSubIDs(); err != nil {
		return err
	}
	if err := os.MkdirAll("/run/user", 0o755); err != nil {
		return err
	}
	e.Runtime = filepath.Join("/run/user", u.Uid)
	return e.MkdirUser(e.Runtime, 0o700)
}

func (e *Env) ensureSubIDs() error {
	have, err := os.ReadFile("/etc/subuid")
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	if strings.Contains("\n"+string(have), "\n"+e.Name+":") {
		return nil
	}
	first := 0x10000000 + e.UID*65536
	ids := fmt.Sprintf("%d-%d", first, first+65535)
	out, err := exec.Command("usermod", "--add-subuids", ids, "--add-subgids", ids, e.Name).CombinedOutput()
	if err != nil {
		return fmt.Errorf("give %s subordinate ids: %w: %s", e.Name, err, out)
	}
	return nil
}

func (e *Env) takeUser() error {
	u, err := user.Current()
	if err != nil {
		return err
	}
	e.Name, e.UID, e.GID = u.Username, os.Getuid(), os.Getgid()
	e.Home = filepath.Join(e.Dir, "home")
	e.Runtime = filepath.Join(e.Dir, "run")
	return errors.Join(e.MkdirUser(e.Home, 0o700), e.MkdirUser(e.Runtime, 0o700))
}

// MkdirUser makes a directory owned by the user; it may exist.
func (e *Env) MkdirUser(path string, mode os.FileMode) error {
	if err := os.MkdirAll(path, mode); err != nil {
		return err
	}
	if err := os.Chmod(path, mode); err != nil {
		return err
	}
	if !e.asRoot {
		return nil
	}
	return os.Chown(path, e.UID, e.GID)
}

// Close ends the run's processes and removes the user and every file. It reports what could not be removed.
func (e *Env) Close() error {
	var errs []error
	if e.asRoot && e.UID != 0 {
		errs = append(errs, e.removeUser())
	} else if e.UID != 0 {
		errs = append(errs, e.killOwned())
		// Layers belong to subordinate ids: only the user namespace's root can remove them.
		_ = exec.Command(filepath.Join(e.Prefix, "bin/proa"), "unshare", "rm", "-rf", e.Home).Run()
	}
	return errors.Join(append(errs, os.RemoveAll(e.Dir))...)
}

func (e *Env) removeUser() error {
	errs := []error{e.killAll(func(Process) bool { return true }), e.endSession(), os.RemoveAll(e.Runtime)}
	if out, err := exec.Command("userdel", "-r", e.Name).CombinedOutput(); err != nil && !strings.Contains(string(out), "mail spool") {
		errs = append(errs, fmt.Errorf("remove the user %s: %w: %s", e.Name, err, out))
	}
	return errors.Join(errs...)
}

// Neighbour is another unprivileged user, who is gone when the test ends. It skips the test unless it runs as root.
func (e *Env) Neighbour(t testing.TB) *Env {
	t.Helper()
	Requires(t, "root")
	n := &Env{Root: e.Root, Dir: e.Dir, Prefix: e.Prefix, asRoot: true}
	if err := n.makeUser(e.Name + "-n"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := n.removeUser(); err != nil {
			t.Error(err)
		}
	})
	return n
}

func copyFile(from, to string, mode os.FileMode) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, mode)
	if err != nil {
		return err
	}
	if _, err := io.Copy(out, in); err != nil {
		return errors.Join(err, out.Close())
	}
	return out.Close()
}
