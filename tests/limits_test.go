package tests

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/proa-containers/proa/tests/harness"
)

// limited is the user where the cgroup controller can be given to containers; it skips the test where not.
func limited(t *testing.T, controller string) *harness.Env {
	t.Helper()
	e := env
	if harness.Booted() {
		e = env.Session(t)
	}
	name := "cgroup " + controller
	c := diagnose(t, e.Proa("doctor"))
	if harness.InVM() && os.Getuid() == 0 {
		// One remedy hands the controller over to the user's systemd, another has that hand it on.
		harness.Eventually(t, "the controller "+controller+" is delegated", func() bool {
			if c[name].Status == "warning" {
				mend(t, e, c[name].Remedy)
				c = diagnose(t, e.Proa("doctor"))
			}
			return c[name].Status == "ok"
		})
	}
	if c[name].Status != "ok" {
		t.Skipf("needs the cgroup controller %s, which this machine does not delegate (make test-vm has one that does): %s", controller, c["cgroup v2"].Found)
	}
	return withImage(t, e)
}

// mend has the user execute a remedy of doctor's.
func mend(t *testing.T, e *harness.Env, remedy string) {
	t.Helper()
	c := e.Command("sh", "-c", remedy)
	c.Env = []string{fmt.Sprintf("XDG_RUNTIME_DIR=/run/user/%d", e.UID)}
	c.OK(t)
}

// inLimits is what a command prints in a container with the flags.
func inLimits(t *testing.T, e *harness.Env, flags []string, cmd ...string) string {
	t.Helper()
	return runLimits(e, flags, cmd...).OK(t).Out()
}

func runLimits(e *harness.Env, flags []string, cmd ...string) *harness.Cmd {
	return e.Proa(append(append(append([]string{"run", "--rm", "--network=none"}, flags...), image), cmd...)...)
}

// startLimits starts a container in e and returns its name.
func startLimits(t *testing.T, e *harness.Env, args ...string) string {
	t.Helper()
	flags, cmd := split(args)
	name := containerName(t)
	line := append([]string{"run", "-d", "--network=none", "--name", name}, flags...)
	e.Proa(append(append(line, image), cmd...)...).OK(t)
	removeLater(t, e, name)
	return name
}

func inspectField(t *testing.T, e *harness.Env, name, format string) string {
	t.Helper()
	return e.Proa("inspect", "--format", format, name).OK(t).Out()
}

func TestLimitMemory(t *testing.T) {
	e := limited(t, "memory")
	const files = "cat /sys/fs/cgroup/memory.max /sys/fs/cgroup/memory.swap.max"
	for _, tt := range []struct{ flags, want string }{
		{"--memory=32m", "33554432\n33554432"},
		{"-m 48m --memory-swap=48m", "50331648\n0"},
		{"-m 32m --memory-swap=96m", "33554432\n67108864"},
		{"-m 32m --memory-swap=-1", "33554432\nmax"},
		{"--pids-limit=100", "max\nmax"},
	} {
		equal(t, tt.flags, inLimits(t, e, strings.Fields(tt.flags), "sh", "-c", files), tt.want)
	}
	equal(t, "memory.low", inLimits(t, e, []string{"--memory-reservation=16m"}, "cat", "/sys/fs/cgroup/memory.low"), "16777216")
	refused(t, runLimits(e, []string{"-m", "64m", "--memory-swap=32m"}, "true"), 125, "--memory-swap")
	refused(t, runLimits(e, []string{"--memory-swap=64m"}, "true"), 125, "--memory-swap", "--memory")
	refused(t, runLimits(e, []string{"-m", "much"}, "true"), 125, "much")
}

func TestLimitMemoryKills(t *testing.T) {
	e := limited(t, "memory")
	// dd reads a block as a whole into memory.
	name := startLimits(t, e, "-m", "32m", "--memory-swap=32m", "--", "dd", "if=/dev/zero", "of=/dev/null", "bs=128M", "count=1")
	equal(t, "exit code", e.Proa("wait", name).OK(t).Out(), "137")
	equal(t, "OOMKilled and exit code", inspectField(t, e, name, "{{.State.OOMKilled}} {{.State.ExitCode}} {{.State.Status}}"), "true 137 exited")
	runLimits(e, []string{"-m", "32m", "--memory-swap=32m"}, "dd", "if=/dev/zero", "of=/dev/null", "bs=128M", "count=1").Want(t, 137)
	// Enough for the same, it is not killed; killed otherwise, it is not said to be so for want of memory.
	inLimits(t, e, []string{"-m", "256m"}, "dd", "if=/dev/zero", "of=/dev/null", "bs=128M", "count=1")
	name = startLimits(t, e, "-m", "32m", "--", "sleep", "600")
	e.Proa("kill", name).OK(t)
	e.Proa("wait", name).OK(t)
	equal(t, "OOMKilled and exit code", inspectField(t, e, name, "{{.State.OOMKilled}} {{.State.ExitCode}}"), "false 137")
}

func TestLimitPids(t *testing.T) {
	e := limited(t, "pids")
	equal(t, "pids.max", inLimits(t, e, []string{"--pids-limit=7"}, "cat", "/sys/fs/cgroup/pids.max"), "7")
	equal(t, "pids.current", inLimits(t, e, []string{"--pids-limit=1"}, "cat", "/sys/fs/cgroup/pids.current"), "1")
	equal(t, "pids.max", inLimits(t, e, []string{"--pids-limit=-1"}, "cat", "/sys/fs/cgroup/pids.max"), "max")
	r := runLimits(e, []string{"--pids-limit=5"}, "sh", "-c", "for i in 1 2 3 4 5 6; do sleep 9 & done").Run(t)
	if r.Code == 0 || !strings.Contains(r.Stderr, "fork") {
		t.Errorf("the sixth process was made: exit code %d, %s", r.Code, r.Stderr)
	}
	// What is executed later is held by the same limit, and none but the container's processes count.
	name := startLimits(t, e, "--pids-limit=3", "--", "sleep", "600")
	equal(t, "processes of the cgroup", e.Proa("exec", name, "cat", "/sys/fs/cgroup/pids.max", "/sys/fs/cgroup/pids.current").OK(t).Out(), "3\n2")
	r = e.Proa("exec", name, "sh", "-c", "sleep 9 & sleep 9 & sleep 9").Run(t)
	if r.Code == 0 || !strings.Contains(r.Stderr, "fork") {
		t.Errorf("the limit does not hold for exec: exit code %d, %s", r.Code, r.Stderr)
	}
}

func TestLimitCPUs(t *testing.T) {
	e := limited(t, "cpu")
	equal(t, "cpu.max", inLimits(t, e, []string{"--cpus=0.5"}, "cat", "/sys/fs/cgroup/cpu.max"), "50000 100000")
	equal(t, "cpu.max", inLimits(t, e, []string{"--cpus=1.25"}, "cat", "/sys/fs/cgroup/cpu.max"), "125000 100000")
	equal(t, "cpu.max", inLimits(t, e, []string{"--cpu-period=20000", "--cpu-quota=5000"}, "cat", "/sys/fs/cgroup/cpu.max"), "5000 20000")
	// It ends when the kernel has kept it from running.
	inLimits(t, e, []string{"--cpus=0.1"}, "sh", "-c", "until grep -q 'nr_throttled [1-9]' /sys/fs/cgroup/cpu.stat; do :; done")
	var weights []int
	for _, shares := range []string{"2", "1024", "4096"} {
		var w int
		if _, err := fmt.Sscan(inLimits(t, e, []string{"--cpu-shares", shares}, "cat", "/sys/fs/cgroup/cpu.weight"), &w); err != nil {
			t.Fatal(err)
		}
		weights = append(weights, w)
	}
	if !(1 <= weights[0] && weights[0] < weights[1] && weights[1] < weights[2]) {
		t.Errorf("the weights of 2, 1024 and 4096 shares are %v", weights)
	}
	refused(t, runLimits(e, []string{"--cpus=-1"}, "true"), 125, "--cpus")
}

func TestLimitCPUSet(t *testing.T) {
	e := limited(t, "cpuset")
	status := inLimits(t, e, []string{"--cpuset-cpus=0"}, "cat", "/proc/self/status")
	equal(t, "Cpus_allowed_list", field(status, "Cpus_allowed_list"), "0")
	equal(t, "Mems_allowed_list", field(inLimits(t, e, []string{"--cpuset-mems=0"}, "cat", "/proc/self/status"), "Mems_allowed_list"), "0")
	equal(t, "nproc", inLimits(t, e, []string{"--cpuset-cpus=0"}, "nproc"), "1")
	refused(t, runLimits(e, []string{"--cpuset-cpus=0,4095"}, "true"), 125, "cpuset")
	refused(t, runLimits(e, []string{"--cpuset-cpus=first"}, "true"), 125, "first")
}

// TestLimitIOWeight: the kernel has the weight of BFQ, or that of io.cost on another scale.
func TestLimitIOWeight(t *testing.T) {
	e := limited(t, "io")
	name := startLimits(t, e, "--blkio-weight=300", "--", "sleep", "600")
	weight := func() string {
		return e.Proa("exec", name, "sh", "-c", "cd /sys/fs/cgroup; cat io.bfq.weight 2>/dev/null || cat io.weight").OK(t).Out()
	}
	scaled := func(bfq, cost string) bool { w := weight(); return w == "default "+bfq || w == "default "+cost }
	if !scaled("300", "2930") {
		t.Errorf("--blkio-weight=300 is %q", weight())
	}
	equal(t, "inspect", inspectField(t, e, name, "{{.HostConfig.BlkioWeight}}"), "300")
	e.Proa("update", "--blkio-weight", "1000", name).OK(t)
	if !scaled("1000", "10000") {
		t.Errorf("update --blkio-weight 1000 is %q", weight())
	}
	e.Proa("update", "--blkio-weight", "0", name).OK(t)
	equal(t, "update --blkio-weight 0", weight(), "default 100")
}

// TestLimitInspect wants all limits of one container held, and named by inspect.
func TestLimitInspect(t *testing.T) {
	e := limited(t, "memory")
	name := startLimits(t, e, "-m", "40m", "--pids-limit=50", "--cpus=1.5", "--", "sleep", "600")
	equal(t, "limits", e.Proa("exec", name, "cat", "/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/pids.max", "/sys/fs/cgroup/cpu.max").OK(t).Out(), "41943040\n50\n150000 100000")
	equal(t, "inspect", inspectField(t, e, name, "{{.HostConfig.Memory}} {{.HostConfig.PidsLimit}} {{.HostConfig.NanoCpus}}"), "41943040 50 1500000000")
}

// TestLimitLeavesNoCgroup wants every cgroup gone with its container.
func TestLimitLeavesNoCgroup(t *testing.T) {
	e := limited(t, "memory")
	cgroupsOf := func(id string) (dirs []string) {
		_ = filepath.WalkDir("/sys/fs/cgroup", func(path string, d fs.DirEntry, err error) error {
			if err == nil && d.IsDir() && strings.Contains(d.Name(), id) {
				dirs = append(dirs, path)
			}
			return nil
		})
		return dirs
	}
	name := startLimits(t, e, "-m", "32m", "--", "sleep", "600")
	id := inspectField(t, e, name, "{{.Id}}")
	if got := cgroupsOf(id); len(got) != 1 {
		t.Fatalf("the cgroups of a running container are %q", got)
	}
	e.Proa("kill", name).OK(t)
	e.Proa("wait", name).OK(t)
	harness.Eventually(t, "the cgroup of an ended container is removed", func() bool { return len(cgroupsOf(id)) == 0 })
	name = startLimits(t, e, "-m", "32m", "--", "sleep", "600")
	id = inspectField(t, e, name, "{{.Id}}")
	e.Proa("rm", "-f", name).OK(t)
	if got := cgroupsOf(id); len(got) != 0 {
		t.Errorf("rm leaves the cgroups %q", got)
	}
	file := filepath.Join(e.TempDir(t), "id")
	inLimits(t, e, []string{"-m", "32m", "--cidfile", file}, "true")
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if got := cgroupsOf(strings.TrimSpace(string(b))); len(got) != 0 {
		t.Errorf("run --rm leaves the cgroups %q", got)
	}
}

// TestLimitRefused wants a limit that can't be held refused, with the name of what is missing.
func TestLimitRefused(t *testing.T) {
	e := withImage(t, env)
	checks := diagnose(t, e.Proa("doctor"))
	tried := 0
	for _, l := range []struct{ flag, option, controller string }{
		{"--memory=32m", "--memory", "memory"}, {"--pids-limit=9", "--pids-limit", "pids"}, {"--cpus=1", "--cpus", "cpu"},
		{"--cpu-shares=512", "--cpu-shares", "cpu"}, {"--cpuset-cpus=0", "--cpuset-cpus", "cpuset"}, {"--blkio-weight=300", "--blkio-weight", "io"},
	} {
		if checks["cgroup "+l.controller].Status != "ok" {
			tried++
			refused(t, runLimits(e, []string{l.flag}, "true"), 125, l.option, l.controller, "proa doctor")
		}
	}
	if tried == 0 {
		t.Skip("needs a machine that does not delegate every cgroup controller")
	}
}
