package tests

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/proa-containers/proa/tests/harness"
)

// push prepares `proa push` to a registry that speaks plain HTTP.
func push(e *harness.Env, args ...string) *harness.Cmd {
	return e.Proa(append([]string{"push", "--tls-verify=false"}, args...)...)
}

// changed commits a container of the base image that wrote text into a file, under the name.
func changed(t testing.TB, e *harness.Env, text, name string) {
	t.Helper()
	ctr := containerName(t)
	e.Proa("run", "--network=none", "--name", ctr, image, "sh", "-c", "echo "+text+" > /srv/text").OK(t)
	e.Proa("commit", "-q", ctr, name).OK(t)
	e.Proa("rm", ctr).OK(t)
}

// uploads are the requests that send a blob's content.
func uploads(f *harness.Front) []string { return f.Asked(http.MethodPatch) }

// pushLeftNothing checks that no file of a transfer is left.
func pushLeftNothing(t *testing.T, e *harness.Env) {
	t.Helper()
	left, _ := filepath.Glob(filepath.Join(e.Home, ".local/share/containers/storage/proa-transfer/t-*"))
	equal(t, "left behind", strings.Join(left, " "), "")
}

// TestPushPullRun: one user pushes what he made, another pulls and runs it, and other tools read it.
func TestPushPullRun(t *testing.T) {
	reg, e := harness.StartRegistry(t, "", ""), withImage(t, env.Fresh(t))
	changed(t, e, "made-here", "app")
	e.Proa("tag", "app", reg.Ref("team/app:1")).OK(t)
	r := push(e, reg.Ref("team/app:1")).OK(t)
	digest := field(r.Stdout, "1")
	if !strings.HasPrefix(digest, "digest: sha256:") || strings.ContainsAny(r.Stderr, "\r\x1b") {
		t.Errorf("push prints %q, and %q without a terminal", r.Stdout, r.Stderr)
	}
	pushLeftNothing(t, e)
	byDigest := reg.Ref("team/app@") + strings.Fields(digest)[1]
	equal(t, "found by the digest it was pushed with", e.Proa("run", "--rm", "--network=none", "--pull=never", byDigest, "cat", "/srv/text").OK(t).Out(), "made-here")
	n := env.Neighbour(t)
	pull(n, "-q", reg.Ref("team/app:1")).OK(t)
	equal(t, "run by another", n.Proa("run", "--rm", "--network=none", reg.Ref("team/app:1"), "cat", "/srv/text").OK(t).Out(), "made-here")
	ids := []string{n.Proa("images", "-q", "--no-trunc").OK(t).Out(), e.Proa("inspect", "-f", "{{.ID}}", "app").OK(t).Out()}
	equal(t, "the image's id", ids[0], ids[1])
	harness.Requires(t, "skopeo")
	var seen struct{ Digest string }
	out := e.Command("skopeo", "inspect", "--tls-verify=false", "docker://"+reg.Ref("team/app:1")).OK(t).Stdout
	if err := json.Unmarshal([]byte(out), &seen); err != nil || !strings.HasPrefix(digest, "digest: "+seen.Digest+" ") {
		t.Errorf("skopeo sees %q, %v; push printed %q", seen.Digest, err, digest)
	}
}

// TestPushOnlyMissing: what the registry has is not sent, whoever made it and whichever repository has it.
func TestPushOnlyMissing(t *testing.T) {
	reg, e := harness.StartRegistry(t, "", "").Front(t, nil), withImage(t, env.Fresh(t))
	push(e, "-q", image, reg.Ref("base:1")).OK(t)
	equal(t, "the layer and the configuration", fmt.Sprint(len(uploads(reg))), "2")
	push(e, "-q", image, reg.Ref("base:2")).OK(t)
	equal(t, "sent to the same repository", strings.Join(uploads(reg), " "), "")
	changed(t, e, "small", "app")
	push(e, "-q", "app", reg.Ref("base:app")).OK(t)
	equal(t, "one new layer and the configuration", fmt.Sprint(len(uploads(reg))), "2")
	push(e, "-q", "app", reg.Ref("other/app:1")).OK(t)
	asked := strings.Join(reg.Asked(http.MethodPost), " ")
	equal(t, "layers mounted from the other repository", fmt.Sprint(strings.Count(asked, "mount=")), "2")
	pull(e, "-q", reg.Ref("other/app:1")).OK(t)
	equal(t, "run", e.Proa("run", "--rm", "--network=none", reg.Ref("other/app:1"), "cat", "/srv/text").OK(t).Out(), "small")
}

// TestPushWhatWasPulled: layers that came from the registry go back as they were, after a reboot too.
func TestPushWhatWasPulled(t *testing.T) {
	reg, e := harness.StartRegistry(t, "", "").Front(t, nil), env.Fresh(t)
	digest := reg.Push(t, "base:1", baseImage(t))
	pull(e, "-q", reg.Ref("base:1")).OK(t)
	for _, when := range []string{"at once", "after a reboot"} {
		reg.Forget()
		tag := strings.ReplaceAll(when, " ", "-")
		out := push(e, reg.Ref("base:1"), reg.Ref("base:"+tag)).OK(t).Stdout
		if !strings.Contains(out, "digest: "+digest) {
			t.Errorf("%s: push prints %q, want the digest it was pulled with, %s", when, out, digest)
		}
		for _, u := range uploads(reg) {
			t.Errorf("%s: sent %s", when, u)
		}
		if err := e.Reboot(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestPushAllTags(t *testing.T) {
	reg, e := harness.StartRegistry(t, "", ""), withImage(t, env.Fresh(t))
	e.Proa("tag", image, reg.Ref("many:1"), reg.Ref("many:2"), reg.Ref("manyother:1")).OK(t)
	equal(t, "push -aq", push(e, "-aq", reg.Ref("many")).OK(t).Out(), reg.Ref("many:1")+"\n"+reg.Ref("many:2"))
	refused(t, push(e, "-a", reg.Ref("many:1")), 125, "without a tag")
	refused(t, push(e, "-a", reg.Ref("absent")), 125, "absent")
	refused(t, push(e, "-a", "--digestfile", "d", reg.Ref("many")), 125, "--digestfile")
	refused(t, push(e, "-a", reg.Ref("many"), reg.Ref("x")), 125, "--all-tags")
	resp, err := http.Get("http://" + reg.Addr + "/v2/many/tags/list")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var list struct{ Tags []string }
	if err := json.NewDecoder(resp.Body).Decode(&list); err != nil {
		t.Fatal(err)
	}
	slices.Sort(list.Tags)
	equal(t, "the registry's tags", strings.Join(list.Tags, " "), "1 2")
}

// manifestOf is the manifest that a registry has of a name.
func manifestOf(t *testing.T, reg *harness.Registry, repo, tag string) (mediaType, layer string) {
	t.Helper()
	req, err := http.NewRequest(http.MethodGet, "http://"+reg.Addr+"/v2/"+repo+"/manifests/"+tag, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Accept", "application/vnd.oci.image.manifest.v1+json, application/vnd.docker.distribution.manifest.v2+json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var m struct {
		MediaType string
		Layers    []struct{ MediaType string }
	}
	if err := json.NewDecoder(resp.Body).Decode(&m); err != nil || len(m.Layers) == 0 {
		t.Fatalf("manifest of %s:%s: %v %+v", repo, tag, err, m)
	}
	return m.MediaType, m.Layers[0].MediaType
}

func TestPushFormats(t *testing.T) {
	reg, e := harness.StartRegistry(t, "", ""), withImage(t, env.Fresh(t))
	const oci, docker = "application/vnd.oci.image.manifest.v1+json", "application/vnd.docker.distribution.manifest.v2+json"
	for n, c := range []struct{ flags, manifest, layer string }{
		{"", docker, "application/vnd.docker.image.rootfs.diff.tar.gzip"},
		{"--format=docker", docker, "application/vnd.docker.image.rootfs.diff.tar.gzip"},
		{"-f oci", oci, "application/vnd.oci.image.layer.v1.tar+gzip"},
		{"--compression-format=zstd --compression-level 12", oci, "application/vnd.oci.image.layer.v1.tar+zstd"},
		{"--compression-format=zstd:chunked", oci, "application/vnd.oci.image.layer.v1.tar+zstd"},
		{"--compression-format gzip --compression-level=9", docker, "application/vnd.docker.image.rootfs.diff.tar.gzip"},
	} {
		tag := fmt.Sprint("t", n)
		file := filepath.Join(e.Home, "digest")
		line := append(strings.Fields(c.flags), "--digestfile", file, image, reg.Ref("formats:"+tag))
		out := push(e, line...).OK(t).Stdout
		mediaType, layer := manifestOf(t, reg, "formats", tag)
		equal(t, c.flags, mediaType+" "+layer, c.manifest+" "+c.layer)
		if digest, err := os.ReadFile(file); err != nil || !strings.Contains(out, "digest: "+string(digest)+" ") {
			t.Errorf("--digestfile has %q, %v; push printed %q", digest, err, out)
		}
		pull(e, "-q", reg.Ref("formats:"+tag)).OK(t)
		equal(t, "run after "+c.flags, e.Proa("run", "--rm", "--network=none", reg.Ref("formats:"+tag), "echo", "hi").OK(t).Out(), "hi")
	}
	for flags, want := range map[string]string{
		"--format nonsense": "nonsense", "--format v2s1": "v2s1", "--compression-format lzma": "lzma", "--compression-level 99": "1 to 9",
		"--compression-format zstd --compression-level 0": "1 to 20", "--format docker --compression-format zstd": "--format oci",
		"--sign-by me": "--sign-by", "--disable-content-trust=false": "does not sign", "--retry -1": "negative",
	} {
		refused(t, push(e, append(strings.Fields(flags), image, reg.Ref("x:1"))...), 125, want)
	}
	push(e, "-q", "--disable-content-trust", "--remove-signatures", image, reg.Ref("formats:t0")).OK(t)
}

// TestPushToFiles: other destinations than registries.
func TestPushToFiles(t *testing.T) {
	e := withImage(t, env.Fresh(t))
	for _, to := range []string{"dir:" + e.Home + "/d", "oci:" + e.Home + "/o:1", "oci-archive:" + e.Home + "/oa:x:1", "docker-archive:" + e.Home + "/da:x:1"} {
		push(e, "-q", image, to).OK(t)
	}
	for _, f := range []string{"oa", "da"} {
		e.Proa("load", "-q", "-i", filepath.Join(e.Home, f)).OK(t)
	}
	refused(t, push(e, image, "docker-daemon:x:1"), 125, "docker-daemon", "oci-archive:")
}

// TestPushName: where an image goes whose name has no registry.
func TestPushName(t *testing.T) {
	reg, e := harness.StartRegistry(t, "", ""), withImage(t, env.Fresh(t))
	e.Proa("tag", image, "mine/app:3").OK(t)
	insecure(t, e, reg)
	equal(t, "a short name", push(e, "-q", "mine/app:3").OK(t).Out(), reg.Ref("mine/app:3"))
	equal(t, "a short destination", push(e, "-q", image, "mine/other").OK(t).Out(), reg.Ref("mine/other:latest"))
	refused(t, push(e, "localhost/mine/app:3"), 125, "localhost/", "the name it is to have there")
	id := e.Proa("images", "-q", "mine/app").OK(t).Out()
	refused(t, push(e, id), 125, "an id")
	equal(t, "an id and a name", push(e, "-q", id, reg.Ref("by/id:1")).OK(t).Out(), reg.Ref("by/id:1"))
	refused(t, push(e, "absent:1"), 125, "no such image", "absent:1")
	refused(t, push(e, image, "UPPER/case"), 125, "UPPER/case")
	refused(t, push(e), 125, "takes an image")
	refused(t, push(e, "a", "b", "c"), 125, "destination")
	e.WriteFile(t, filepath.Join(e.Home, ".config/containers/registries.conf"), `unqualified-search-registries = ["one.example", "two.example"]`, 0o644)
	refused(t, push(e, "mine/app:3"), 125, "one.example", "two.example", "full name")
}

// TestPushRefused: one sentence for each way a registry says no.
func TestPushRefused(t *testing.T) {
	real, e := harness.StartRegistry(t, "", ""), withImage(t, env.Fresh(t))
	one := func(c *harness.Cmd, want ...string) {
		t.Helper()
		r := refused(t, c, 125, want...)
		if strings.Count(r.Stderr, "\n") != 1 || r.Stdout != "" || strings.Contains(r.Stderr, "s3cret") {
			t.Errorf("%s: not one sentence: %q%q", c, r.Stdout, r.Stderr)
		}
		pushLeftNothing(t, e)
	}
	says := func(code int, body string) func(http.ResponseWriter, *http.Request) bool {
		return func(w http.ResponseWriter, r *http.Request) bool {
			if r.Method != http.MethodPost && r.Method != http.MethodPatch {
				return false
			}
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(code)
			fmt.Fprint(w, body)
			return true
		}
	}
	for name, c := range map[string]struct {
		code int
		body string
		want []string
	}{
		"denied":       {403, `{"errors":[{"code":"DENIED","message":"requested access to the resource is denied"}]}`, []string{"refuses access", "proa login", "right to push"}},
		"forbidden":    {403, "no", []string{"refuses access", "proa login"}},
		"unauthorized": {401, `{"errors":[{"code":"UNAUTHORIZED","message":"authentication required"}]}`, []string{"refuses access", "proa login"}},
		"no registry":  {404, "<html>", []string{"no such registry or repository"}},
		"read only":    {405, `{"errors":[{"code":"UNSUPPORTED","message":"The operation is unsupported."}]}`, []string{"unsupported"}},
		"broken":       {500, "oops", []string{"500"}},
		"full":         {507, `{"errors":[{"code":"UNKNOWN","message":"quota exceeded"}]}`, []string{"507"}},
	} {
		t.Run(name, func(t *testing.T) {
			f := real.Front(t, says(c.code, c.body))
			one(push(e, "-q", "--retry=0", image, f.Ref("x:1")), append(c.want, f.Addr)...)
		})
	}
	lies := real.Front(t, func(w http.ResponseWriter, r *http.Request) bool {
		if r.Method != http.MethodPut || !strings.Contains(r.URL.Path, "/uploads/") {
			return false
		}
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusBadRequest)
		fmt.Fprint(w, `{"errors":[{"code":"DIGEST_INVALID","message":"provided digest did not match uploaded content"}]}`)
		return true
	})
	one(push(e, "-q", image, lies.Ref("x:1")), "digest invalid", "try again")
	private := harness.StartRegistry(t, "mia", "s3cret")
	one(push(e, "-q", image, private.Ref("x:1")), "refuses access", "proa login "+private.Addr)
	one(push(e, "-q", "--creds", "mia:wrong", image, private.Ref("x:1")), "refuses access", "--creds")
	push(e, "-q", "--creds", "mia:s3cret", image, private.Ref("x:1")).OK(t)
	one(e.Proa("push", "-q", image, real.Ref("x:1")), "speaks HTTP", "--tls-verify=false")
	one(push(e, "-q", image, "127.0.0.1:1/x:1"), "can't be reached")
	one(push(e, "-q", image, "no.such.host.invalid/x:1"), "can't be reached", "no.such.host.invalid")
	one(push(e, "-q", "--authfile", "/absent", image, real.Ref("x:1")), "/absent")
	tls, _ := harness.TLSRegistry(t, baseImage(t))
	one(e.Proa("push", "-q", image, tls+"/x:1"), "TLS can't be trusted", "ca.crt")
}

// TestPushRetries: a registry that breaks off in the middle is tried again.
func TestPushRetries(t *testing.T) {
	real, e := harness.StartRegistry(t, "", ""), withImage(t, env.Fresh(t))
	left := 2
	f := real.Front(t, func(w http.ResponseWriter, r *http.Request) bool {
		if r.Method != http.MethodPatch || left == 0 {
			return false
		}
		if left--; left == 0 {
			panic(http.ErrAbortHandler) // the connection ends
		}
		w.WriteHeader(http.StatusServiceUnavailable)
		return true
	})
	r := push(e, "--retry-delay=10ms", image, f.Ref("x:1")).OK(t)
	equal(t, "said so", fmt.Sprint(strings.Count(r.Stderr, "trying again")), "2")
	left = 2
	refused(t, push(e, "-q", "--retry=1", "--retry-delay=10ms", "--compression-format=zstd", image, f.Ref("y:1")), 125, f.Addr)
}

// stalled pushes to a registry that takes no blob to its end, and returns the command once it has begun to send.
func stalled(t *testing.T, e *harness.Env, start func(c *harness.Cmd)) (addr string) {
	t.Helper()
	reached, end := make(chan struct{}, 8), make(chan struct{})
	f := harness.StartRegistry(t, "", "").Front(t, func(_ http.ResponseWriter, r *http.Request) bool {
		if r.Method != http.MethodPatch {
			return false
		}
		reached <- struct{}{}
		select {
		case <-r.Context().Done():
		case <-end:
		}
		return true
	})
	t.Cleanup(func() { close(end) })
	start(push(e, image, f.Ref("slow:1")))
	<-reached
	return f.Addr
}

func TestPushInterrupted(t *testing.T) {
	e := withImage(t, env.Fresh(t))
	var term *harness.Terminal
	addr := stalled(t, e, func(c *harness.Cmd) { term = c.OnTerminal(t, 24, 80) })
	before := term.Settings(t)
	term.Expect(t, strings.TrimPrefix(harness.Digest(baseImage(t).Layers[0]), "sha256:")[:12]) // its bar
	term.Type(t, "\x03")
	equal(t, "exit code", fmt.Sprint(term.Wait(t)), "125")
	term.Expect(t, fmt.Sprintf("push %q: interrupted, the registry has no new image", addr+"/slow:1"))
	if term.Settings(t) != before {
		t.Error("the terminal's settings are not what they were")
	}
	pushLeftNothing(t, e)
}

// TestPushKilled: a killed push leaves the store to others at once, and its directory to the next transfer.
func TestPushKilled(t *testing.T) {
	e := withImage(t, env.Fresh(t))
	var stderr bytes.Buffer
	pid := 0
	stalled(t, e, func(c *harness.Cmd) {
		x := c.Exec(context.Background())
		x.SysProcAttr.Setpgid, x.Stderr = true, &stderr
		if err := x.Start(); err != nil {
			t.Fatal(err)
		}
		pid = x.Process.Pid
		t.Cleanup(func() { _ = x.Wait() })
	})
	e.Proa("tag", image, "localhost/while:1").OK(t) // it holds no lock of the store
	if err := syscall.Kill(-pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	reg := harness.StartRegistry(t, "", "")
	push(e, "-q", image, reg.Ref("x:1")).OK(t)
	pushLeftNothing(t, e)
}
