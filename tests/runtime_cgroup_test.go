package tests

import (
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"

	"github.com/proa-containers/proa/tests/harness"
)

// TestRuntimeDelegatedCgroup: without root, proa-runtime makes a container's cgroup beside its caller's, where that is
// delegated, and everything that needs a cgroup works.
func TestRuntimeDelegatedCgroup(t *testing.T) {
	harness.Requires(t, "root", "unshare", "setpriv")
	d := env.Delegate(t)
	r := runtimeAs(t, &ociRuntime{as: d.Command, spec: []string{"--rootless"}})
	base := "/" + filepath.Base(d.Dir) + "/"
	c := r.container(t, nil, "sleep", "1000")
	c.create()
	pid := c.state().Pid
	equal(t, "cgroup of the init", cgroupOf(t, pid), base+c.id)
	c.do("start").OK(t)
	inContainer(t, c, pid)
	c.do("delete", "--force").OK(t)
	equal(t, "cgroups left", strings.Join(d.Cgroups(t), " "), "")

	c = r.container(t, func(s *specs.Spec) { s.Linux.CgroupsPath = "deep/er/" + s.Hostname }, "sleep", "1000")
	c.create()
	equal(t, "cgroup of a relative path", cgroupOf(t, c.state().Pid), base+"deep/er/proa")
	c.do("delete", "--force").OK(t)
	equal(t, "cgroups left", strings.Join(d.Cgroups(t), " "), "")

	limit := int64(10)
	c = r.container(t, func(s *specs.Spec) { s.Linux.Resources = &specs.LinuxResources{Pids: &specs.LinuxPids{Limit: &limit}} }, "true")
	given, err := os.ReadFile(filepath.Join(d.Dir, "cgroup.controllers"))
	if err != nil {
		t.Fatal(err)
	}
	if slices.Contains(strings.Fields(string(given)), "pids") {
		c.do("run").OK(t)
	} else if res := c.do("run").Run(t); res.Code != 1 || !strings.Contains(res.Stderr, "no controller pids") {
		t.Errorf("a limit without its controller: exit code %d: %s", res.Code, res.Stderr)
	}
	equal(t, "cgroups left", strings.Join(d.Cgroups(t), " "), "")
}

// TestRuntimeSystemdCgroup: with --systemd-cgroup the user's systemd makes the cgroup, as that of a scope.
func TestRuntimeSystemdCgroup(t *testing.T) {
	e := env.Session(t)
	r := runtimeAs(t, &ociRuntime{as: e.Command, spec: []string{"--rootless"}}, "--systemd-cgroup")
	c := r.container(t, nil, "sleep", "1000")
	c.create()
	c.do("start").OK(t)
	pid := c.state().Pid
	if own, scope := cgroupOf(t, pid), "/user@"+strconv.Itoa(e.UID)+".service/user.slice/proa-"+c.id+".scope"; !strings.HasSuffix(own, scope) {
		t.Errorf("the container's cgroup is %q, not a scope of the user's systemd", own)
	}
	inContainer(t, c, pid)
	own := cgroupOf(t, pid)
	c.do("delete", "--force").OK(t)
	if _, err := os.Stat("/sys/fs/cgroup" + own); !os.IsNotExist(err) {
		t.Errorf("the cgroup is left: %v", err)
	}
}

// inContainer tries what acts on a running container by its cgroup.
func inContainer(t *testing.T, c *container, pid int) {
	t.Helper()
	own := cgroupOf(t, pid)
	seen := c.r.command(c.dir, c.r.path, "exec", c.id, "sh", "-c", `while read line; do echo "$line"; done < /proc/self/cgroup`).OK(t).Stdout
	if !slices.Contains(strings.Split(seen, "\n"), "0::"+own) && !slices.Contains(strings.Split(seen, "\n"), "0::/") {
		t.Errorf("exec is in %s", seen)
	}
	c.do("pause").OK(t)
	equal(t, "the status", string(c.state().Status), "paused")
	c.do("resume").OK(t)
	equal(t, "the status", string(c.state().Status), string(specs.StateRunning))
	equal(t, "the processes", strings.TrimSpace(c.do("ps", "--format", "json").OK(t).Stdout), "["+strconv.Itoa(pid)+"]")
	if out := c.do("events", "--stats").OK(t).Stdout; !strings.Contains(out, `"type":"stats"`) {
		t.Errorf("events prints %s", out)
	}
}
