package tests

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/proa-containers/proa/tests/harness"
)

// cgroupOf is the cgroup v2 path of a process.
func cgroupOf(t testing.TB, pid int) string {
	t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/cgroup", pid))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(b)) {
		if path, ok := strings.CutPrefix(strings.TrimSpace(line), "0::"); ok {
			return path
		}
	}
	t.Fatalf("process %d is in no cgroup of version 2: %s", pid, b)
	return ""
}

// delegated is a fresh user in a delegated subtree, with the image. The first command makes the pause process, whose mount
// namespace the others join: what is mounted at /sys/fs/cgroup is decided by it.
func delegated(t *testing.T) (*harness.Env, *harness.Delegation) {
	t.Helper()
	harness.Requires(t, "root", "unshare", "setpriv")
	e := env.Fresh(t)
	d := e.Delegate(t)
	d.Proa("load", "-i", archive(t, e, "base.tar", baseImage(t).DockerArchive(image))).OK(t)
	return e, d
}

// sleepingPID is the pid of the one process that runs "sleep SECONDS", once it does: a detached exec is told of before its
// execve.
func sleepingPID(t testing.TB, e *harness.Env, seconds string) (pid int) {
	t.Helper()
	harness.Eventually(t, "one process sleeps "+seconds, func() bool {
		found := 0
		for _, p := range e.Processes() {
			if slices.Equal(p.Args, []string{"sleep", seconds}) {
				pid = p.PID
				found++
			}
		}
		return found == 1
	})
	return pid
}

// TestCgroupOfItsOwn: in a delegated subtree a container, and what is executed in it, has a cgroup of its own, which it
// sees as the root and which goes with it.
func TestCgroupOfItsOwn(t *testing.T) {
	e, d := delegated(t)
	seen := d.Proa("run", "--rm", "--network=none", image, "cat", "/proc/self/cgroup").OK(t).Out()
	if !slices.Contains(strings.Split(seen, "\n"), "0::/") {
		t.Errorf("the container sees its cgroup as %q, not as the root", seen)
	}
	id := d.Proa("run", "-d", "--network=none", "--name", "c", image, "sleep", "1000").OK(t).Out()
	init, monitor := pids(t, e, "c")
	base := "/" + filepath.Base(d.Dir)
	equal(t, "cgroup of the container", cgroupOf(t, init), base+"/proa/"+id)
	equal(t, "cgroup of the monitor", cgroupOf(t, monitor), base+"/session")
	d.Proa("exec", "-d", "c", "sleep", "77777").OK(t)
	equal(t, "cgroup of an exec", cgroupOf(t, sleepingPID(t, e, "77777")), base+"/proa/"+id)
	d.Proa("rm", "-f", "c").OK(t)
	equal(t, "cgroups left", strings.Join(d.Cgroups(t), " "), "proa")
}

// TestCgroupOutlived: processes that outlive a container without a pid namespace of its own go with its cgroup, and a
// killed monitor leaves none.
func TestCgroupOutlived(t *testing.T) {
	e, d := delegated(t)
	d.Proa("run", "--rm", "--network=none", "--pid", "host", image, "sh", "-c", "sleep 66666 >/dev/null 2>&1 &").OK(t)
	for _, p := range e.Processes() {
		if slices.Contains(p.Args, "66666") {
			t.Errorf("%s outlived its container", p)
		}
	}
	d.Proa("run", "-d", "--network=none", "--name", "c", image, "sleep", "1000").OK(t)
	_, monitor := pids(t, e, "c")
	kill(t, monitor)
	d.Proa("rm", "-f", "c").OK(t)
	d.Proa("run", "--network=none", "--name", "gone", image, "/no/such/program").Want(t, 127)
	d.Proa("rm", "gone").OK(t)
	equal(t, "cgroups left", strings.Join(d.Cgroups(t), " "), "proa")
}

// TestLimitWithoutController: a limit whose controller is not delegated is an error that names both, and nothing is
// left of the container.
func TestLimitWithoutController(t *testing.T) {
	_, d := delegated(t)
	b, err := os.ReadFile(filepath.Join(d.Dir, "cgroup.controllers"))
	if err != nil {
		t.Fatal(err)
	}
	for option, controller := range map[string]string{"--memory=64m": "memory", "--pids-limit=10": "pids", "--cpus=0.5": "cpu", "--cpuset-cpus=0": "cpuset", "--blkio-weight=100": "io"} {
		run := d.Proa("run", "--name", "c", "--network=none", option, image, "true")
		if slices.Contains(strings.Fields(string(b)), controller) {
			run.OK(t)
		} else if msg := run.Want(t, 125).Stderr; !strings.Contains(msg, fmt.Sprintf("%q", controller)) || !strings.Contains(msg, "proa doctor") {
			t.Errorf("%s: the error does not name the controller or the remedy: %s", option, msg)
		}
		d.Proa("rm", "-f", "c").OK(t)
	}
	equal(t, "cgroups left", strings.Join(d.Cgroups(t), " "), "proa")
}
