package tests

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/proa-containers/proa/tests/harness"
)

const suiteModule = "github.com/opencontainers/runtime-tools"

// suite is the OCI runtime-tools validation suite: each case is a program that drives the runtime named by RUNTIME and
// reports in TAP.
type suite struct {
	dir   string // the programs, and what they want in their working directory
	cases []string
}

// TestValidation runs every case of the suite as root, and again as the root of proa's user namespace.
func TestValidation(t *testing.T) {
	harness.Requires(t, "go", "tar", "unshare")
	s := buildSuite(t)
	if os.Getuid() == 0 {
		t.Run("root", func(t *testing.T) { s.run(t, newRuntime(t, true)) })
	} else {
		t.Log("the cases that want root are left out: run the tests as root")
	}
	t.Run("rootless", func(t *testing.T) { s.run(t, newRuntime(t, false)) })
}

// buildSuite builds the cases at the version of go.mod, with the versions that module wants of its own dependencies:
// they are not ours. Go's build cache makes that quick after the first time.
func buildSuite(t *testing.T) *suite {
	t.Helper()
	list := exec.Command("go", "mod", "download", "-json", suiteModule)
	list.Dir = env.Root
	out, err := list.Output()
	if err != nil {
		t.Fatalf("find the validation suite: %v: %s", err, out)
	}
	var module struct{ Dir string }
	if err := json.Unmarshal(out, &module); err != nil {
		t.Fatal(err)
	}
	rootfs := "rootfs-" + runtime.GOARCH + ".tar.gz"
	harness.Requires(t, filepath.Join(module.Dir, rootfs))
	src, s := filepath.Join(env.TempDir(t), "module"), &suite{dir: env.TempDir(t)}
	if err := os.CopyFS(src, os.DirFS(module.Dir)); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("go", "build", "-mod=mod", "-trimpath", "-ldflags=-s -w", "-tags", "netgo,osusergo", "-o", s.dir+"/", "./validation/...", "./cmd/runtimetest")
	cmd.Dir, cmd.Env = src, append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=-buildvcs=false")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("build the validation suite: %v: %s", err, out)
	}
	programs, err := os.ReadDir(s.dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range programs {
		if p.Name() != "runtimetest" {
			s.cases = append(s.cases, p.Name())
		}
	}
	if len(s.cases) < 50 {
		t.Fatalf("the validation suite has only the cases %v", s.cases)
	}
	b, err := os.ReadFile(filepath.Join(module.Dir, rootfs))
	if err != nil {
		t.Fatal(err)
	}
	env.WriteFile(t, filepath.Join(s.dir, rootfs), string(b), 0o644)
	return s
}

// ociRuntime is proa-runtime with a state directory of the test's own.
type ociRuntime struct {
	root bool                              // the host's root
	as   func(args ...string) *harness.Cmd // whose command line it is
	path string                            // a script, since RUNTIME takes no arguments
	tmp  string                            // where bundles are made
	spec []string                          // options of the spec command
}

// newRuntime is run by the host's root, or by root in proa's user namespace.
func newRuntime(t *testing.T, root bool) *ociRuntime {
	t.Helper()
	if root {
		return runtimeAs(t, &ociRuntime{root: true, as: env.RootCommand})
	}
	return runtimeAs(t, &ociRuntime{as: func(args ...string) *harness.Cmd {
		return env.Proa(append([]string{"unshare"}, args...)...)
	}})
}

func runtimeAs(t *testing.T, r *ociRuntime, options ...string) *ociRuntime {
	t.Helper()
	dir := env.TempDir(t)
	r.path, r.tmp = filepath.Join(dir, "runtime"), filepath.Join(dir, "tmp")
	if err := env.MkdirUser(r.tmp, 0o755); err != nil {
		t.Fatal(err)
	}
	script := fmt.Sprintf("#!/bin/sh\nexec %s/bin/proa-runtime --root %s/state %s \"$@\"\n", env.Prefix, dir, strings.Join(options, " "))
	env.WriteFile(t, r.path, script, 0o755)
	t.Cleanup(func() { r.clean(t) })
	return r
}

func (r *ociRuntime) command(dir string, args ...string) *harness.Cmd {
	c := r.as(args...)
	c.Dir, c.Env, c.Timeout = dir, []string{"RUNTIME=" + r.path, "TMPDIR=" + r.tmp}, 2*time.Minute
	return c
}

// clean deletes what the cases have left, and wants nothing to be left of it.
func (r *ociRuntime) clean(t *testing.T) {
	for _, id := range strings.Fields(r.command("/", r.path, "list", "-q").OK(t).Stdout) {
		r.command("/", r.path, "delete", "--force", id).OK(t)
	}
	if mounts, err := os.ReadFile("/proc/self/mounts"); err != nil || strings.Contains(string(mounts), r.tmp) {
		t.Errorf("mounts are left beneath %s: %s %v", r.tmp, mounts, err)
	}
	for _, pattern := range []string{"/sys/fs/cgroup/cgrouptest", "/sys/fs/cgroup/testdir", "/sys/fs/cgroup/*/cgrouptest", "/sys/fs/cgroup/*/testdir"} {
		if left, _ := filepath.Glob(pattern); len(left) > 0 {
			t.Errorf("cgroups are left: %v", left)
		}
	}
}

// run runs the cases, several at a time since most of their time they sleep, and judges them.
func (s *suite) run(t *testing.T, r *ociRuntime) {
	results := make([]harness.Result, len(s.cases))
	var wg sync.WaitGroup
	slots := make(chan struct{}, 6)
	var cgroups sync.Mutex // these cases share the names of their cgroups
	for i, name := range s.cases {
		wg.Add(1)
		go func() {
			defer wg.Done()
			if strings.HasPrefix(name, "linux_cgroups_") || strings.HasPrefix(name, "delete_") {
				cgroups.Lock()
				defer cgroups.Unlock()
			}
			slots <- struct{}{}
			defer func() { <-slots }()
			results[i] = try(r.command(s.dir, filepath.Join(s.dir, name)))
		}()
	}
	wg.Wait()
	table := exceptions(r)
	for i, name := range s.cases {
		t.Run(name, func(t *testing.T) { judge(t, r, table, name, results[i]) })
	}
}

// try runs a command that may fail, or hang, without ending the test.
func try(c *harness.Cmd) harness.Result {
	ctx, cancel := context.WithTimeout(context.Background(), c.Timeout)
	defer cancel()
	x := c.Exec(ctx)
	var stdout, stderr bytes.Buffer
	x.Stdout, x.Stderr = &stdout, &stderr
	if err := x.Run(); err != nil {
		fmt.Fprintln(&stderr, err)
	}
	return harness.Result{Stdout: stdout.String(), Stderr: stderr.String(), Code: harness.ExitCode(x.ProcessState)}
}

// judge fails the test for each failure that no exception accounts for, and for each exception that is not needed.
func judge(t *testing.T, r *ociRuntime, table []exception, name string, res harness.Result) {
	failures := failures(name, res)
	for _, e := range table {
		if !slices.Contains(e.cases, name) {
			continue
		}
		n := len(failures)
		failures = slices.DeleteFunc(failures, func(f string) bool {
			return slices.ContainsFunc(e.points, func(p string) bool { return strings.Contains(f, p) })
		})
		switch {
		case n == len(failures) && !e.racy:
			t.Errorf("the exception is no longer needed: %s", e.reason)
		case n != len(failures):
			t.Logf("not held against the runtime: %s", e.reason)
		}
		if e.instead != nil {
			t.Run("instead", func(t *testing.T) { e.instead(t, r) })
		}
	}
	if len(failures) > 0 {
		t.Errorf("%s\nstdout: %s\nstderr: %s", strings.Join(failures, "\n"), res.Stdout, res.Stderr)
	}
}

// silent cases report failures only, and then by a diagnostic without a test point.
var silent = []string{
	"hooks", "poststart", "poststart_fail", "poststop", "poststop_fail", "prestart", "prestart_fail",
	"process_capabilities_fail", "process_rlimits_fail",
}

var (
	point      = regexp.MustCompile(`^\s*(not )?ok\b[ \d]*-? ?(.*)$`)
	diagnostic = regexp.MustCompile(`^\s*"error": "(.*)"`)
)

// failures reads the TAP of a case.
func failures(name string, res harness.Result) []string {
	var out, reported []string
	points := 0
	for _, line := range strings.Split(res.Stdout, "\n") {
		if m := point.FindStringSubmatch(line); m != nil {
			if !strings.Contains(strings.ToUpper(m[2]), "# SKIP") {
				points++
			}
			if m[1] != "" {
				out = append(out, "not ok: "+m[2])
			}
		} else if m := diagnostic.FindStringSubmatch(line); m != nil {
			reported = append(reported, m[1])
		}
	}
	if res.Code != 0 {
		out = append(out, fmt.Sprintf("exit status %d: %s", res.Code, strings.TrimSpace(res.Stderr)))
	}
	switch {
	case slices.Contains(silent, name):
		out = append(out, reported...)
	case points == 0 && len(out) == 0:
		out = append(out, "nothing was tested")
	}
	if strings.HasSuffix(name, "s_fail") && !strings.Contains(res.Stderr, "failed to create the container") {
		out = append(out, "the container was created")
	}
	return out
}
