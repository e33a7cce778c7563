package tests

import (
	"path/filepath"
	"sort"
	"strings"
	"testing"

	"github.com/proa-containers/proa/tests/harness"
)

// sleeper starts a container with the name and flags in e.
func sleeper(t testing.TB, e *harness.Env, name string, flags ...string) string {
	t.Helper()
	line := append([]string{"run", "-d", "--stop-timeout=0", "--name", name}, offline(flags)...)
	id := e.Proa(append(line, image, "sleep", "1000")...).OK(t).Out()
	removeLater(t, e, name)
	return id
}

// namesIn are the names of the containers in a state, sorted.
func namesIn(t testing.TB, e *harness.Env, state string) string {
	t.Helper()
	names := strings.Fields(e.Proa("ps", "-a", "--filter", "status="+state, "--format", "{{.Names}}").OK(t).Out())
	sort.Strings(names)
	return strings.Join(names, " ")
}

func sortedLines(s string) string {
	l := strings.Fields(s)
	sort.Strings(l)
	return strings.Join(l, " ")
}

func TestStopChoices(t *testing.T) {
	e := withImage(t, env.Fresh(t))
	cid := filepath.Join(e.TempDir(t), "cid")
	a := sleeper(t, e, "a", "-l", "k=1", "--cidfile", cid)
	b, c := sleeper(t, e, "b", "-l", "k=1"), sleeper(t, e, "c")
	equal(t, "--cidfile", e.Proa("stop", "--cidfile", cid).OK(t).Out(), a)
	equal(t, "--latest", e.Proa("stop", "-l").OK(t).Out(), c)
	equal(t, "--filter takes those that run", e.Proa("stop", "--filter", "label=k").OK(t).Out(), b)
	equal(t, "exited", namesIn(t, e, "exited"), "a b c")
	e.Proa("start", "--all").OK(t)
	equal(t, "--all", sortedLines(e.Proa("stop", "-a").OK(t).Out()), sortedLines(a+" "+b+" "+c))
	equal(t, "--all of none", e.Proa("stop", "--all").OK(t).Out(), "")
	equal(t, "--ignore", e.Proa("stop", "-i", "a", "no-such", "b").OK(t).Out(), "a\nb")
	e.Proa("stop", "--ignore", "--cidfile", cid+"-none").OK(t)
	refused(t, e.Proa("stop", "--cidfile", cid+"-none"), 1, cid+"-none")
}

// TestStopTogether stops containers that end only when all have been asked to: one after the other each is killed.
func TestStopTogether(t *testing.T) {
	e := withImage(t, env.Fresh(t))
	dir := e.TempDir(t)
	for _, name := range []string{"a", "b", "c"} {
		e.Proa("run", "-d", "--network=none", "--name", name, "-v", dir+":/out", image, "sh", "-c",
			"trap 'touch /out/"+name+"; asked=1' TERM; echo ready; until [ $asked ] && [ -e /out/a ] && [ -e /out/b ] && [ -e /out/c ]; do sleep 0.05; done; exit 7").OK(t)
		removeLater(t, e, name)
		harness.Eventually(t, "ready", func() bool { return strings.Contains(e.Proa("logs", name).Run(t).Stdout, "ready") })
	}
	equal(t, "in the order of the command line", e.Proa("stop", "-t", "20", "c", "a", "b").OK(t).Out(), "c\na\nb")
	equal(t, "exit codes", e.Proa("inspect", "-f", "{{.State.ExitCode}}", "a", "b", "c").OK(t).Out(), "7\n7\n7")
}

func TestKillChoices(t *testing.T) {
	e := withImage(t, env.Fresh(t))
	cid := filepath.Join(e.TempDir(t), "cid")
	a, b := sleeper(t, e, "a", "--cidfile", cid), sleeper(t, e, "b")
	equal(t, "--cidfile", e.Proa("kill", "--cidfile", cid).OK(t).Out(), a)
	e.Proa("wait", "a").OK(t)
	equal(t, "--all takes those that run", e.Proa("kill", "-a", "-s", "KILL").OK(t).Out(), b)
	e.Proa("wait", "b").OK(t)
	refused(t, e.Proa("kill", "--latest"), 1, `"b"`, "running")
}

func TestRmChoices(t *testing.T) {
	e := withImage(t, env.Fresh(t))
	cid := filepath.Join(e.TempDir(t), "cid")
	a := sleeper(t, e, "a", "-l", "k=1", "--cidfile", cid)
	b := sleeper(t, e, "b", "-l", "k=2")
	c := sleeper(t, e, "c", "-l", "k=2")
	refused(t, e.Proa("rm", "--filter", "label=k=2"), 1, `"b"`, `"c"`, "running")
	equal(t, "--all leaves what runs", e.Proa("rm", "-a").OK(t).Out(), "")
	equal(t, "--latest", e.Proa("rm", "-f", "--latest").OK(t).Out(), c)
	equal(t, "--cidfile", e.Proa("rm", "-f", "--cidfile", cid).OK(t).Out(), a)
	equal(t, "--ignore", e.Proa("rm", "-i", "no-such").OK(t).Out(), "")
	equal(t, "left", namesIn(t, e, "running"), "b")
	d := sleeper(t, e, "d")
	made := e.Proa("create", "--network=none", "--name", "e", image).OK(t).Out()
	equal(t, "rm -fa", sortedLines(e.Proa("rm", "-fa").OK(t).Out()), sortedLines(b+" "+d+" "+made))
	equal(t, "ps -aq", e.Proa("ps", "-aq").OK(t).Out(), "")
}

func TestRmTime(t *testing.T) {
	e := withImage(t, env.Fresh(t))
	dir := e.TempDir(t)
	e.Proa("run", "-d", "--network=none", "--name", "a", "-v", dir+":/out", image, "sh", "-c",
		"trap 'echo asked > /out/said; exit' TERM; echo ready; while :; do sleep 0.05; done").OK(t)
	removeLater(t, e, "a")
	harness.Eventually(t, "ready", func() bool { return strings.Contains(e.Proa("logs", "a").Run(t).Stdout, "ready") })
	equal(t, "rm -f -t", e.Proa("rm", "-f", "-t", "20", "a").OK(t).Out(), "a")
	equal(t, "it was asked to end", e.Command("cat", filepath.Join(dir, "said")).OK(t).Out(), "asked")
	refused(t, e.Proa("rm", "-t", "3", "a"), 1, "--time", "--force")
}

func TestStartChoices(t *testing.T) {
	e := withImage(t, env.Fresh(t))
	ids := map[string]string{}
	for _, name := range []string{"a", "b", "c"} {
		ids[name] = e.Proa("create", "--network=none", "--name", name, "-l", "of="+name, image, "sh", "-c", "echo "+name+"; sleep 1000").OK(t).Out()
		removeLater(t, e, name)
	}
	equal(t, "--filter", e.Proa("start", "-f", "label=of=b").OK(t).Out(), ids["b"])
	equal(t, "--latest", e.Proa("start", "-l").OK(t).Out(), ids["c"])
	equal(t, "--all", e.Proa("start", "--all").OK(t).Out(), ids["a"])
	e.Proa("kill", "-a").OK(t)
	e.Proa("wait", "a", "b", "c").OK(t)
	e.Proa("run", "--network=none", "--name", "d", image, "echo", "once more").OK(t)
	equal(t, "-a --latest", e.Proa("start", "-a", "--latest").OK(t).Out(), "once more")
	refused(t, e.Proa("start", "-a", "a", "b"), 1, "one container")
}

func TestRestartChoices(t *testing.T) {
	e := withImage(t, env.Fresh(t))
	a, b := sleeper(t, e, "a"), sleeper(t, e, "b")
	e.Proa("stop", "b").OK(t)
	pid := inspectField(t, e, "a", "{{.State.Pid}}")
	equal(t, "--running", e.Proa("restart", "--running").OK(t).Out(), a)
	if inspectField(t, e, "a", "{{.State.Pid}}") == pid {
		t.Error("restart --running left the container as it was")
	}
	equal(t, "--latest", e.Proa("restart", "-t", "0", "-l").OK(t).Out(), b)
	equal(t, "--all", sortedLines(e.Proa("restart", "-a").OK(t).Out()), sortedLines(a+" "+b))
	equal(t, "running", namesIn(t, e, "running"), "a b")
}

func TestRmDepend(t *testing.T) {
	e := withImage(t, env.Fresh(t))
	a := sleeper(t, e, "a")
	b := sleeper(t, e, "b", "--network=container:a")
	c := sleeper(t, e, "c", "--pid=container:"+b[:12])
	v := sleeper(t, e, "v", "--volumes-from=c:ro")
	sleeper(t, e, "d")
	equal(t, "--depend", sortedLines(e.Proa("rm", "-f", "--depend", "a").OK(t).Out()), sortedLines("a "+b+" "+c+" "+v))
	equal(t, "left", namesIn(t, e, "running"), "d")
	e.Proa("inspect", a).Want(t, 1)
}

func TestLatestOfExecAndAttach(t *testing.T) {
	e := withImage(t, env.Fresh(t))
	refused(t, e.Proa("exec", "-l", "true"), ownError, "--latest", "no container")
	sleeper(t, e, "a")
	sleeper(t, e, "b", "--hostname", "last")
	equal(t, "exec -l", e.Proa("exec", "-l", "hostname").OK(t).Out(), "last")
	equal(t, "exec --latest with arguments", e.Proa("exec", "--latest", "echo", "-n", "x").OK(t).Out(), "x")
	refused(t, e.Proa("exec", "-l"), ownError, "command")
	e.Proa("create", "--network=none", "--name", "c", image).OK(t)
	refused(t, e.Proa("attach", "-l"), 1, `"c"`, "not running")
	refused(t, e.Proa("attach", "-l", "b"), 1, "--latest")
}
