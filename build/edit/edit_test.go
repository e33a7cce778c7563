package edit

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/moby/patternmatcher"
	"github.com/moby/patternmatcher/ignorefile"
	"golang.org/x/sys/unix"

	"github.com/proa-containers/proa/libpod/tree"
)

// plant makes files in a directory of the test: a name that ends in "/" is a directory, a content that begins with "->" a
// symbolic link. It returns a handle of the directory.
func plant(t testing.TB, files ...string) (*os.File, string) {
	t.Helper()
	dir := t.TempDir()
	for _, f := range files {
		name, content, _ := strings.Cut(f, "=")
		path := filepath.Join(dir, name)
		err := os.MkdirAll(filepath.Dir(path), 0o755)
		target, link := strings.CutPrefix(content, "->")
		switch {
		case strings.HasSuffix(name, "/"):
			err = os.MkdirAll(path, 0o755)
		case link:
			err = errors.Join(err, os.Symlink(target, path))
		default:
			err = errors.Join(err, os.WriteFile(path, []byte(content), 0o644))
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
	return f, dir
}

// list is what is in a directory, in order: names, and for files their contents.
func list(t testing.TB, dir string) string {
	t.Helper()
	var out []string
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || path == dir {
			return err
		}
		name, _ := filepath.Rel(dir, path)
		if d.Type().IsRegular() {
			b, err := os.ReadFile(path)
			out = append(out, name+"="+string(b))
			return err
		}
		if d.IsDir() {
			name += "/"
		}
		out = append(out, name)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return strings.Join(out, " ")
}

func content(n *tree.Node) (string, error) {
	b, err := io.ReadAll(n.Content)
	return string(b), err
}

// copyAs is a copy as COPY makes it, by this user.
func copyAs(t testing.TB, src *os.File, from, to string) *Copy {
	return &Copy{
		From: From{Root: src, Content: content}, Made: Made{Owner: &tree.Owner{UID: uint32(os.Getuid()), GID: uint32(os.Getgid())}},
		Src: from, Dest: to, Contents: true, MakeParents: true, Wildcard: true, Follow: true, Warn: func(err error) { t.Log(err) },
	}
}

func TestCopyPlaces(t *testing.T) {
	src, _ := plant(t, "a=A", "d/x=X", "d/sub/y=Y", "link=->a", "out=->../../../etc/passwd", "dirlink=->d")
	for _, c := range []struct{ from, to, have, want string }{
		{"a", "/b", "", "b=A"},
		{"a", "/b/", "", "b/ b/a=A"},
		{"a", "/b", "b/", "b/ b/a=A"},
		{"a", "/p/q/r", "", "p/ p/q/ p/q/r=A"},
		{"a", "/b", "b=old", "b=A"},
		{"a", "/l", "l=->t", "l t=A"},
		{"a", "/l/", "l=->t t/", "l t/ t/a=A"},
		{"a", "/up", "up=->../../..", "a=A up"},
		{"link", "/b", "", "b=A"},
		{"d", "/e", "", "e/ e/sub/ e/sub/y=Y e/x=X"},
		{"d", "/e", "e/old=O e/x=old", "e/ e/old=O e/sub/ e/sub/y=Y e/x=X"},
		{"dirlink", "/e", "", "e/ e/sub/ e/sub/y=Y e/x=X"},
		{"d/s*", "/e/", "", "e/ e/y=Y"},
		{"[ad]", "/e/", "", "e/ e/a=A e/sub/ e/sub/y=Y e/x=X"},
		{"a", "/e", "e/a/", "e/ e/a/ error: directory"},
		{"d", "/e", "e=file", "e=file error: file"},
		{"d", "/e", "e/sub=file", "e/ e/sub=file error: directory"},
		{"none", "/e", "", "error: not exist"},
		{"n*ne", "/e", "", "error: not exist"},
		{"out", "/e", "", "error: no such file"},
	} {
		dst, dir := plant(t, strings.Fields(c.have)...)
		want, fails, _ := strings.Cut(c.want, "error: ")
		err := copyAs(t, src, c.from, c.to).Run(context.Background(), dst)
		if (err != nil) != (fails != "") || err != nil && !strings.Contains(err.Error(), fails) {
			t.Errorf("%s to %s: %v, want an error of %q", c.from, c.to, err, fails)
		}
		if got := list(t, dir); got != strings.TrimSpace(want) {
			t.Errorf("%s to %s with %q: %s, want %s", c.from, c.to, c.have, got, want)
		}
	}
}

func TestCopyPatterns(t *testing.T) {
	src, _ := plant(t, "d/a=1", "d/b.md=2", "d/s/c=3", "d/s/d.md=4", "d/t/e=5")
	for _, c := range []struct {
		include, exclude, hide []string
		want                   string
	}{
		{nil, nil, nil, "e/ e/a=1 e/b.md=2 e/s/ e/s/c=3 e/s/d.md=4 e/t/ e/t/e=5"},
		{nil, []string{"**/*.md"}, nil, "e/ e/a=1 e/s/ e/s/c=3 e/t/ e/t/e=5"},
		{nil, []string{"s", "!s/c"}, nil, "e/ e/a=1 e/b.md=2 e/s/ e/s/c=3 e/t/ e/t/e=5"},
		{[]string{"s/*.md"}, nil, nil, "e/ e/s/ e/s/d.md=4"},
		{nil, nil, []string{"d/s", "!d/s/c"}, "e/ e/a=1 e/b.md=2 e/s/ e/s/c=3 e/t/ e/t/e=5"},
		{nil, nil, []string{"**/*.md", "d/t"}, "e/ e/a=1 e/s/ e/s/c=3"},
	} {
		dst, dir := plant(t)
		cp := copyAs(t, src, "d", "/e")
		cp.Include, cp.Exclude = c.include, c.exclude
		if c.hide != nil {
			var err error
			if cp.Hide, err = patternmatcher.New(c.hide); err != nil {
				t.Fatal(err)
			}
		}
		if err := cp.Run(context.Background(), dst); err != nil {
			t.Error(err)
		}
		if got := list(t, dir); got != c.want {
			t.Errorf("include %q, exclude %q, hide %q: %s, want %s", c.include, c.exclude, c.hide, got, c.want)
		}
	}
}

// TestSum: what would be copied decides about the sum, and nothing else.
func TestSum(t *testing.T) {
	sum := func(files ...string) string {
		t.Helper()
		src, dir := plant(t, files...)
		if err := os.Chtimes(dir, time.Unix(0, 0), time.Unix(int64(len(files)), 0)); err != nil {
			t.Fatal(err)
		}
		h := sha256.New()
		if err := copyAs(t, src, "d", "/e").Sum(context.Background(), h); err != nil {
			t.Fatal(err)
		}
		return fmt.Sprintf("%x", h.Sum(nil))
	}
	first := sum("d/x=X", "d/y=->x", "other=1")
	if sum("d/x=X", "d/y=->x", "more=2") != first {
		t.Error("a file that is not copied changes the sum")
	}
	for _, files := range [][]string{{"d/x=Y", "d/y=->x"}, {"d/x=X", "d/y=->z"}, {"d/x=X", "d/z=->x"}, {"d/x=X", "d/y=x"}, {"d/x=X"}, {"d/x=X", "d/y=->x", "d/z/"}} {
		if sum(files...) == first {
			t.Errorf("%q has the same sum", files)
		}
	}
}

func TestMkdirMkfileRemove(t *testing.T) {
	dst, dir := plant(t, "l=->/real", "keep=1", "gone/x=1", "w1=1", "w2=2", "out=->"+t.TempDir())
	owner := Made{Owner: &tree.Owner{UID: uint32(os.Getuid()), GID: uint32(os.Getgid())}}
	for _, err := range []error{
		Mkdir(dst, "/l/a/b", 0o750, true, owner), Mkdir(dst, "/one", 0o700, false, owner), Mkdir(dst, "/one", 0o711, false, owner),
		Mkfile(dst, "/one/f", 0o600, []byte("F"), owner), Mkfile(dst, "/one/f", 0o640, []byte("G"), owner), Symlink(dst, "f", "/one/s", owner),
		Remove(dst, "/gone", false, false), Remove(dst, "/none/at/all", false, true), Remove(dst, "/w*", true, false), Remove(dst, "/out", false, false),
	} {
		if err != nil {
			t.Error(err)
		}
	}
	if got, want := list(t, dir), "keep=1 l one/ one/f=G one/s real/ real/a/ real/a/b/"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	for what, err := range map[string]error{
		"mkdir without parent": Mkdir(dst, "/x/y", 0o755, false, owner), "mkdir on a file": Mkdir(dst, "/keep", 0o755, true, owner),
		"mkfile on a directory": Mkfile(dst, "/one", 0o644, nil, owner), "remove what is not there": Remove(dst, "/none", false, false), "remove the root": Remove(dst, "/", false, false),
	} {
		if err == nil {
			t.Errorf("%s succeeds", what)
		}
	}
}

// FuzzCopy: whatever is copied to wherever, nothing outside of the destination changes, and nothing outside of the source
// comes in.
func FuzzCopy(f *testing.F) {
	f.Add("d", "/x/../../up/y", "../outside", "l", "**", true)
	f.Add("*/../..", "l/l/l", "/", "d/l", "!d", false)
	f.Add(`\*`, "./", ".", "a", "", true)
	f.Fuzz(func(t *testing.T, from, to, target, link, pattern string, unpack bool) {
		for _, s := range []string{from, to, target, link, pattern} {
			if strings.Contains(s, "\x00") || len(s) > 100 {
				t.Skip()
			}
		}
		base := t.TempDir()
		for _, d := range []string{"src/d", "dst/d", "outside"} {
			if err := os.MkdirAll(filepath.Join(base, d), 0o755); err != nil {
				t.Fatal(err)
			}
		}
		for name, text := range map[string]string{"src/d/f": "inside", "src/a": "inside", "outside/secret": "secret"} {
			if err := os.WriteFile(filepath.Join(base, name), []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		if name := filepath.Base("/" + link); target != "" && name != "/" {
			_ = os.Symlink(target, filepath.Join(base, "src", name)) // where there is none of the name
			_ = os.Symlink(target, filepath.Join(base, "dst", name))
		}
		src, err := os.OpenFile(filepath.Join(base, "src"), unix.O_PATH|unix.O_DIRECTORY, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer src.Close()
		dst, err := os.OpenFile(filepath.Join(base, "dst"), unix.O_PATH|unix.O_DIRECTORY, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer dst.Close()
		c := copyAs(t, src, from, to)
		c.Warn, c.Unpack, c.Replace = func(error) {}, unpack, unpack
		if pattern != "" {
			c.Exclude = []string{pattern}
		}
		_ = c.Sum(context.Background(), sha256.New()) // only what it does outside counts
		_ = c.Run(context.Background(), dst)
		entries, err := os.ReadDir(base)
		if err != nil || len(entries) != 3 {
			t.Fatalf("beside the trees: %v %v", entries, err)
		}
		if got := list(t, filepath.Join(base, "outside")); got != "secret=secret" {
			t.Fatalf("outside: %s", got)
		}
		if strings.Contains(list(t, filepath.Join(base, "dst")), "=secret") {
			t.Fatal("a file from outside was copied")
		}
	})
}

// FuzzGlob: a pattern names only what is in the tree, each once, and a name without wildcards names itself.
func FuzzGlob(f *testing.F) {
	for _, p := range []string{"*", "d/*", "[a-z]/..", `\a`, "../*", "d/[", "//", "*/*"} {
		f.Add(p)
	}
	src, _ := plant(f, "a=1", "b=2", "d/x=3", "d/y=4", "l=->/etc")
	f.Fuzz(func(t *testing.T, pattern string) {
		if strings.Contains(pattern, "\x00") {
			t.Skip()
		}
		names, err := glob(From{Root: src}, pattern, true)
		if err != nil {
			return
		}
		if slices.ContainsFunc(names, func(n string) bool { return strings.HasPrefix(n, "/") || strings.HasPrefix(n+"/", "../") }) {
			t.Fatalf("%q names %q", pattern, names)
		}
		sorted := slices.Clone(names)
		slices.Sort(sorted)
		if len(slices.Compact(sorted)) != len(names) {
			t.Fatalf("%q names one twice: %q", pattern, names)
		}
	})
}

// FuzzIgnore: whatever an ignore file says, a directory that is not looked into has nothing in it that is to be taken.
func FuzzIgnore(f *testing.F) {
	for _, s := range []string{"*\n!d/x\n", "d\n!d/sub/y", "**/y\n# no\n", "/d/\n!/d/x", "!\n", "[\n", "\xff*"} {
		f.Add(s)
	}
	paths := []string{"a", "d/x", "d/sub/y", "e/f/g/h"}
	f.Fuzz(func(t *testing.T, text string) {
		patterns, err := ignorefile.ReadAll(strings.NewReader(text))
		if err != nil {
			return
		}
		from := From{}
		if from.Hide, err = patternmatcher.New(patterns); err != nil {
			return
		}
		for _, p := range paths {
			take, _, err := from.pick(p, false)
			if err != nil {
				return
			}
			for dir := filepath.Dir(p); dir != "."; dir = filepath.Dir(dir) {
				if _, enter, err := from.pick(dir, true); err == nil && take && !enter {
					t.Errorf("%q: %s is taken, and %s not looked into", patterns, p, dir)
				}
			}
		}
	})
}
