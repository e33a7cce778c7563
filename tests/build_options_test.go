package tests

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/proa-containers/proa/tests/harness"
)

// builder is a user with the image base, and a context with two files.
func builder(t testing.TB, dockerfile string) (e *harness.Env, dir string) {
	e = withImage(t, env.Fresh(t))
	e.Proa("build", "-q", "-t", "base", "-").OKWith(t, "FROM "+image+"\n")
	b := &built{file: dockerfile, files: map[string]string{"a": "A", "d/x": "X"}}
	return e, b.writeContext(t, e)
}

// cat is a file of an image.
func catIn(t testing.TB, e *harness.Env, image, file string) string {
	t.Helper()
	return e.Proa("run", "--rm", "--network=none", image, "cat", file).OK(t).Out()
}

func TestBuildCache(t *testing.T) {
	e, dir := builder(t, "FROM base\nRUN echo 1 > /1\nCOPY a /a\nRUN echo 2 > /2\nCOPY d /d\n")
	steps := func(args ...string) (cached int) {
		t.Helper()
		r := e.Proa(append(append([]string{"build", "--progress=plain", "-t", "x"}, args...), dir)...).OK(t)
		return strings.Count(r.Stderr, " CACHED") - 1 // FROM is one
	}
	equal(t, "the first time", fmt.Sprint(steps()), "0")
	id := e.Proa("build", "-q", dir).OK(t).Out()
	equal(t, "the second time", fmt.Sprint(steps()), "4")
	e.WriteFile(t, filepath.Join(dir, "d/x"), "changed", 0o644)
	equal(t, "with the last file changed", fmt.Sprint(steps()), "3")
	equal(t, "what was copied", catIn(t, e, "x", "/d/x"), "changed")
	e.WriteFile(t, filepath.Join(dir, "d/x"), "X", 0o644)
	equal(t, "with the file as it was", e.Proa("build", "-q", dir).OK(t).Out(), id)
	e.WriteFile(t, filepath.Join(dir, "a"), "changed", 0o644)
	equal(t, "with an early file changed", fmt.Sprint(steps()), "1")
	equal(t, "--no-cache", fmt.Sprint(steps("--no-cache")), "0")
	equal(t, "after --no-cache", fmt.Sprint(steps()), "4")
	if err := os.Chmod(filepath.Join(dir, "a"), 0o600); err != nil {
		t.Fatal(err)
	}
	equal(t, "with a mode changed", fmt.Sprint(steps()), "1")
	e.Proa("system", "check").OK(t)
}

func TestBuildPrune(t *testing.T) {
	e, dir := builder(t, "FROM base\nRUN --mount=type=cache,target=/c,id=prune echo 1 > /c/1\nRUN dd if=/dev/zero of=/big bs=1M count=3\n")
	e.Proa("build", "-q", "-o", "type=tar,dest=/dev/null", dir).OK(t)
	equal(t, "with everything young", e.Proa("builder", "prune", "--filter", "until=1h").OK(t).Out(), "Total reclaimed space: 0B")
	equal(t, "with everything kept", e.Proa("builder", "prune", "--keep-storage", "1g").OK(t).Out(), "Total reclaimed space: 0B")
	if out := e.Proa("buildx", "prune").OK(t).Out(); !strings.Contains(out, "3.1") || !strings.HasSuffix(out, "MB") {
		t.Errorf("pruned: %s, want 3.1 MB", out)
	}
	mounts := filepath.Join(e.Home, ".local/share/containers/storage/proa-build/mount")
	if left, err := os.ReadDir(mounts); err != nil || len(left) != 1 {
		t.Errorf("cache mounts after a prune: %v %v", left, err)
	}
	e.Proa("builder", "prune", "--all").OK(t)
	if left, err := os.ReadDir(mounts); err != nil || len(left) != 0 {
		t.Errorf("cache mounts after prune --all: %v %v", left, err)
	}
	equal(t, "the base stays", e.Proa("run", "--rm", "--network=none", "base", "echo", "ok").OK(t).Out(), "ok")
	refused(t, e.Proa("builder", "prune", "--filter", "label=x"), 125, "until=")
	refused(t, e.Proa("builder", "prune", "--keep-storage", "much"), 125, "much")
}

func TestBuildOutputs(t *testing.T) {
	e, dir := builder(t, "FROM base\nCOPY --chown=alice d /d\nRUN ln /d/x /d/same\n")
	out := e.TempDir(t)
	file := func(name string) string { return filepath.Join(out, name) }
	e.Proa("build", "-q", "-o", file("local"), dir).OK(t)
	equal(t, "local", e.Command("cat", file("local/d/same")).OK(t).Out(), "X")
	equal(t, "whose the files are", e.Command("stat", "-c", "%U", file("local/d/x")).OK(t).Out(), e.Name)
	iid, meta := file("iid"), file("meta")
	id := e.Proa("build", "-q", "-t", "one", "-t", "two:v2", "--iidfile", iid, "--metadata-file", meta, dir).OK(t).Out()
	equal(t, "--iidfile", e.Command("cat", iid).OK(t).Out(), id)
	var doc map[string]string
	if err := json.Unmarshal([]byte(e.Command("cat", meta).OK(t).Stdout), &doc); err != nil || doc["containerimage.config.digest"] != id || doc["image.name"] != "localhost/one:latest,localhost/two:v2" {
		t.Errorf("--metadata-file: %v %v", doc, err)
	}
	equal(t, "the second name", e.Proa("image", "inspect", "-f", "{{.ID}}", "two:v2").OK(t).Out(), id)
	for _, kind := range []string{"docker", "oci"} {
		tar := file(kind + ".tar")
		e.Proa("build", "-q", "-t", "kept/"+kind+":1", "-o", "type="+kind+",dest="+tar, dir).OK(t)
		other := env.Fresh(t)
		loaded := other.Proa("load", "-i", tar).OK(t).Out()
		if !strings.Contains(loaded, "kept/"+kind+":1") {
			t.Errorf("loaded from %s: %s", kind, loaded)
		}
		equal(t, "the image of "+kind, catIn(t, other, "localhost/kept/"+kind+":1", "/d/x"), "X")
	}
	e.Command("sh", "-c", "mkdir $0 && tar -xf $1 -C $0", file("layout"), file("oci.tar")).OK(t)
	of := e.Proa("build", "-q", "--build-context", "lay=oci-layout://"+file("layout")+":localhost/kept/oci:1", "-").OKWith(t, "FROM lay\nRUN cat /d/same > /got\n").Out()
	equal(t, "on an OCI layout", catIn(t, e, of, "/got"), "X")
	if got := e.Proa("build", "-q", "-o", "-", dir).OK(t).Stdout; !strings.Contains(got, "ustar") {
		t.Error("-o - writes no tar archive")
	}
	for _, o := range []string{"type=local", "type=registry", "type=none,dest=x", "type=image,dest=x", "type=tar,compression=gzip"} {
		refused(t, e.Proa("build", "-o", o, dir), 125, o)
	}
}

// TestBuildInterop: other tools read the image, which checks every digest in it, in the format that was asked for last.
func TestBuildInterop(t *testing.T) {
	harness.Requires(t, "skopeo", "newuidmap")
	e, dir := builder(t, "FROM base\nRUN mkdir -p /d/e && echo 1 > /d/e/1 && ln /d/e/1 /d/same && rm -r /home && chown 5:6 /d && mkfifo /d/fifo\nRUN rm -r /d/e && mkdir /d/e && echo 2 > /d/e/2\nCOPY --link a /linked/\n")
	conf := e.WriteFile(t, filepath.Join(e.TempDir(t), "storage.conf"), fmt.Sprintf(
		"[storage]\ndriver = \"overlay\"\nrunroot = %q\ngraphroot = %q\n", e.Runtime+"/containers", filepath.Join(e.Home, ".local/share/containers/storage")), 0o644)
	e.Extra = append(slices.Clone(e.Extra), "CONTAINERS_STORAGE_CONF="+conf)
	for format, want := range map[string]string{"docker": "application/vnd.docker.distribution.manifest.v2+json", "oci": "application/vnd.oci.image.manifest.v1+json"} {
		e.Proa("build", "-q", "--format", format, "-t", "made", dir).OK(t)
		source := "containers-storage:localhost/made:latest"
		if raw := e.Command("skopeo", "inspect", "--raw", source).OK(t).Stdout; !strings.Contains(raw, want) {
			t.Errorf("--format %s makes %s", format, raw)
		}
		tar := filepath.Join(e.TempDir(t), "out.tar")
		e.Command("skopeo", "copy", "-q", source, format+"-archive:"+tar+":localhost/copy:1").OK(t)
		other := env.Fresh(t)
		other.Proa("load", "-i", tar).OK(t)
		equal(t, format+" copied and loaded", other.Proa("run", "--rm", "--network=none", "localhost/copy:1", "sh", "-c",
			"cd /d; cat same e/* /linked/a; stat -c %u:%g .; ls -d /home 2>/dev/null || echo gone; test -p fifo && echo fifo").OK(t).Out(), "1\n2\nA5:6\ngone\nfifo")
	}
}

func TestBuildReproducible(t *testing.T) {
	e, dir := builder(t, "FROM base\nRUN echo 1 > /1 && mkdir /made\nCOPY . /c\nWORKDIR /w\n")
	build := func(e *harness.Env, args ...string) string {
		t.Helper()
		return e.Proa(append(append([]string{"build", "-q"}, args...), dir)...).OK(t).Out()
	}
	first := build(e, "--source-date-epoch", "1000000000")
	equal(t, "built anew", build(e, "--no-cache", "--timestamp", "1000000000"), first)
	other := withImage(t, env.Fresh(t))
	other.Proa("build", "-q", "-t", "base", "-").OKWith(t, "FROM "+image+"\n")
	other.Extra = append(slices.Clone(other.Extra), "SOURCE_DATE_EPOCH=1000000000")
	equal(t, "built by another", build(other), first)
	if build(e) == first {
		t.Error("built with the times as they are, it is the same image")
	}
	equal(t, "created", e.Proa("image", "inspect", "-f", "{{.Created}}", first).OK(t).Out(), "2001-09-09 01:46:40 +0000 UTC")
	equal(t, "the time of a file", e.Proa("run", "--rm", "--network=none", first, "stat", "-c", "%Y", "/1").OK(t).Out(), "1000000000")
}

func TestBuildInputs(t *testing.T) {
	e, dir := builder(t, "FROM base\nCOPY d/x /x\n")
	want := func(what string, c *harness.Cmd, content string) {
		t.Helper()
		id := c.OK(t).Out()
		equal(t, what, catIn(t, e, id, "/x"), content)
	}
	pipe := func(text []byte, args ...string) *harness.Cmd {
		c := e.Proa(append([]string{"build", "-q"}, args...)...)
		c.Stdin = bytes.NewReader(text)
		return c
	}
	want("a Dockerfile on standard input", pipe([]byte("FROM base\nRUN echo in > /x\n"), "-"), "in")
	want("a Dockerfile on standard input and a context", pipe([]byte("FROM base\nCOPY a /x\n"), "-f", "-", dir), "A")
	want("--file in the context", e.Proa("build", "-q", "-f", e.WriteFile(t, filepath.Join(dir, "sub/File"), "FROM base\nCOPY sub/File /x\n", 0o644), dir), "FROM base\nCOPY sub/File /x")
	tar := harness.Layer(harness.Entry{Name: "Dockerfile", Content: "FROM base\nCOPY y /x\n"}, harness.Entry{Name: "Other", Content: "FROM base\nCOPY z /x\n"},
		harness.Entry{Name: "y", Content: "Y"}, harness.Entry{Name: "z", Content: "Z"}, harness.Entry{Name: "../outside", Content: "no"})
	want("a tar archive", pipe(tar, "-"), "Y")
	want("a compressed tar archive and --file", pipe(harness.Gzip(tar), "-f", "Other", "-"), "Z")
	containerfile := e.TempDir(t)
	e.WriteFile(t, filepath.Join(containerfile, "Containerfile"), "FROM base\nRUN echo cf > /x\n", 0o644)
	want("a Containerfile", e.Proa("build", "-q", containerfile), "cf")
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/Dockerfile":
			fmt.Fprint(w, "FROM base\nCOPY a /x\n")
		case "/alone":
			fmt.Fprint(w, "FROM base\nRUN echo url > /x\n")
		case "/c.tar":
			w.Write(tar)
		case "/file":
			w.Header().Set("Last-Modified", "Sun, 09 Sep 2001 01:46:40 GMT")
			fmt.Fprint(w, "remote")
		default:
			http.NotFound(w, r)
		}
	}))
	defer srv.Close()
	want("--file of a URL", e.Proa("build", "-q", "-f", srv.URL+"/Dockerfile", dir), "A")
	want("a Dockerfile of a URL", e.Proa("build", "-q", srv.URL+"/alone"), "url")
	want("a context of a URL", e.Proa("build", "-q", srv.URL+"/c.tar"), "Y")
	add := func(line string) *harness.Cmd { return pipe([]byte("FROM base\n"+line+"\n"), "-") }
	want("ADD of a URL", add("ADD "+srv.URL+"/file /x"), "remote")
	want("ADD with a checksum", add("ADD --checksum="+harness.Digest([]byte("remote"))+" --chmod=644 "+srv.URL+"/file /x"), "remote")
	refused(t, add("ADD --checksum="+harness.Digest([]byte("other"))+" "+srv.URL+"/file /x"), 1, harness.Digest([]byte("remote")), "expected")
	refused(t, add("ADD "+srv.URL+"/none /x"), 1, "/none", "404")
	refused(t, e.Proa("build", "--memory", "1g", dir), 125, "--memory is not supported yet")
	refused(t, e.Proa("build", "--cache-from=type=local,src=x", dir), 125, "--cache-from is not supported yet")
	refused(t, e.Proa("build", "--sbom=true", dir), 125, "attestations")
	refused(t, e.Proa("build", "--layers=false", dir), 125, "--squash")
	e.Proa("build", "-q", "--provenance=false", "--sbom", "false", "--rm", "--layers", dir).OK(t)
	refused(t, e.Proa("build", "--taget", "x", dir), 125, "taget")
	for name, c := range map[string][]string{
		"no such directory": {"build", dir + "/none"}, "no Dockerfile": {"build", dir + "/d"}, "no context": {"build"}, "two contexts": {"build", dir, dir},
		"a file": {"build", dir + "/a"}, "twice standard input": {"build", "-f", "-", "-"}, "no such --file": {"build", "-f", "none", dir},
		"--secret": {"build", "--secret", "src=a", dir}, "--secret of nothing": {"build", "--secret", "id=a,src=/none", dir}, "--build-arg": {"build", "--build-arg", "=x", dir},
		"--add-host": {"build", "--add-host", "x", dir}, "--network": {"build", "--network", "web", dir}, "--ulimit": {"build", "--ulimit", "x", dir}, "--tag": {"build", "-t", "UPPER", dir},
		"--progress": {"build", "--progress", "loud", dir}, "--pull": {"build", "--pull=often", dir}, "--platform": {"build", "--platform", "linux/amd64,linux/arm64", dir},
		"--memory": {"build", "--memory", "1g", dir}, "--cache-to": {"build", "--cache-to", "type=inline", dir}, "--ssh": {"build", "--ssh", "default", dir}, "--format": {"build", "--format", "zip", dir},
	} {
		r := e.Proa(c...).Run(t)
		if r.Code != 125 && r.Code != 1 || r.Stdout != "" || !strings.Contains(r.Stderr, "proa: ") {
			t.Errorf("%s: exit status %d\n%s%s", name, r.Code, r.Stdout, r.Stderr)
		}
	}
}

func TestBuildGit(t *testing.T) {
	harness.Requires(t, "git", "newuidmap")
	e, _ := builder(t, "")
	repo := filepath.Join(e.TempDir(t), "repo.git")
	script := `set -e; export GIT_AUTHOR_NAME=a GIT_AUTHOR_EMAIL=a@b GIT_COMMITTER_NAME=a GIT_COMMITTER_EMAIL=a@b
git init -q -b main "$0"; cd "$0"; printf 'FROM base\nCOPY x /x\n' > Dockerfile; echo one > x; mkdir sub; printf 'FROM base\nRUN echo sub > /x\n' > sub/Dockerfile
git add .; git commit -qm one; git tag v1; echo two > x; git commit -qam two; git update-server-info`
	e.Command("bash", "-c", script, repo).OK(t)
	srv := httptest.NewServer(http.StripPrefix("/", http.FileServer(http.Dir(filepath.Join(repo, "..")))))
	defer srv.Close()
	url := srv.URL + "/repo.git/.git"
	for fragment, want := range map[string]string{"": "two", "#v1": "one", "#main:sub": "sub"} {
		id := e.Proa("build", "-q", url+fragment).Run(t)
		if id.Code != 0 {
			t.Errorf("%s: %s", fragment, id.Stderr)
			continue
		}
		equal(t, "git "+fragment, catIn(t, e, id.Out(), "/x"), want)
	}
}

func TestBuildRegistry(t *testing.T) {
	reg := harness.StartRegistry(t, "", "")
	e := env.Fresh(t)
	reg.Push(t, "b:1", baseImage(t))
	dir := e.TempDir(t)
	e.WriteFile(t, filepath.Join(dir, "Dockerfile"), "FROM "+reg.Ref("b:1")+"\nRUN echo 1 > /1\n", 0o644)
	refused(t, e.Proa("build", "--pull=never", dir), 1, "b:1", "never")
	id := e.Proa("build", "-q", "--tls-verify=false", dir).OK(t).Out()
	equal(t, "on a pulled image", catIn(t, e, id, "/1"), "1")
	equal(t, "--pull", e.Proa("build", "-q", "--tls-verify=false", "--pull", dir).OK(t).Out(), id)
}

func TestBuildAgent(t *testing.T) {
	e, _ := builder(t, "")
	socket := filepath.Join(e.TempDir(t), "agent")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if err := os.Chmod(socket, 0o666); err != nil {
		t.Fatal(err)
	}
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			fmt.Fprint(c, "agent\n")
			c.Close()
		}
	}()
	c := e.Proa("build", "-q", "--ssh", "default="+socket, "-")
	id := c.OKWith(t, "FROM base\nRUN --mount=type=ssh nc -f local:$SSH_AUTH_SOCK </dev/null > /f 2>&1 || test -S $SSH_AUTH_SOCK && echo socket > /f\n").Out()
	equal(t, "the agent's socket", catIn(t, e, id, "/f"), "socket")
}

// TestBuildInterrupted: a build that is ended, in whatever way, leaves nothing that runs, and the next goes on from the cache.
func TestBuildInterrupted(t *testing.T) {
	e, dir := builder(t, "FROM base\nRUN echo 1 > /1\nRUN echo going; sleep 1000\n")
	for _, sig := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM, syscall.SIGKILL} {
		ctx, cancel := context.WithCancel(context.Background())
		defer cancel()
		cmd := e.Proa("build", "--progress=plain", dir).Exec(ctx)
		var said bytes.Buffer
		pipe, err := cmd.StderrPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		b := make([]byte, 4096)
		for !strings.Contains(said.String(), " going") {
			n, err := pipe.Read(b)
			said.Write(b[:n])
			if err != nil {
				t.Fatalf("the build ended: %s", said.String())
			}
		}
		if err := cmd.Process.Signal(sig); err != nil {
			t.Fatal(err)
		}
		rest := make(chan struct{})
		go func() {
			said.ReadFrom(pipe)
			close(rest)
		}()
		<-rest
		err = cmd.Wait()
		if _, ok := err.(*exec.ExitError); !ok {
			t.Errorf("%v: the build ended with %v", sig, err)
		}
		if sig != syscall.SIGKILL {
			equal(t, sig.String()+": exit status", fmt.Sprint(harness.ExitCode(cmd.ProcessState)), "130")
		}
		harness.Eventually(t, "the step's processes are gone", func() bool {
			return !slices.ContainsFunc(e.Processes(), func(p harness.Process) bool { return e.Owns(p) && strings.Contains(p.String(), "sleep 1000") })
		})
	}
	e.WriteFile(t, filepath.Join(dir, "Dockerfile"), "FROM base\nRUN echo 1 > /1\nRUN echo 2 > /2\n", 0o644)
	r := e.Proa("build", "--progress=plain", dir).OK(t)
	equal(t, "cached steps", fmt.Sprint(strings.Count(r.Stderr, " CACHED")), "2")
	builtNothingElse(t, e)
	e.Proa("system", "check").OK(t)
}

// TestBuildParallel: stages that do not need each other run at once, and so do builds.
func TestBuildParallel(t *testing.T) {
	e, _ := builder(t, "")
	// Each of the two waits for the other through a cache mount; one after the other they would wait for ever.
	file := "FROM base AS one\nRUN --mount=type=cache,target=/c,id=meet touch /c/one; until test -e /c/two; do sleep 0.05; done; touch /1\n" +
		"FROM base AS two\nRUN --mount=type=cache,target=/c,id=meet touch /c/two; until test -e /c/one; do sleep 0.05; done; touch /2\n" +
		"FROM base\nCOPY --from=one /1 /\nCOPY --from=two /2 /\n"
	e.Proa("build", "-q", "-").OKWith(t, file)
	done := make(chan harness.Result)
	for n := range 4 {
		go func() {
			c := e.Proa("build", "-q", "-t", fmt.Sprint("p", n), "-")
			c.Stdin = strings.NewReader("FROM base\nRUN echo same > /f\nRUN sleep 0.1; echo same >> /f\nLABEL n=" + fmt.Sprint(n%2) + "\n")
			done <- c.Run(t)
		}()
	}
	ids := map[string]bool{}
	for range 4 {
		r := <-done
		if r.Code != 0 {
			t.Errorf("a build of four at once: %s", r.Stderr)
		}
		ids[r.Out()] = true
	}
	equal(t, "images of four builds of two kinds", fmt.Sprint(len(ids)), "2")
	e.Proa("system", "check").OK(t)
}

func TestBuildQuestions(t *testing.T) {
	e, dir := builder(t, "FROM base AS one\nARG A=1\nFROM one as two\ncmd true\n")
	refused2 := e.Proa("build", "--check", dir).Run(t)
	if refused2.Code != 1 || !strings.Contains(refused2.Stdout, "ConsistentInstructionCasing") {
		t.Errorf("--check: %d %s%s", refused2.Code, refused2.Stdout, refused2.Stderr)
	}
	if out := e.Proa("build", "--call=targets", dir).OK(t).Out(); !strings.Contains(out, "one") || !strings.Contains(out, "two") {
		t.Errorf("--call=targets: %s", out)
	}
	if out := e.Proa("build", "--call=outline", dir).OK(t).Out(); !strings.Contains(out, "A") {
		t.Errorf("--call=outline: %s", out)
	}
	for _, words := range [][]string{{"buildx", "build"}, {"builder", "build"}, {"image", "build"}} {
		e.Proa(append(words, "-q", dir)...).OK(t)
	}
	if got := e.Proa("build", "--progress=rawjson", "--no-cache", dir).OK(t).Stderr; !json.Valid([]byte(lines(got)[0])) {
		t.Errorf("--progress=rawjson: %s", got)
	}
}

// TestBuildKilled kills builds at moments that go through all of one: the store is sound each time, and the next build works.
func TestBuildKilled(t *testing.T) {
	e, dir := builder(t, "FROM base AS one\nRUN echo 1 > /1\nCOPY . /c\nFROM base\nRUN --mount=type=cache,target=/k echo 2 > /k/2\nCOPY --link --from=one /c /c\nRUN rm -r /c/d && echo 3 > /3\n")
	const kills = 12
	for n := range kills {
		cmd := e.Proa("build", "--no-cache", "-q", "-t", "killed", dir).Exec(context.Background())
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		// Each time a little later: how late counts for nothing but for where it dies.
		time.Sleep(time.Duration(n*n) * 3 * time.Millisecond)
		_ = cmd.Process.Kill() // it may have ended
		_ = cmd.Wait()
	}
	harness.Eventually(t, "no step runs", func() bool {
		return !slices.ContainsFunc(e.Processes(), func(p harness.Process) bool { return e.Owns(p) && strings.Contains(p.String(), "reap-session") })
	})
	id := e.Proa("build", "-q", "-t", "killed", dir).OK(t).Out()
	equal(t, "the image", catIn(t, e, id, "/3")+catIn(t, e, id, "/c/a"), "3A")
	e.Proa("system", "check").OK(t)
	builtNothingElse(t, e)
	e.Proa("rmi", "-f", "killed").OK(t)
	e.Proa("builder", "prune").OK(t)
	e.Proa("system", "check", "--max", "0").OK(t)
}
