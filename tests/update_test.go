package tests

import (
	"strings"
	"testing"
)

func TestLimitUpdate(t *testing.T) {
	e := limited(t, "memory")
	limited(t, "cpu")
	limited(t, "pids")
	name := startLimits(t, e, "-m", "64m", "--pids-limit=100", "--", "sleep", "600")
	const files = "cd /sys/fs/cgroup; cat memory.max memory.swap.max cpu.max pids.max"
	for _, tt := range []struct{ flags, want, inspected string }{
		{"--cpus=0.5", "67108864\n67108864\n50000 100000\n100", "67108864 134217728 500000000 100"},
		{"-m 128m", "134217728\n134217728\n50000 100000\n100", "134217728 268435456 500000000 100"},
		{"-m 32m --memory-swap=48m", "33554432\n16777216\n50000 100000\n100", "33554432 50331648 500000000 100"},
		{"--pids-limit=12", "33554432\n16777216\n50000 100000\n12", "33554432 50331648 500000000 12"},
		{"--cpu-period=20000 --cpu-quota=5000", "33554432\n16777216\n5000 20000\n12", "33554432 50331648 0 12"},
		{"--cpu-period=0 --cpu-quota=-1", "33554432\n16777216\nmax 100000\n12", "33554432 50331648 0 12"},
		{"-m 0 --cpus=0 --pids-limit=-1", "max\nmax\nmax 100000\nmax", "0 0 0 0"},
		{"--memory=96m --memory-swap=-1", "100663296\nmax\nmax 100000\nmax", "100663296 -1 0 0"},
	} {
		equal(t, tt.flags, e.Proa(append(append([]string{"update"}, strings.Fields(tt.flags)...), name)...).OK(t).Out(), name)
		equal(t, tt.flags, e.Proa("exec", name, "sh", "-c", files).OK(t).Out(), tt.want)
		equal(t, tt.flags+", inspect", inspectField(t, e, name,
			"{{.HostConfig.Memory}} {{.HostConfig.MemorySwap}} {{.HostConfig.NanoCpus}} {{.HostConfig.PidsLimit}}"), tt.inspected)
	}
	low := func(flag string) string {
		e.Proa("update", "--memory-reservation", flag, name).OK(t)
		return e.Proa("exec", name, "cat", "/sys/fs/cgroup/memory.low").OK(t).Out()
	}
	equal(t, "--memory-reservation", low("16m"), "16777216")
	equal(t, "--memory-reservation 0", low("0"), "0")
	refused(t, e.Proa("update", "--cpuset-cpus=4000", name), 1, name)
	equal(t, "a refused limit is not recorded", inspectField(t, e, name, "{{.HostConfig.CpusetCpus}}"), "")
	e.Proa("restart", "-t", "0", name).OK(t)
	equal(t, "after a restart", e.Proa("exec", name, "cat", "/sys/fs/cgroup/memory.max").OK(t).Out(), "100663296")
}

func TestUpdateStopped(t *testing.T) {
	e := withImage(t, env.Fresh(t))
	e.Proa("create", "--network=none", "--name", "a", image, "true").OK(t)
	b := e.Proa("create", "--network=none", "--name", "b", image, "true").OK(t).Out()
	equal(t, "several", e.Proa("update", "-m", "64m", "--cpus", "2", "-c", "512", "--cpuset-cpus", "0", "a", b[:12]).OK(t).Out(), "a\n"+b[:12])
	const format = "{{with .HostConfig}}{{.Memory}} {{.MemorySwap}} {{.NanoCpus}} {{.CpuShares}} {{.CpusetCpus}}{{end}}"
	equal(t, "recorded", inspectField(t, e, "b", format), "67108864 134217728 2000000000 512 0")
	refused(t, e.Proa("update", "-m", "32m", "a", "no-such"), 1, "no-such")
	equal(t, "the others are updated", inspectField(t, e, "a", format), "33554432 67108864 2000000000 512 0")
	e.Proa("update", "--latest", "-m", "0", "--cpus", "0").OK(t)
	equal(t, "--latest, without limits", inspectField(t, e, "b", format), "0 0 0 512 0")
}

func TestPauseChoices(t *testing.T) {
	e, d := delegated(t)
	ids := map[string]string{}
	for _, name := range []string{"a", "b", "c"} {
		ids[name] = d.Proa("run", "-d", "--network=none", "--name", name, "-l", "of="+name, image, "sleep", "1000").OK(t).Out()
		removeLater(t, e, name)
	}
	equal(t, "--filter", d.Proa("pause", "--filter", "label=of=a").OK(t).Out(), ids["a"])
	equal(t, "--latest", d.Proa("pause", "-l").OK(t).Out(), ids["c"])
	equal(t, "--all takes those that run", d.Proa("pause", "-a").OK(t).Out(), ids["b"])
	paused := func() string {
		return strings.Join(strings.Fields(d.Proa("ps", "--filter", "status=paused", "--format", "{{.Names}}").OK(t).Out()), " ")
	}
	equal(t, "paused", paused(), "c b a")
	refused(t, d.Proa("pause", "a"), 1, `"a"`, "paused already")
	refused(t, d.Proa("rm", "a"), 1, `"a"`, "paused")
	equal(t, "status", d.Proa("ps", "--filter", "name=a", "--format", "{{.State}} {{.Status}}").OK(t).Out()[:10], "paused Up ")
	equal(t, "wait for a state", d.Proa("wait", "--condition=paused", "a").OK(t).Out(), "-1")
	equal(t, "unpause --filter", d.Proa("unpause", "-f", "name=b").OK(t).Out(), ids["b"])
	equal(t, "stop of a paused one", d.Proa("stop", "-t", "0", "c").OK(t).Out(), "c")
	equal(t, "unpause --all", d.Proa("unpause", "--all").OK(t).Out(), ids["a"])
	equal(t, "kill -a", sortedLines(d.Proa("kill", "-a").OK(t).Out()), sortedLines(ids["a"]+" "+ids["b"]))
}
