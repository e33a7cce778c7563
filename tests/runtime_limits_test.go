package tests

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/proa-containers/proa/tests/harness"
)

// TestCgroupOfOtherRuntimes is TestCgroupOfItsOwn for --runtime: the container and an exec are in the cgroup that proa
// made, nobody else's is left.
func TestCgroupOfOtherRuntimes(t *testing.T) {
	e, d := delegated(t)
	base := "/" + filepath.Base(d.Dir) + "/proa/"
	forRuntimes(t, func(t *testing.T, runtime string) {
		seen := d.Proa("run", "--rm", "--network=none", "--runtime", runtime, image, "cat", "/proc/self/cgroup").OK(t).Out()
		if !slices.Contains(strings.Split(seen, "\n"), "0::/") {
			t.Errorf("the container sees its cgroup as %q, not as the root", seen)
		}
		id := d.Proa("run", "-d", "--network=none", "--runtime", runtime, "--name", "c", image, "sleep", "1000").OK(t).Out()
		init, monitor := pids(t, e, "c")
		equal(t, "cgroup of the container", cgroupOf(t, init), base+id)
		d.Proa("exec", "-d", "c", "sleep", "77778").OK(t)
		equal(t, "cgroup of an exec", cgroupOf(t, sleepingPID(t, e, "77778")), base+id)
		d.Proa("pause", "c").OK(t)
		equal(t, "paused", d.Proa("inspect", "-f", "{{.State.Status}}", "c").OK(t).Out(), "paused")
		d.Proa("unpause", "c").OK(t)
		d.Proa("exec", "c", "true").OK(t)
		kill(t, monitor)
		d.Proa("rm", "-f", "c").OK(t)
		d.Proa("run", "--rm", "--network=none", "--runtime", runtime, image, "/no/such/program").Want(t, 127)
		equal(t, "cgroups left", strings.Join(d.Cgroups(t), " "), "proa")
	})
}

// TestLimitOfOtherRuntimes: proa holds the limits, whatever runs the container.
func TestLimitOfOtherRuntimes(t *testing.T) {
	e := limited(t, "memory")
	ran := 0
	for _, runtime := range []string{"crun", "runc", filepath.Join(e.Prefix, "bin", "proa-runtime")} {
		t.Run(filepath.Base(runtime), func(t *testing.T) {
			harness.Requires(t, runtime)
			ran++
			flags := []string{"--runtime", runtime, "-m", "32m", "--memory-swap=32m"}
			equal(t, "memory.max", inLimits(t, e, flags, "cat", "/sys/fs/cgroup/memory.max"), "33554432")
			name := startLimits(t, e, append(flags, "--", "dd", "if=/dev/zero", "of=/dev/null", "bs=128M", "count=1")...)
			equal(t, "exit code", e.Proa("wait", name).OK(t).Out(), "137")
			equal(t, "OOMKilled", inspectField(t, e, name, "{{.State.OOMKilled}} {{.State.ExitCode}}"), "true 137")
			name = startLimits(t, e, append(flags, "--", "sleep", "600")...)
			equal(t, "limit of an exec", e.Proa("exec", name, "cat", "/sys/fs/cgroup/memory.max").OK(t).Out(), "33554432")
			e.Proa("exec", name, "dd", "if=/dev/zero", "of=/dev/null", "bs=128M", "count=1").Want(t, 137)
		})
	}
	if ran == 0 {
		t.Error("no runtime was tried")
	}
}
