package perform

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// inDir is a performer whose root is dir/root; beside it lies what must stay as it is.
func inDir(t testing.TB) (*performer, string) {
	t.Helper()
	dir := t.TempDir()
	root := filepath.Join(dir, "root")
	for _, d := range []string{root, filepath.Join(dir, "outside")} {
		if err := os.Mkdir(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "outside", "secret"), []byte("secret"), 0o600); err != nil {
		t.Fatal(err)
	}
	fd, err := unix.Open(root, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(fd) })
	return &performer{root: fd, proc: -1, devpts: -1, attr: -1, self: -1, masks: -1}, dir
}

func symlink(t testing.TB, dir, name, target string) {
	t.Helper()
	if err := os.Symlink(target, filepath.Join(dir, "root", name)); err != nil {
		t.Fatal(err)
	}
}

// where is the path of an open handle.
func where(t *testing.T, fd int, dir string) string {
	t.Helper()
	defer unix.Close(fd)
	path, err := os.Readlink(fmt.Sprintf("/proc/self/fd/%d", fd))
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimPrefix(path, filepath.Join(dir, "root"))
}

func names(t testing.TB, dir string) string {
	t.Helper()
	var out []string
	err := filepath.WalkDir(dir, func(p string, d os.DirEntry, err error) error {
		out = append(out, strings.TrimPrefix(p, dir))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return strings.Join(out, " ")
}

func TestMkdirAll(t *testing.T) {
	for _, c := range []struct {
		name, linkName, linkTarget, want string
		err                              error
	}{
		{name: "/a/b/c", want: "/a/b/c"},
		{name: "a//b/./c/", want: "/a/b/c"},
		{name: "/", want: ""},
		{name: "../../../a", want: "/a"},
		{name: "/a/../../b", want: "/b"},
		{"/l/a", "l", "/x", "/x/a", nil}, // dangling: made inside the root
		{"/l/a", "l", "x/y", "/x/y/a", nil},
		{"/l/a", "l", "../../../outside", "/outside/a", nil},
		{"/l/a", "l", "../outside", "/outside/a", nil},
		{"/l/a", "l", "/", "/a", nil},
		{"/l/a", "l", "l", "", unix.ELOOP},
		{"/l/a", "l", "/l/a", "", unix.ELOOP},
		{"/l/a", "l", "./l/../l", "", unix.ELOOP},
	} {
		p, dir := inDir(t)
		before := names(t, filepath.Join(dir, "outside"))
		if c.linkName != "" {
			symlink(t, dir, c.linkName, c.linkTarget)
		}
		fd, err := p.mkdirAll(c.name)
		if !errors.Is(err, c.err) {
			t.Errorf("%q with %s -> %s: %v, want %v", c.name, c.linkName, c.linkTarget, err, c.err)
			continue
		}
		if err == nil {
			if got := where(t, fd, dir); got != c.want {
				t.Errorf("%q with %s -> %s: it is %q, want %q", c.name, c.linkName, c.linkTarget, got, c.want)
			}
		}
		if after := names(t, filepath.Join(dir, "outside")); after != before {
			t.Errorf("%q with %s -> %s: outside the root there is %q", c.name, c.linkName, c.linkTarget, after)
		}
	}
}

func TestMkdirAllOverFile(t *testing.T) {
	p, dir := inDir(t)
	if err := os.WriteFile(filepath.Join(dir, "root", "file"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"/file", "/file/below"} {
		if fd, err := p.mkdirAll(name); !errors.Is(err, unix.ENOTDIR) {
			t.Errorf("%s: %d, %v", name, fd, err)
		}
	}
}

func TestTarget(t *testing.T) {
	p, dir := inDir(t)
	fd, err := p.target("/etc/sub/file", false, 0)
	if err != nil {
		t.Fatal(err)
	}
	if got := where(t, fd, dir); got != "/etc/sub/file" {
		t.Errorf("a file's target is %q", got)
	}
	if st, err := os.Stat(filepath.Join(dir, "root/etc/sub/file")); err != nil || !st.Mode().IsRegular() || st.Size() != 0 {
		t.Errorf("it is %v, %v", st, err)
	}
	if fd, err = p.target("/etc/dir", true, unix.RESOLVE_NO_SYMLINKS); err != nil {
		t.Fatal(err)
	}
	if got := where(t, fd, dir); got != "/etc/dir" {
		t.Errorf("a directory's target is %q", got)
	}
	symlink(t, dir, "out", "/../outside/secret")
	if fd, err = p.target("/out", false, 0); err == nil {
		t.Errorf("a dangling link in a file's place led to %q", where(t, fd, dir))
	}
	symlink(t, dir, "there", "etc/sub/file")
	if fd, err = p.target("/there", false, 0); err != nil || where(t, fd, dir) != "/etc/sub/file" {
		t.Errorf("a link inside the root: %v", err)
	}
	if _, err = p.target("/there", false, unix.RESOLVE_NO_SYMLINKS); !errors.Is(err, unix.ELOOP) {
		t.Errorf("a link where none may be: %v", err)
	}
	if err := os.Symlink("/proc/self/root", filepath.Join(dir, "root", "magic")); err != nil {
		t.Fatal(err)
	}
	if b, err := os.ReadFile(filepath.Join(dir, "outside", "secret")); err != nil || string(b) != "secret" {
		t.Errorf("outside: %q, %v", b, err)
	}
}

// TestMagicLinks: with the root at "/" the links of procfs are in reach, and refused.
func TestMagicLinks(t *testing.T) {
	fd, err := unix.Open("/", unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	p := &performer{root: fd, proc: -1}
	for _, name := range []string{"/proc/self/root", "/proc/self/cwd", fmt.Sprintf("/proc/self/fd/%d", fd), "/proc/self/exe"} {
		if got, err := p.inRoot(name, unix.O_PATH, 0); !errors.Is(err, unix.ELOOP) {
			t.Errorf("%s: %d, %v", name, got, err)
		}
	}
	if err := chdir("/proc/self/cwd"); !errors.Is(err, unix.ELOOP) {
		t.Errorf("chdir through a magic link: %v", err)
	}
}

// FuzzMkdirAll: whatever the path and the links of an image, nothing appears outside of the root.
func FuzzMkdirAll(f *testing.F) {
	f.Add("/l/a", "../../outside", "m", "/l")
	f.Add("l/../m/../../x", "/m", "", "../outside/secret")
	f.Add("/a/b", ".", "..", "l/..")
	f.Fuzz(func(t *testing.T, name, one, two, three string) {
		for _, s := range []string{name, one, two, three} {
			if strings.ContainsRune(s, 0) || len(s) > 200 {
				return
			}
		}
		p, dir := inDir(t)
		for i, target := range []string{one, two, three} {
			if target != "" {
				symlink(t, dir, string("lmn"[i]), target)
			}
		}
		before := names(t, filepath.Join(dir, "outside"))
		fd, err := p.mkdirAll(name)
		if err == nil {
			if got := where(t, fd, dir); got != "" && !strings.HasPrefix(got, "/") || strings.HasPrefix(got, dir) {
				t.Errorf("%q led to %q", name, got)
			}
		}
		if fd, err := p.target(name, false, 0); err == nil {
			unix.Close(fd)
		}
		if after := names(t, filepath.Join(dir, "outside")); after != before {
			t.Errorf("%q: outside there is %q", name, after)
		}
		if entries, err := os.ReadDir(dir); err != nil || len(entries) != 2 {
			t.Errorf("%q: beside the root there is %v, %v", name, entries, err)
		}
	})
}
