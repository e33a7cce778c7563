package perform

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/proa-containers/proa/oci/plan"
	"golang.org/x/sys/unix"
)

func openDir(t *testing.T, path string) int {
	t.Helper()
	fd, err := unix.Open(path, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(fd) })
	return fd
}

func TestCopyTree(t *testing.T) {
	from, to := t.TempDir(), t.TempDir()
	secret := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(secret, []byte("secret"), 0o600); err != nil {
		t.Fatal(err)
	}
	write := func(name, text string, mode os.FileMode) {
		path := filepath.Join(from, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.MkdirAll(filepath.Join(from, "d/e"), 0o755); err != nil {
		t.Fatal(err)
	}
	write("plain", "plain", 0o644)
	write("d/setuid", "setuid", 0o755|os.ModeSetuid)
	write("d/e/big", strings.Repeat("x", 1<<20), 0o640)
	if err := os.Chmod(filepath.Join(from, "d"), 0o1750|os.ModeSticky); err != nil {
		t.Fatal(err)
	}
	for name, target := range map[string]string{"d/abs": secret, "dangling": "nowhere", "up": "../../.."} {
		if err := os.Symlink(target, filepath.Join(from, name)); err != nil {
			t.Fatal(err)
		}
	}
	if err := unix.Mkfifo(filepath.Join(from, "fifo"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(from, 0o711); err != nil {
		t.Fatal(err)
	}
	if err := copyTree(openDir(t, from), openDir(t, to)); err != nil {
		t.Fatal(err)
	}
	if a, b := names(t, from), names(t, to); a != b {
		t.Errorf("from %q\nto   %q", a, b)
	}
	err := filepath.WalkDir(from, func(path string, d os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, _ := filepath.Rel(from, path)
		a, err1 := os.Lstat(path)
		b, err2 := os.Lstat(filepath.Join(to, rel))
		if errors.Join(err1, err2) != nil || a.Mode() != b.Mode() || a.Mode().IsRegular() && a.Size() != b.Size() {
			t.Errorf("%s: %v became %v (%v)", rel, a.Mode(), b.Mode(), errors.Join(err1, err2))
		}
		if a.Mode()&os.ModeSymlink != 0 {
			x, _ := os.Readlink(path)
			if y, _ := os.Readlink(filepath.Join(to, rel)); x != y {
				t.Errorf("%s: %q became %q", rel, x, y)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestLookPath(t *testing.T) {
	dir := t.TempDir()
	for _, d := range []string{"bin", "denied", "dirs/tool"} {
		if err := os.MkdirAll(filepath.Join(dir, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for name, mode := range map[string]os.FileMode{"bin/tool": 0o755, "denied/tool": 0o644, "denied/only": 0o644, "tool": 0o755} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("#!/bin/sh\n"), mode); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		name, path, cwd, want string
		kind                  plan.Kind
	}{
		{"tool", dir + "/none:" + dir + "/bin", "/", dir + "/bin/tool", 0},
		{"tool", dir + "/denied:" + dir + "/bin", "/", dir + "/bin/tool", 0}, // as execvp(3): what can't be run is passed over
		{"tool", dir + "/dirs:" + dir + "/bin", "/", dir + "/bin/tool", 0},
		{"only", dir + "/denied:" + dir + "/bin", "/", "", plan.KindNotInvokable},
		{"none", dir + "/bin", "/", "", plan.KindNotFound},
		{"tool", "bin", dir, dir + "/bin/tool", 0}, // relative to the working directory
		{"tool", "", dir, dir + "/tool", 0},        // an empty entry is the working directory
		{"./tool", "/bin", dir, dir + "/tool", 0},
		{"bin/tool", "/bin", dir, dir + "/bin/tool", 0},
		{"bin/none", "/bin", dir, "", plan.KindNotFound},
		{dir + "/bin/tool", "/bin", "/", dir + "/bin/tool", 0},
		{dir + "/bin", "/bin", "/", "", plan.KindNotInvokable},
		{dir + "/bin/tool/x", "/bin", "/", "", plan.KindNotFound},
		{"", "/bin", "/", "", plan.KindNotFound},
	} {
		p := &performer{Plan: &plan.Plan{Process: plan.Process{Args: []string{c.name}, Env: []string{"PATH=/nowhere", "PATH=" + c.path}, Cwd: c.cwd}}}
		err := p.lookPath()
		if c.want != "" {
			if err != nil || p.path != c.want {
				t.Errorf("%+v: %q, %v", c, p.path, err)
			}
			continue
		}
		if err == nil || asError(err).Kind != c.kind {
			t.Errorf("%+v: %q, %v", c, p.path, err)
		}
	}
	p := &performer{Plan: &plan.Plan{Process: plan.Process{Args: []string{"sh"}}}} // no PATH at all
	if err := p.lookPath(); err != nil || !strings.HasSuffix(p.path, "/bin/sh") {
		t.Errorf("by the default path: %q, %v", p.path, err)
	}
}

func TestInvokeError(t *testing.T) {
	for errno, want := range map[error]struct {
		code int
		text string
	}{
		unix.ENOENT: {127, "its interpreter"}, unix.ENOEXEC: {126, "exec format error"}, unix.EACCES: {126, "permission denied"},
		unix.E2BIG: {126, "argument list too long"},
	} {
		e := asError(invokeError("cmd", errno))
		if e.ExitCode() != want.code || !strings.Contains(e.Error(), want.text) || !strings.Contains(e.Error(), `"cmd"`) {
			t.Errorf("%v: %d %v", errno, e.ExitCode(), e)
		}
	}
}

func TestTrustedProc(t *testing.T) {
	fd, err := openTrusted("self/status", unix.O_RDONLY)
	if err != nil {
		t.Fatal(err)
	}
	if !onProc(fd) {
		t.Error("what is of procfs does not look so")
	}
	unix.Close(fd)
	for _, name := range []string{"self/cwd", "self/root/etc/passwd", "self/exe", "../etc/passwd", "/etc/passwd", "self/fd/0"} {
		if fd, err := openTrusted(name, unix.O_RDONLY); err == nil {
			t.Errorf("%s was opened", name)
			unix.Close(fd)
		}
	}
	// A directory that only looks like it.
	dir := t.TempDir()
	if _, err := openProc(dir); !errors.Is(err, unix.EXDEV) {
		t.Errorf("a directory in procfs's place: %v", err)
	}
	if err := os.Symlink("/proc", dir+"/link"); err != nil {
		t.Fatal(err)
	}
	if _, err := openProc(dir + "/link"); !errors.Is(err, unix.ENOTDIR) && !errors.Is(err, unix.ELOOP) {
		t.Errorf("a link to procfs: %v", err)
	}
}

func TestCoverable(t *testing.T) {
	for _, dest := range []string{"/proc/meminfo", "/proc/cpuinfo", "/proc/uptime"} {
		if !coverable(dest) {
			t.Errorf("%s can't be covered", dest)
		}
	}
	for _, dest := range []string{"/proc/self", "/proc/self/attr", "/proc/sys", "/proc/sys/kernel", "/proc/1", "/proc/sysrq-trigger", "/proc/meminfo/x", "/proc/self/attr/exec"} {
		if coverable(dest) {
			t.Errorf("%s can be covered", dest)
		}
	}
}

func TestOpenRefuses(t *testing.T) {
	for _, args := range [][]string{nil, {"3"}, {"a", "4"}, {"3", "b"}, {"1", "2", "3"}} {
		if _, err := open(args); err == nil || !strings.Contains(err.Error(), "started by proa") {
			t.Errorf("%q: %v", args, err)
		}
	}
}

func TestFail(t *testing.T) {
	inner := &plan.Error{Step: "inner", Kind: plan.KindNotFound}
	if got := asError(fail("outer", inner)); got != inner {
		t.Errorf("a failure that has its step already: %+v", got)
	}
	if got := asError(fail("step", unix.EPERM)); got.Step != "step" || got.Errno != unix.EPERM {
		t.Errorf("%+v", got)
	}
	if got := asError(fail("step", errors.New("why"))); got.Error() != "step: why" {
		t.Errorf("%+v", got)
	}
}
