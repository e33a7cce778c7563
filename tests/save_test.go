package tests

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/proa-containers/proa/tests/harness"
)

// tarFiles are the files of a tar.
func tarFiles(t *testing.T, data []byte) map[string][]byte {
	t.Helper()
	out := map[string][]byte{}
	for r := tar.NewReader(bytes.NewReader(data)); ; {
		h, err := r.Next()
		if err == io.EOF {
			return out
		}
		if err != nil {
			t.Fatal(err)
		}
		if out[h.Name], err = io.ReadAll(r); err != nil {
			t.Fatal(err)
		}
	}
}

// TestSave: what save writes, load reads, another user's too, with ids and names as they were.
func TestSave(t *testing.T) {
	e := withImage(t, env.Fresh(t))
	changed(t, e, "saved", "team/app:1")
	e.Proa("tag", "team/app:1", "team/app:2", "localhost/second:1").OK(t)
	want := strings.Fields(e.Proa("images", "--no-trunc", "--format", "{{.Repository}}:{{.Tag}}={{.ID}}").OK(t).Out())
	slices.Sort(want)
	for _, flags := range []string{"", "--format=docker-archive -m", "--format oci-archive", "--format oci-archive --uncompressed -q"} {
		file := filepath.Join(e.Home, "archive.tar")
		line := append([]string{"save", "-o", file}, strings.Fields(flags)...)
		e.Proa(append(line, "team/app", image, "localhost/second:1")...).OK(t)
		if st, err := os.Stat(file); err != nil || st.Mode().Perm() != 0o600 {
			t.Errorf("%v, %v; want it for the user alone", st, err)
		}
		other := env.Fresh(t)
		other.Proa("load", "-q", "-i", file).OK(t)
		got := strings.Fields(other.Proa("images", "--no-trunc", "--format", "{{.Repository}}:{{.Tag}}={{.ID}}").OK(t).Out())
		slices.Sort(got)
		if strings.Contains(flags, "oci") { // the base image came in Docker's form, and is another in this one
			equal(t, "names after save "+flags, strings.Join(namesAlone(got), " "), strings.Join(namesAlone(want), " "))
		} else {
			equal(t, "names and ids after save "+flags, strings.Join(got, " "), strings.Join(want, " "))
		}
		equal(t, "run after save "+flags, other.Proa("run", "--rm", "--network=none", "team/app:2", "cat", "/srv/text").OK(t).Out(), "saved")
		if left, _ := filepath.Glob(filepath.Join(e.Home, "archive.tar?*")); len(left) > 0 {
			t.Errorf("left: %v", left)
		}
		pushLeftNothing(t, e)
	}
}

func namesAlone(list []string) []string {
	var out []string
	for _, l := range list {
		name, _, _ := strings.Cut(l, "=")
		out = append(out, name)
	}
	return out
}

// TestSaveDockerArchive: the archive is what docker load reads: a manifest.json with the names, a configuration by its
// digest, layers as they are.
func TestSaveDockerArchive(t *testing.T) {
	e := withImage(t, env.Fresh(t))
	e.Proa("tag", image, "localhost/b:2").OK(t)
	id := e.Proa("inspect", "-f", "{{.ID}}", image).OK(t).Out()
	files := tarFiles(t, []byte(e.Proa("save", "-q", image, "localhost/b:2").OK(t).Stdout))
	var manifest []struct {
		Config   string
		RepoTags []string
		Layers   []string
	}
	if err := json.Unmarshal(files["manifest.json"], &manifest); err != nil || len(manifest) != 1 {
		t.Fatalf("manifest.json: %v: %s", err, files["manifest.json"])
	}
	m := manifest[0]
	equal(t, "names", strings.Join(m.RepoTags, " "), image+" localhost/b:2")
	equal(t, "configuration", harness.Digest(files[m.Config]), id)
	if len(m.Layers) != 1 || harness.Digest(files[m.Layers[0]]) != harness.Digest(baseImage(t).Layers[0]) {
		t.Errorf("layers: %v", m.Layers)
	}
	files = tarFiles(t, []byte(e.Proa("save", "-q", strings.TrimPrefix(id, "sha256:")).OK(t).Stdout))
	if err := json.Unmarshal(files["manifest.json"], &manifest); err != nil || len(manifest[0].RepoTags) != 0 {
		t.Errorf("saved by its id it has names: %s", files["manifest.json"])
	}
}

// TestSaveRead: other tools read what save writes.
func TestSaveRead(t *testing.T) {
	harness.Requires(t, "skopeo")
	e := withImage(t, env.Fresh(t))
	changed(t, e, "saved", "app:1")
	killed := e.WriteFile(t, filepath.Join(e.Home, "oci-dir.part-4194400/index.json"), "{", 0o600) // no process has that number
	for format, transport := range map[string]string{"docker-archive": "docker-archive", "oci-archive": "oci-archive", "oci-dir": "oci", "docker-dir": "dir"} {
		to := filepath.Join(e.Home, format)
		e.Proa("save", "-q", "--format", format, "-o", to, "app:1").OK(t)
		out := e.Command("skopeo", "inspect", "--config", transport+":"+to).OK(t).Stdout
		if !strings.Contains(out, "diff_ids") {
			t.Errorf("skopeo sees %s", out)
		}
		e.Command("skopeo", "copy", "-q", transport+":"+to, "dir:"+filepath.Join(e.Home, "copy-"+format)).OK(t) // every digest is checked
	}
	if _, err := os.Stat(filepath.Dir(killed)); err == nil {
		t.Error("what a killed process left of the same directory is still there")
	}
	e.Proa("save", "-q", "--format", "docker-dir", "--compress", "-o", filepath.Join(e.Home, "small"), "app:1").OK(t)
	e.Command("skopeo", "inspect", "dir:"+filepath.Join(e.Home, "small")).OK(t)
}

func TestSaveRefused(t *testing.T) {
	e := withImage(t, env.Fresh(t))
	full := filepath.Join(e.Home, "full")
	e.WriteFile(t, filepath.Join(full, "file"), "x", 0o644)
	for line, want := range map[string]string{
		"": "at least one image", "absent:1": "absent:1", "--format zip " + image: "zip", "--format oci-dir " + image: "--output",
		"--format docker-dir -o " + full + " " + image: "not empty", "-o /absent/dir/file " + image: "/absent/dir",
		"--compress " + image: "docker-dir", "--uncompressed " + image: "oci-archive",
		"--format docker-dir -o " + e.Home + "/d " + image + " " + image: "",
	} {
		c := e.Proa(append([]string{"save"}, strings.Fields(line)...)...)
		if want == "" {
			c.OK(t) // the same image twice is one
			continue
		}
		r := refused(t, c, 125, want)
		equal(t, "stdout", r.Stdout, "")
	}
	term := e.Proa("save", image).OnTerminal(t, 24, 80)
	if code := term.Wait(t); code != 125 {
		t.Errorf("save to a terminal: exit code %d", code)
	}
	term.Expect(t, "terminal")
	r := e.Command("sh", "-c", "proa save -q "+image+" > /dev/full").Want(t, 125)
	if !strings.Contains(r.Stderr, "disk is full") || strings.Count(r.Stderr, "\n") != 1 {
		t.Errorf("on a full disk: %s", r.Stderr)
	}
	pushLeftNothing(t, e)
}
