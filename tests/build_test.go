package tests

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/proa-containers/proa/tests/harness"
)

// built is a row of the table of Dockerfiles. FROM base is the tests' image.
type built struct {
	name  string
	file  string            // the Dockerfile
	files map[string]string // the context: a name ending in "/" is a directory, a content that begins with "->" a link
	args  []string
	tree  string // lines of the listing that have to be there; a line that begins with "!" must not
	conf  string // parts of the configuration, one a line; a line that begins with "!" must not be there
	log   string // parts of the progress
	fails string // parts of the error, one a line; the exit status is 1
	peer  bool   // buildah makes the same tree
}

// writeContext writes the context of a row and returns its directory.
func (b *built) writeContext(t testing.TB, e *harness.Env) string {
	t.Helper()
	dir := e.TempDir(t)
	for name, content := range b.files {
		path := filepath.Join(dir, name)
		target, link := strings.CutPrefix(content, "->")
		var err error
		switch {
		case strings.HasSuffix(name, "/"):
			err = e.MkdirUser(path, 0o755)
		case link:
			if err = e.MkdirUser(filepath.Dir(path), 0o755); err == nil {
				err = os.Symlink(target, path)
			}
		default:
			mode := os.FileMode(0o644)
			if strings.HasPrefix(content, "#!") {
				mode = 0o755
			}
			e.WriteFile(t, path, content, mode)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if b.file != "" {
		e.WriteFile(t, filepath.Join(dir, "Dockerfile"), b.file, 0o644)
	}
	return dir
}

// listing is a tar archive as lines: type, mode, owner, name, and a link's target or a file's content.
func listing(t testing.TB, archive []byte) []string {
	t.Helper()
	var out []string
	for r := tar.NewReader(bytes.NewReader(archive)); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			slices.Sort(out)
			return out
		}
		if err != nil {
			t.Fatal(err)
		}
		name := path.Clean(h.Name)
		if strings.HasPrefix(name, "bin/") || name == "bin" || name == "." {
			continue
		}
		line := fmt.Sprintf("%04o %d:%d %s", h.Mode&0o7777, h.Uid, h.Gid, name)
		switch h.Typeflag {
		case tar.TypeDir:
			line += "/"
		case tar.TypeSymlink:
			line = fmt.Sprintf("%d:%d %s -> %s", h.Uid, h.Gid, name, h.Linkname)
		case tar.TypeLink:
			line = name + " == " + path.Clean(h.Linkname)
		case tar.TypeReg:
			b, err := io.ReadAll(r)
			if err != nil {
				t.Fatal(err)
			}
			line += " " + fmt.Sprintf("%.200q", strings.TrimRight(string(b), "\n"))
		default:
			line += fmt.Sprintf(" %c", h.Typeflag)
		}
		out = append(out, line)
	}
}

func lines(s string) []string {
	return slices.DeleteFunc(strings.Split(s, "\n"), func(l string) bool { return strings.TrimSpace(l) == "" })
}

// hasLines checks parts: whole lines of a list, or parts of a text.
func hasLines(t testing.TB, what, want string, has func(string) bool, all string) {
	t.Helper()
	for _, l := range lines(want) {
		l = strings.TrimSpace(l)
		w, not := strings.CutPrefix(l, "!")
		if has(w) == not {
			t.Errorf("%s: %q, want %v:\n%s", what, w, !not, all)
		}
	}
}

// check builds a row and looks at what came out.
func (b *built) check(t *testing.T, e *harness.Env, tag string) {
	dir := b.writeContext(t, e)
	args := append([]string{"build", "--progress=plain", "-t", tag}, b.args...)
	cmd := e.Proa(append(args, ".")...)
	cmd.Dir = dir
	if b.fails != "" {
		refused(t, cmd, 1, lines(b.fails)...)
		return
	}
	r := cmd.OK(t)
	hasLines(t, "progress", b.log, func(s string) bool { return strings.Contains(r.Stderr, s) }, r.Stderr)
	if b.conf != "" {
		conf := e.Proa("image", "inspect", "-f", "{{json .Config}} {{json .Os}}/{{json .Architecture}} {{json .History}}", tag).OK(t).Out()
		hasLines(t, "configuration", b.conf, func(s string) bool { return strings.Contains(conf, s) }, conf)
	}
	if b.tree == "" && !b.peer {
		return
	}
	again := e.Proa(append(append([]string{"build", "--progress=plain", "-o", "type=tar"}, b.args...), ".")...)
	again.Dir = dir
	list := listing(t, []byte(again.OK(t).Stdout))
	hasLines(t, "tree", b.tree, func(s string) bool {
		return slices.ContainsFunc(list, func(l string) bool { return l == s || strings.HasSuffix(l, " "+s) })
	}, strings.Join(list, "\n"))
	if b.peer {
		comparePeer(t, e, b, dir, list)
	}
}

func TestBuild(t *testing.T) {
	e := withImage(t, env.Fresh(t))
	e.Proa("build", "-q", "-t", "base", "-").OKWith(t, "FROM "+image+"\n")
	for n, b := range buildCases {
		t.Run(b.name, func(t *testing.T) { b.check(t, e, fmt.Sprintf("case%d", n)) })
	}
	builtNothingElse(t, e)
}

// builtNothingElse: no process, mount or half layer is left of builds that have ended.
func builtNothingElse(t testing.TB, e *harness.Env) {
	t.Helper()
	for _, p := range e.Processes() {
		if e.Owns(p) && !strings.Contains(p.String(), "proa-pause") {
			t.Errorf("a process is left: %v", p)
		}
	}
	if left, err := os.ReadDir(filepath.Join(e.Home, ".local/share/containers/storage/proa-stage")); err == nil && len(left) > 0 {
		t.Errorf("a layer is left half made: %v", left)
	}
	if m := e.Mounts(t); len(m) > 0 {
		t.Errorf("mounts are left: %v", m)
	}
}

// buildahRoot is buildah's store of a test, with the tests' image.
type buildahRoot struct{ dir string }

var peer buildahRoot

// comparePeer builds the row with buildah, as root, and compares the trees.
func comparePeer(t *testing.T, e *harness.Env, b *built, dir string, list []string) {
	t.Helper()
	if peer.dir == "" || testing.Short() {
		return
	}
	out := filepath.Join(t.TempDir(), "out.tar")
	args := []string{"buildah", "--root", peer.dir + "/root", "--runroot", peer.dir + "/run", "--storage-driver", "vfs", "bud", "--isolation", "chroot", "--network", "none", "--pull-never", "-q", "-o", "type=tar,dest=" + out}
	args = append(args, b.args...)
	cmd := e.RootCommand(append(args, dir)...)
	r := cmd.Run(t)
	if r.Code != 0 {
		t.Errorf("buildah fails: %s", r.Stderr)
		return
	}
	data, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	theirs := listing(t, data)
	for _, l := range list {
		if !slices.Contains(theirs, l) {
			t.Errorf("only proa: %s", l)
		}
	}
	for _, l := range theirs {
		if !slices.Contains(list, l) && !peerOnly(l) {
			t.Errorf("only buildah: %s", l)
		}
	}
}

// peerOnly are files that buildah's containers leave in a tree: the places of mounts.
func peerOnly(line string) bool {
	for _, p := range []string{" dev/", " proc/", " sys/", " run/", " etc/hosts", " etc/resolv.conf", " etc/hostname", " run/.containerenv"} {
		if strings.Contains(line+" ", p) {
			return true
		}
	}
	return false
}
