package tests

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"

	"github.com/proa-containers/proa/tests/harness"
)

// These test clauses of the specification in place of cases of the validation suite that contradict it.

// container is a bundle, and the runtime's commands on it.
type container struct {
	t       *testing.T
	r       *ociRuntime
	id, dir string
}

func (r *ociRuntime) container(t *testing.T, change func(s *specs.Spec), args ...string) *container {
	t.Helper()
	c := &container{t, r, containerName(t), filepath.Join(r.tmp, containerName(t))}
	for _, dir := range []string{"", "rootfs", "rootfs/bin"} {
		if err := env.MkdirUser(filepath.Join(c.dir, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	harness.Requires(t, "/bin/busybox")
	sh, err := os.ReadFile("/bin/busybox")
	if err != nil {
		t.Fatal(err)
	}
	env.WriteFile(t, filepath.Join(c.dir, "rootfs/bin/busybox"), string(sh), 0o755)
	for _, name := range []string{"sh", "sleep", "true"} {
		symlink(t, "busybox", filepath.Join(c.dir, "rootfs/bin"), name)
	}
	r.command(c.dir, append([]string{r.path, "spec"}, r.spec...)...).OK(t)
	config := filepath.Join(c.dir, "config.json")
	b, err := os.ReadFile(config)
	if err != nil {
		t.Fatal(err)
	}
	s := &specs.Spec{}
	if err := json.Unmarshal(b, s); err != nil {
		t.Fatal(err)
	}
	s.Process.Terminal, s.Process.Args = false, args
	if change != nil {
		change(s)
	}
	if b, err = json.Marshal(s); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(config); err != nil {
		t.Fatal(err)
	}
	env.WriteFile(t, config, string(b), 0o644)
	t.Cleanup(func() { r.command("/", r.path, "delete", "--force", c.id).OK(t) })
	return c
}

// do runs a command of the runtime whose last argument is the container.
func (c *container) do(args ...string) *harness.Cmd {
	return c.r.command(c.dir, append(append([]string{c.r.path}, args...), c.id)...)
}

// create gives the container the standard output, which the runtime's caller would wait for, in a file.
func (c *container) create(args ...string) {
	c.t.Helper()
	script := `out=$1; shift; exec "$@" > "$out" 2>&1 < /dev/null`
	line := append([]string{"sh", "-c", script, "sh", filepath.Join(c.dir, "out"), c.r.path, "create"}, args...)
	if r := c.r.command(c.dir, append(line, c.id)...).Run(c.t); r.Code != 0 {
		c.t.Fatalf("create: exit code %d: %s", r.Code, c.file("out"))
	}
}

func (c *container) file(name string) string {
	b, err := os.ReadFile(filepath.Join(c.dir, name))
	if err != nil && !os.IsNotExist(err) {
		c.t.Fatal(err)
	}
	return string(b)
}

func (c *container) state() *specs.State {
	c.t.Helper()
	s := &specs.State{}
	if err := json.Unmarshal([]byte(c.do("state").OK(c.t).Stdout), s); err != nil {
		c.t.Fatal(err)
	}
	return s
}

func (c *container) awaitEnd() {
	c.t.Helper()
	harness.Eventually(c.t, "the container has ended", func() bool { return c.state().Status == specs.StateStopped })
}

func softLimit(t *testing.T, r *ociRuntime) {
	c := r.container(t, func(s *specs.Spec) {
		s.Process.Rlimits = []specs.POSIXRlimit{{Type: "RLIMIT_NOFILE", Soft: 300, Hard: 400}}
	}, "sh", "-c", "ulimit -Sn; ulimit -Hn")
	equal(t, "the limits", c.do("run").OK(t).Out(), "300\n400")
}

func unknownAnnotation(t *testing.T, r *ociRuntime) {
	c := r.container(t, func(s *specs.Spec) { s.Annotations = map[string]string{"org.example.unknown": ""} }, "true")
	c.create()
	if v, ok := c.state().Annotations["org.example.unknown"]; !ok || v != "" {
		t.Error("the state lacks the annotation")
	}
	c.do("start").OK(t)
	c.awaitEnd()
	c.do("delete").OK(t)
}

func pidFile(t *testing.T, r *ociRuntime) {
	c := r.container(t, nil, "sleep", "1000")
	c.create("--pid-file", "pid")
	equal(t, "the pid file", c.file("pid"), strconv.Itoa(c.state().Pid))
	c.do("start").OK(t)
	r.command(c.dir, r.path, "kill", c.id, "KILL").OK(t)
	c.awaitEnd()
	if res := r.command(c.dir, r.path, "kill", c.id, "KILL").Run(t); res.Code == 0 {
		t.Error("kill of a container that has ended succeeds")
	}
}

func killSignals(t *testing.T, r *ociRuntime) {
	for _, name := range []string{"TERM", "SIGUSR1", "12"} {
		c := r.container(t, nil, "sh", "-c", "trap 'echo caught; exit 0' TERM USR1 USR2; echo ready; while :; do sleep 1; done")
		c.create()
		c.do("start").OK(t)
		harness.Eventually(t, "the trap is set", func() bool { return c.file("out") == "ready\n" })
		r.command(c.dir, r.path, "kill", c.id, name).OK(t)
		c.awaitEnd()
		equal(t, "what the container says to "+name, c.file("out"), "ready\ncaught\n")
	}
}

func startNothing(t *testing.T, r *ociRuntime) {
	c := r.container(t, func(s *specs.Spec) { s.Process = nil })
	c.create()
	equal(t, "the status", string(c.state().Status), string(specs.StateCreated))
	if res := c.do("start").Run(t); res.Code == 0 || !strings.Contains(res.Stderr, "process") {
		t.Errorf("start without a process: exit code %d: %s", res.Code, res.Stderr)
	}
	c.do("delete", "--force").OK(t)
}

// appendTo is a hook that writes a line to a file of the bundle, after running a script with the state as its input.
func appendTo(dir, script string) specs.Hook {
	return specs.Hook{Path: "/bin/sh", Args: []string{"sh", "-c", "{ " + script + "; } >> " + filepath.Join(dir, "hooks")}, Env: []string{"PATH=/bin:/usr/bin"}}
}

func hookOrder(t *testing.T, r *ociRuntime) {
	dir := env.TempDir(t)
	if err := env.MkdirUser(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	two := func(name string) []specs.Hook {
		return []specs.Hook{appendTo(dir, "echo "+name+"1"), appendTo(dir, "echo "+name+"2")}
	}
	c := r.container(t, func(s *specs.Spec) {
		s.Hooks = &specs.Hooks{Prestart: two("prestart"), CreateRuntime: two("createRuntime"), Poststart: two("poststart"), Poststop: two("poststop")} //nolint:staticcheck // the deprecated ones too
	}, "true")
	called := func() string {
		b, err := os.ReadFile(filepath.Join(dir, "hooks"))
		if err != nil {
			t.Fatal(err)
		}
		return strings.Join(strings.Fields(string(b)), " ")
	}
	c.create()
	created := "prestart1 prestart2 createRuntime1 createRuntime2"
	equal(t, "hooks after create", called(), created)
	c.do("start").OK(t)
	equal(t, "hooks after start", called(), created+" poststart1 poststart2")
	c.awaitEnd()
	c.do("delete").OK(t)
	equal(t, "hooks after delete", called(), created+" poststart1 poststart2 poststop1 poststop2")
}

func poststartAfterExec(t *testing.T, r *ociRuntime) {
	dir := env.TempDir(t)
	if err := env.MkdirUser(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	c := r.container(t, func(s *specs.Spec) {
		s.Hooks = &specs.Hooks{Poststart: []specs.Hook{
			appendTo(dir, `pid=$(sed 's/.*"pid":\([0-9]*\).*/\1/'); tr '\0' ' ' < /proc/$pid/cmdline`),
		}}
	}, "sleep", "1000")
	c.create()
	c.do("start").OK(t)
	b, err := os.ReadFile(filepath.Join(dir, "hooks"))
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "the process the hook sees", strings.TrimSpace(string(b)), "sleep 1000")
}

func pidsLimit(t *testing.T, r *ociRuntime) {
	limit := int64(1000)
	c := r.container(t, func(s *specs.Spec) { s.Linux.Resources.Pids = &specs.LinuxPids{Limit: &limit} }, "sleep", "1000")
	c.create()
	own, err := os.ReadFile("/proc/" + strconv.Itoa(c.state().Pid) + "/cgroup")
	if err != nil {
		t.Fatal(err)
	}
	_, path, _ := strings.Cut(string(own), ":pids:")
	path, _, _ = strings.Cut(path, "\n")
	b, err := os.ReadFile(filepath.Join("/sys/fs/cgroup/pids", path, "pids.max"))
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "pids.max", strings.TrimSpace(string(b)), "1000")
	c.do("delete", "--force").OK(t)
	if _, err := os.Stat(filepath.Join("/sys/fs/cgroup/pids", path)); !os.IsNotExist(err) {
		t.Errorf("the cgroup is left: %v", err)
	}
}
