package tree

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// handle opens a directory as a root is opened.
func handle(t testing.TB, dir string) *os.File {
	t.Helper()
	f, err := os.OpenFile(dir, unix.O_PATH|unix.O_DIRECTORY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

// target is a directory to extract into; its files are the test's.
func target(t testing.TB, dir string) Directory {
	return Directory{Top: handle(t, dir), Owner: &Owner{uint32(os.Getuid()), uint32(os.Getgid())}, Warn: func(err error) { t.Log(err) }}
}

func pack(t testing.TB, headers ...tar.Header) *bytes.Buffer {
	t.Helper()
	var buf bytes.Buffer
	w := tar.NewWriter(&buf)
	for _, h := range headers {
		content := ""
		if h.Typeflag == tar.TypeReg {
			content, h.Linkname = h.Linkname, ""
			h.Size = int64(len(content))
		}
		if h.Mode == 0 {
			h.Mode = 0o755
		}
		if err := w.WriteHeader(&h); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, content); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return &buf
}

// file is a regular member with content.
func file(name, content string) tar.Header {
	return tar.Header{Name: name, Typeflag: tar.TypeReg, Linkname: content}
}

func extractAll(d Directory, r io.Reader) error {
	sink := Extract(d)
	if err := ReadArchive(context.Background(), r, sink, d.Warn); err != nil {
		return err
	}
	return sink.Close()
}

func TestExtractStaysInside(t *testing.T) {
	for name, headers := range map[string][]tar.Header{
		"link to a directory": {{Name: "l", Typeflag: tar.TypeSymlink, Linkname: "../outside"}, file("l/f", "x")},
		"link to the root":    {{Name: "l", Typeflag: tar.TypeSymlink, Linkname: "/"}, file("l/tmp/f", "x")},
		"hard link":           {{Name: "h", Typeflag: tar.TypeLink, Linkname: "../outside/keep"}},
		"hard link by a link": {{Name: "l", Typeflag: tar.TypeSymlink, Linkname: "../outside"}, {Name: "h", Typeflag: tar.TypeLink, Linkname: "l/keep"}},
	} {
		base := t.TempDir()
		in, out := filepath.Join(base, "in"), filepath.Join(base, "outside")
		for _, d := range []string{in, out} {
			if err := os.Mkdir(d, 0o755); err != nil {
				t.Fatal(err)
			}
		}
		if err := os.WriteFile(filepath.Join(out, "keep"), []byte("kept"), 0o644); err != nil {
			t.Fatal(err)
		}
		if err := extractAll(target(t, in), pack(t, headers...)); err == nil {
			t.Errorf("%s: extracted without an error", name)
		}
		if names, _ := os.ReadDir(out); len(names) != 1 {
			t.Errorf("%s: wrote outside: %v", name, names)
		}
	}
	// Dots lead no further than the top, as in any archive program.
	in := t.TempDir()
	if err := extractAll(target(t, in), pack(t, file("../../dots", "x"), file("/abs", "y"))); err != nil {
		t.Fatal(err)
	}
	for _, f := range []string{"dots", "abs"} {
		if _, err := os.Stat(filepath.Join(in, f)); err != nil {
			t.Error(err)
		}
	}
}

// TestExtractLinksInRoot: with a root, links lead where they lead for a process in it.
func TestExtractLinksInRoot(t *testing.T) {
	root := t.TempDir()
	if err := os.MkdirAll(filepath.Join(root, "top"), 0o755); err != nil {
		t.Fatal(err)
	}
	d := target(t, filepath.Join(root, "top"))
	d.Root, d.Path = handle(t, root), "/top"
	err := extractAll(d, pack(t, tar.Header{Name: "l", Typeflag: tar.TypeSymlink, Linkname: "/../../"}, file("l/f", "x"), file("l/new/g", "y"), file("m/n/o", "z")))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range []string{"f", "new/g", "top/m/n/o"} {
		if _, err := os.Lstat(filepath.Join(root, f)); err != nil {
			t.Error(err)
		}
	}
}

func TestExtractConflicts(t *testing.T) {
	dir := t.TempDir()
	d := target(t, dir)
	if err := extractAll(d, pack(t, tar.Header{Name: "d/", Typeflag: tar.TypeDir}, file("f", "1"), tar.Header{Name: "l", Typeflag: tar.TypeSymlink, Linkname: "f"})); err != nil {
		t.Fatal(err)
	}
	for want, h := range map[string]tar.Header{"which only a directory": file("d", "x"), "which a directory can't": {Name: "f/", Typeflag: tar.TypeDir}} {
		if err := extractAll(d, pack(t, h)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: error is %v, want %q in it", h.Name, err, want)
		}
	}
	// A link is replaced, not written through.
	if err := extractAll(d, pack(t, file("l", "2"))); err != nil {
		t.Fatal(err)
	}
	if b, _ := os.ReadFile(filepath.Join(dir, "f")); string(b) != "1" {
		t.Errorf("the file behind a link was written: %q", b)
	}
	if b, _ := os.ReadFile(filepath.Join(dir, "l")); string(b) != "2" {
		t.Errorf("the link was not replaced: %q", b)
	}
	err := ReadArchive(context.Background(), strings.NewReader(strings.Repeat("no archive", 100)), Extract(d), d.Warn)
	if err == nil || !strings.Contains(err.Error(), "tar archive") {
		t.Errorf("of what is no archive: %v", err)
	}
}

func TestFind(t *testing.T) {
	dir := t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, "a/b"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "a/f"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	for name, to := range map[string]string{"a/b/up": "../f", "abs": "/a/f", "out": "../../../../a/b", "loop": "loop", "dangling": "a/none", "dir": "a/b/", "a/b/dotdot": ".."} {
		if err := os.Symlink(to, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	root := handle(t, dir)
	for _, c := range []struct {
		path   string
		follow bool
		want   string // the directory and the name, and what there is
	}{
		{"/a/f", true, "/a/ f file"},
		{"a/f", false, "/a/ f file"},
		{"/a/b/up", true, "/a/b/../ f file"},
		{"/a/b/up", false, "/a/b/ up link"},
		{"/abs", true, "/a/ f file"},
		{"/out", true, "/../../../../a/ b dir"},
		{"/out/up", true, "/out/../ f file"},
		{"/dangling", true, "/a/ none none"},
		{"/dir", false, "/ dir link"},
		{"/dir/", false, "/a/ b dir"},
		{"/dir/.", false, "/a/ b dir"},
		{"/", true, "/ . dir"},
		{"/a/b/dotdot", true, "/a/b/.. . dir"},
		{"/../../a", true, "/ a dir"},
		{"/loop", true, "too many levels of symbolic links"},
		{"/none/x", true, "no such file or directory"},
		{"/a/f/x", true, "not a directory"},
	} {
		p, err := Find(root, c.path, c.follow)
		if err != nil {
			if !strings.Contains(err.Error(), c.want) {
				t.Errorf("%s: %v, want %s", c.path, err, c.want)
			}
			continue
		}
		kind := map[uint32]string{unix.S_IFREG: "file", unix.S_IFDIR: "dir", unix.S_IFLNK: "link"}[p.Mode&unix.S_IFMT]
		if p.File == nil {
			kind = "none"
		}
		if got := p.Dir + " " + p.Base + " " + kind; got != c.want {
			t.Errorf("%s (follow %v): %s, want %s", c.path, c.follow, got, c.want)
		}
		p.Close()
	}
}

func TestWalkKeepsAttributes(t *testing.T) {
	from, to := t.TempDir(), t.TempDir()
	name := filepath.Join(from, "f")
	if err := os.WriteFile(name, []byte("content"), 0o640); err != nil {
		t.Fatal(err)
	}
	named := unix.Setxattr(name, "user.proa", []byte("value"), 0) == nil // not every file system has them
	if err := os.Chmod(from, 0o750); err != nil {
		t.Fatal(err)
	}
	sink := Extract(target(t, to))
	if err := errors.Join(Walk(context.Background(), handle(t, from), "copy", sink, nil), sink.Close()); err != nil {
		t.Fatal(err)
	}
	st, err := os.Stat(filepath.Join(to, "copy"))
	if err != nil || st.Mode() != fs.ModeDir|0o750 {
		t.Errorf("the directory: %v %v", st, err)
	}
	value := make([]byte, 16)
	if n, err := unix.Getxattr(filepath.Join(to, "copy/f"), "user.proa", value); named && (err != nil || string(value[:n]) != "value") {
		t.Errorf("the attribute: %q %v", value[:max(n, 0)], err)
	}
	var buf bytes.Buffer
	archive := Archive(&buf)
	if err := errors.Join(Walk(context.Background(), handle(t, from), "copy", archive, nil), archive.Close()); err != nil {
		t.Fatal(err)
	}
	if has := strings.Contains(buf.String(), xattrRecord+"user.proa=value"); has != named {
		t.Errorf("the attribute is in the archive: %v, want %v", has, named)
	}
}

func FuzzReadArchive(f *testing.F) {
	f.Add(pack(f, tar.Header{Name: "l", Typeflag: tar.TypeSymlink, Linkname: ".."}, file("l/f", "x")).Bytes())
	f.Add(pack(f, tar.Header{Name: "d/", Typeflag: tar.TypeDir}, file("d/f", "x"), tar.Header{Name: "h", Typeflag: tar.TypeLink, Linkname: "d/f"}).Bytes())
	f.Add([]byte("\x1f\x8b"))
	f.Fuzz(func(t *testing.T, data []byte) {
		base := t.TempDir()
		in := filepath.Join(base, "in")
		if err := os.Mkdir(in, 0o755); err != nil {
			t.Fatal(err)
		}
		_ = extractAll(target(t, in), bytes.NewReader(data)) // only what it leaves outside counts
		if names, err := os.ReadDir(base); err != nil || len(names) != 1 {
			t.Fatalf("outside the target: %v %v", names, err)
		}
	})
}
