package spec

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

const (
	passwdFile = "root:x:0:0:root:/root:/bin/sh\nalice:x:1000:1000::/home/alice:/bin/sh\n"
	groupFile  = "root:x:0:\naudio:x:29:alice\nalice:x:1000:\n"
)

// rootfs is a handle of a directory with files; a content that begins with > is the target of a symbolic link.
func rootfs(t *testing.T, files map[string]string) *os.File {
	t.Helper()
	dir := t.TempDir()
	for name, content := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		var err error
		if target, ok := strings.CutPrefix(content, ">"); ok {
			err = os.Symlink(target, path)
		} else {
			err = os.WriteFile(path, []byte(content), 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	f, err := os.OpenFile(dir, unix.O_PATH|unix.O_DIRECTORY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

func TestResolveUser(t *testing.T) {
	root := rootfs(t, map[string]string{"etc/passwd": passwdFile, "etc/group": groupFile})
	for _, c := range []struct {
		user   string
		groups []string
		want   User
	}{
		{"", nil, User{Home: "/root"}},
		{"root", nil, User{Home: "/root"}},
		{"alice", nil, User{1000, 1000, []uint32{29}, "/home/alice"}},
		{"1000", nil, User{1000, 1000, []uint32{29}, "/home/alice"}},
		{"alice:audio", nil, User{1000, 29, nil, "/home/alice"}},
		{"alice:5", []string{"audio", "77"}, User{1000, 5, []uint32{29, 77}, "/home/alice"}},
		{"4242", nil, User{4242, 0, nil, "/"}},
		{"4242:4243", nil, User{4242, 4243, nil, "/"}},
	} {
		got, err := ResolveUser(root, c.user, c.groups)
		slices.Sort(got.Groups)
		if err != nil || got.UID != c.want.UID || got.GID != c.want.GID || got.Home != c.want.Home || !slices.Equal(got.Groups, c.want.Groups) {
			t.Errorf("ResolveUser(%q, %q) = %+v, %v; want %+v", c.user, c.groups, got, err, c.want)
		}
	}
	for _, bad := range []string{"nobody-here", "root:nogroup-here", "-1", "4294967296", "0:-1"} {
		if u, err := ResolveUser(root, bad, nil); err == nil || !strings.Contains(err.Error(), bad) {
			t.Errorf("ResolveUser(%q) = %+v, %v", bad, u, err)
		}
	}
	if _, err := ResolveUser(root, "", []string{"nogroup-here"}); err == nil || !strings.Contains(err.Error(), "nogroup-here") {
		t.Errorf("an unknown group gives %v", err)
	}
}

func TestResolveUserStaysInside(t *testing.T) {
	outside := filepath.Join(t.TempDir(), "passwd")
	if err := os.WriteFile(outside, []byte("mallory:x:7:7::/outside:/bin/sh\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	for name, files := range map[string]map[string]string{
		"absolute link": {"etc/passwd": ">" + outside},
		"parent link":   {"etc/passwd": ">" + strings.Repeat("../", 20) + outside[1:]},
		"directory":     {"etc": ">" + filepath.Dir(outside)},
	} {
		if u, err := ResolveUser(rootfs(t, files), "mallory", nil); err == nil {
			t.Errorf("%s: read the host's file: %+v", name, u)
		}
	}
	inside := rootfs(t, map[string]string{"etc/passwd": ">/real/passwd", "real/passwd": passwdFile})
	if u, err := ResolveUser(inside, "alice", nil); err != nil || u.UID != 1000 {
		t.Errorf("through a link inside the root: %+v, %v", u, err)
	}
}

func TestResolveUserWithoutFiles(t *testing.T) {
	root := rootfs(t, nil)
	if u, err := ResolveUser(root, "7:8", nil); err != nil || u.UID != 7 || u.GID != 8 || u.Home != "/" {
		t.Errorf("numbers in an empty root: %+v, %v", u, err)
	}
	if err := unix.Mkfifo(filepath.Join(t.TempDir(), "f"), 0o600); err != nil {
		t.Fatal(err)
	}
	fifo := rootfs(t, map[string]string{"etc/x": ""})
	if err := unix.Mkfifo(filepath.Join(fifo.Name(), "etc/passwd"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := ResolveUser(fifo, "alice", nil); err == nil { // and does not wait for a writer
		t.Error("alice was found in a fifo")
	}
}

func TestEnsureDir(t *testing.T) {
	root := rootfs(t, map[string]string{"file": "x", "out": ">/", "etc/x": ""})
	for _, dir := range []string{"/a/b/c", "/etc", "/out/made"} {
		if err := EnsureDir(root, dir); err != nil {
			t.Errorf("EnsureDir(%q): %v", dir, err)
		}
	}
	for _, dir := range []string{"a/b/c", "made"} {
		if st, err := os.Stat(filepath.Join(root.Name(), dir)); err != nil || !st.IsDir() || st.Mode().Perm() != 0o755 {
			t.Errorf("%s: %v, %v", dir, st, err)
		}
	}
	if _, err := os.Lstat("/made"); err == nil {
		t.Error("made a directory outside the root")
	}
	if err := EnsureDir(root, "/file/x"); err == nil || !strings.Contains(err.Error(), "/file/x") {
		t.Errorf("below a file: %v", err)
	}
}
