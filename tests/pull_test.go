package tests

import (
	"encoding/base64"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/proa-containers/proa/tests/harness"
)

// pull prepares `proa pull` from a registry that speaks plain HTTP.
func pull(e *harness.Env, args ...string) *harness.Cmd {
	return e.Proa(append([]string{"pull", "--tls-verify=false"}, args...)...)
}

func TestPull(t *testing.T) {
	reg, e := harness.StartRegistry(t, "", ""), env.Fresh(t)
	digest := reg.Push(t, "dir/busybox:1.0", baseImage(t))
	id := pull(e, reg.Ref("dir/busybox:1.0")).OK(t).Out()
	want := strings.TrimPrefix(harness.Digest(baseImage(t).ConfigJSON()), "sha256:")
	if id[strings.LastIndex(id, "\n")+1:] != want {
		t.Errorf("pull prints %q last, want the image's id %s", id, want)
	}
	equal(t, "run", e.Proa("run", "--rm", "--network=none", reg.Ref("dir/busybox:1.0"), "echo", "hi").OK(t).Out(), "hi")
	pull(e, reg.Ref("dir/busybox@"+digest)).OK(t)
	equal(t, "run by digest", e.Proa("run", "--rm", "--network=none", reg.Ref("dir/busybox@"+digest), "echo", "hi").OK(t).Out(), "hi")
	pull(e, "-q", reg.Ref("dir/busybox:1.0")).OK(t) // again: nothing to do
}

func TestRunPulls(t *testing.T) {
	reg, e := harness.StartRegistry(t, "", ""), env.Fresh(t)
	reg.Push(t, "busybox:latest", baseImage(t))
	insecure(t, e, reg)
	refused(t, e.Proa("run", "--rm", "--network=none", "--pull=never", reg.Ref("busybox"), "true"), 125, reg.Ref("busybox"))
	r := e.Proa("run", "--rm", "--network=none", reg.Ref("busybox"), "echo", "hi").OK(t)
	equal(t, "stdout is the container's alone", r.Stdout, "hi\n")
	r = e.Proa("run", "--rm", "--network=none", "--pull=always", reg.Ref("busybox"), "echo", "hi").OK(t)
	equal(t, "--pull=always", r.Stdout, "hi\n")
}

// insecure tells registries.conf of the user that the registry speaks plain HTTP, and to look for short names there.
func insecure(t testing.TB, e *harness.Env, reg *harness.Registry) {
	t.Helper()
	e.WriteFile(t, filepath.Join(e.Home, ".config/containers/registries.conf"), fmt.Sprintf(
		"unqualified-search-registries = [%q]\nshort-name-mode = \"permissive\"\n[[registry]]\nlocation = %q\ninsecure = true\n", reg.Addr, reg.Addr), 0o644)
}

func TestPullShortName(t *testing.T) {
	reg, e := harness.StartRegistry(t, "", ""), env.Fresh(t)
	reg.Push(t, "tool:latest", baseImage(t))
	insecure(t, e, reg)
	e.Proa("pull", "tool").OK(t)
	equal(t, "run", e.Proa("run", "--rm", "--network=none", "tool", "echo", "hi").OK(t).Out(), "hi")
}

func TestPullArchitecture(t *testing.T) {
	reg, e := harness.StartRegistry(t, "", ""), env.Fresh(t)
	ours, other := baseImage(t), baseImage(t)
	ours.Arch, other.Arch = runtime.GOARCH, "s390x"
	other.Config.Labels = map[string]string{"which": "other"}
	reg.PushIndex(t, "multi:1", other, ours)
	pull(e, reg.Ref("multi:1")).OK(t)
	equal(t, "this machine's", e.Proa("inspect", "--format", "{{.Architecture}}", reg.Ref("multi:1")).OK(t).Out(), runtime.GOARCH)
	pull(e, "--platform", "linux/s390x", reg.Ref("multi:1")).OK(t)
	equal(t, "--platform", e.Proa("inspect", "--format", "{{.Architecture}}", reg.Ref("multi:1")).OK(t).Out(), "s390x")
	reg.PushIndex(t, "foreign:1", other)
	e.Proa("rmi", "-f", reg.Ref("multi:1")).OK(t)
	for _, id := range strings.Fields(e.Proa("images", "-q").OK(t).Out()) {
		e.Proa("rmi", id).OK(t)
	}
	refusedPull(t, e, pull(e, "-q", reg.Ref("foreign:1")), runtime.GOARCH, "s390x", "--platform")
}

func TestPullCredentials(t *testing.T) {
	reg, e := harness.StartRegistry(t, "mia", "s3cret"), env.Fresh(t)
	reg.Push(t, "private:1", baseImage(t))
	refusedPull(t, e, pull(e, "-q", reg.Ref("private:1")), reg.Addr, "refuses access", "proa login "+reg.Addr)
	refusedPull(t, e, pull(e, "-q", "--creds", "mia:wrong", reg.Ref("private:1")), reg.Addr, "--creds")
	refusedPull(t, e, pull(e, "-q", "--creds", ":", reg.Ref("private:1")), "USER:PASSWORD")
	auth := func(password string) string {
		return fmt.Sprintf(`{"auths":{%q:{"auth":%q}}}`, reg.Addr, base64.StdEncoding.EncodeToString([]byte("mia:"+password)))
	}
	for _, file := range []string{filepath.Join(e.Runtime, "containers/auth.json"), filepath.Join(e.Home, ".docker/config.json")} {
		f := e.WriteFile(t, file, auth("wrong"), 0o600)
		r := refused(t, pull(e, reg.Ref("private:1")), 125, reg.Addr)
		if strings.Contains(r.Stderr, "wrong") {
			t.Errorf("the error shows the password: %s", r.Stderr)
		}
		e.WriteFile(t, f, auth("s3cret"), 0o600)
		pull(e, reg.Ref("private:1")).OK(t)
		if err := os.Remove(f); err != nil {
			t.Fatal(err)
		}
		e.Proa("rmi", reg.Ref("private:1")).OK(t)
	}
}

func TestPullManyLayers(t *testing.T) {
	reg, e := harness.StartRegistry(t, "", ""), env.Fresh(t)
	img := baseImage(t)
	for n := range 8 {
		img.Layers = append(img.Layers, harness.Layer(harness.Entry{Name: fmt.Sprintf("srv/f%d", n), Content: strings.Repeat("x", 1<<18), Mode: 0o644}))
	}
	// The last layer removes a file of the first, and one directory's whole content.
	img.Layers = append(img.Layers, harness.Layer(harness.Entry{Name: "etc/.wh.notexec"}, harness.Entry{Name: "home/"}, harness.Entry{Name: "home/.wh..wh..opq"}))
	reg.Push(t, "many:1", img)
	r := pull(e, reg.Ref("many:1")).OK(t)
	if strings.Contains(r.Stderr, "\x1b") || strings.Contains(r.Stderr, "\r") {
		t.Errorf("progress without a terminal is not plain lines: %q", r.Stderr)
	}
	got := e.Proa("run", "--rm", "--network=none", reg.Ref("many:1"), "sh", "-c", "ls /srv; ls /home; test -e /etc/notexec || echo gone").OK(t).Out()
	equal(t, "the layers together", got, "f0\nf1\nf2\nf3\nf4\nf5\nf6\nf7\ngone")
}

func TestPullOwners(t *testing.T) {
	got := run(t, "stat", "-c", "%u:%g %a", "/home/alice", "/tmp", "/root", "/bin/busybox").OK(t).Out()
	equal(t, "owners and modes", got, "1000:1000 755\n0:0 1777\n0:0 700\n0:0 755")
}

// pullLeftNothing checks that a failed pull left neither image nor layer nor temporary file.
func pullLeftNothing(t *testing.T, e *harness.Env) {
	t.Helper()
	equal(t, "images -q", e.Proa("images", "-q", "-a").OK(t).Out(), "")
	layers, _ := filepath.Glob(filepath.Join(e.Home, ".local/share/containers/storage/overlay/[0-9a-f]*"))
	var left []string
	for _, l := range layers {
		if b := filepath.Base(l); len(b) == 64 {
			left = append(left, b)
		}
	}
	var tmp []string
	for _, pattern := range []string{"overlay/*temp*/*", "overlay-layers/*.tar-split.gz", "overlay-*/.tmp-*", "proa-transfer/t-*"} {
		found, _ := filepath.Glob(filepath.Join(e.Home, ".local/share/containers/storage", pattern))
		tmp = append(tmp, found...)
	}
	vartmp, _ := filepath.Glob("/var/tmp/*")
	for _, f := range vartmp {
		if owner(t, f) == e.UID {
			left = append(left, f)
		}
	}
	equal(t, "left behind", strings.Join(append(left, tmp...), " "), "")
}

func TestPullProgress(t *testing.T) {
	reg, e := harness.StartRegistry(t, "", ""), env.Fresh(t)
	reg.Push(t, "busybox:1", baseImage(t))
	term := pull(e, reg.Ref("busybox:1")).OnTerminal(t, 24, 80)
	if code := term.Wait(t); code != 0 {
		t.Fatalf("exit code %d: %s", code, term.Screen())
	}
	_, blobs := baseImage(t).Manifest(harness.DockerTypes, harness.Gzip)
	term.Expect(t, strings.TrimPrefix(harness.Digest(blobs[1]), "sha256:")[:12])
}
