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
	if b.tree == "" {
		return
	}
	again := e.Proa(append(append([]string{"build", "--progress=plain", "-o", "type=tar"}, b.args...), ".")...)
	again.Dir = dir
	list := listing(t, []byte(again.OK(t).Stdout))
	hasLines(t, "tree", b.tree, func(s string) bool {
		return slices.ContainsFunc(list, func(l string) bool { return l == s || strings.HasSuffix(l, " "+s) })
	}, strings.Join(list, "\n"))
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

// TestBuildAsBuildah compares the trees that proa and buildah make of the same Dockerfiles.
func TestBuildAsBuildah(t *testing.T) {
	harness.Requires(t, "buildah", "newuidmap")
	if os.Getuid() != 0 {
		t.Skip("needs root: buildah builds as root here")
	}
	e := withImage(t, env.Fresh(t))
	e.Proa("build", "-q", "-t", "base", "-").OKWith(t, "FROM "+image+"\n")
	dir := t.TempDir()
	buildah := func(args ...string) *harness.Cmd {
		return e.RootCommand(append([]string{"buildah", "--root", dir + "/root", "--runroot", dir + "/run", "--storage-driver", "vfs"}, args...)...)
	}
	id := buildah("pull", "-q", "docker-archive:"+archive(t, e, "base.tar", baseImage(t).DockerArchive(image))).OK(t).Out()
	buildah("tag", id, "localhost/base:latest").OK(t)
	t.Cleanup(func() { buildah("rmi", "--all", "--force").Run(t) })
	for _, b := range buildCases {
		if !b.peer {
			continue
		}
		t.Run(b.name, func(t *testing.T) {
			context := b.writeContext(t, e)
			ours := e.Proa(append(append([]string{"build", "-q", "-o", "type=tar"}, b.args...), context)...).OK(t)
			out := filepath.Join(dir, "out.tar")
			args := []string{"bud", "--isolation", "chroot", "--network", "host", "--pull-never", "-q", "-o", "type=tar,dest=" + out}
			buildah(append(append(args, b.args...), context)...).OK(t)
			data, err := os.ReadFile(out)
			if err != nil {
				t.Fatal(err)
			}
			compareTrees(t, listing(t, []byte(ours.Stdout)), listing(t, data))
		})
	}
}

// compareTrees reports the lines that only one listing has.
func compareTrees(t *testing.T, ours, theirs []string) {
	t.Helper()
	for _, l := range ours {
		if !slices.Contains(theirs, l) {
			t.Errorf("only proa: %s", l)
		}
	}
	for _, l := range theirs {
		if !slices.Contains(ours, l) && !peerOnly(l) {
			t.Errorf("only buildah: %s", l)
		}
	}
}

// peerOnly are files that buildah's containers leave in a tree: the places of mounts.
func peerOnly(line string) bool {
	for _, p := range []string{" dev/", " proc/", " sys/", " run/", " etc/hosts", " etc/resolv.conf", " etc/hostname"} {
		if strings.Contains(line+" ", p) {
			return true
		}
	}
	return false
}
