package tests

import (
	"strings"
	"testing"

	"github.com/proa-containers/proa/tests/harness"
)

func TestContainerInit(t *testing.T) {
	e := withImage(t, env.Fresh(t))
	dir := e.TempDir(t)
	e.Proa("create", "--network=none", "--name", "a", "-u", "1000", "-v", dir+":/mnt", image, "sh", "-c", "echo ran; exec sleep 1000").OK(t)
	removeLater(t, e, "a")
	state := func() string { return inspectField(t, e, "a", "{{.State.Status}} {{.State.Running}}") }
	equal(t, "init prints", e.Proa("container", "init", "a").OK(t).Out(), "a")
	equal(t, "state", state(), "initialized false")
	equal(t, "ps", e.Proa("ps", "-q").OK(t).Out(), "")
	equal(t, "ps -a", e.Proa("ps", "-a", "-f", "status=initialized", "--format", "{{.Names}} {{.Status}}").OK(t).Out(), "a Initialized")
	equal(t, "wait", e.Proa("wait", "--condition=initialized", "a").OK(t).Out(), "-1")
	pid := inspectField(t, e, "a", "{{.State.Pid}}")
	if mounts := e.Command("cat", "/proc/"+pid+"/mountinfo").OK(t).Out(); !strings.Contains(mounts, " /mnt ") {
		t.Errorf("the mounts are not there: %s", mounts)
	}
	for _, verb := range [][]string{{"exec", "a", "true"}, {"pause", "a"}, {"container", "init", "a"}} {
		refused(t, e.Proa(verb...), 1, `"a"`, "initialized")
	}
	equal(t, "its log", e.Proa("logs", "a").OK(t).Out(), "")
	equal(t, "start prints", e.Proa("start", "a").OK(t).Out(), "a")
	equal(t, "state", state(), "running true")
	equal(t, "the same process", inspectField(t, e, "a", "{{.State.Pid}}"), pid)
	harness.Eventually(t, "a ran", func() bool { return e.Proa("logs", "a").Run(t).Out() == "ran" })
	e.Proa("exec", "a", "true").OK(t)
	refused(t, e.Proa("container", "init", "a"), 1, `"a"`, "running")
	e.Proa("stop", "-t", "0", "a").OK(t)

	equal(t, "again", e.Proa("container", "init", "--latest").OK(t).Out()[:12], inspectField(t, e, "a", "{{.Id}}")[:12])
	equal(t, "stop", e.Proa("stop", "a").OK(t).Out(), "a")
	equal(t, "state", state(), "exited false")
	e.Proa("container", "init", "a").OK(t)
	equal(t, "kill", e.Proa("kill", "a").OK(t).Out(), "a")
	e.Proa("wait", "a").OK(t)
	e.Proa("container", "init", "-a").OK(t)
	equal(t, "rm without --force", e.Proa("rm", "a").OK(t).Out(), "a")
}

func TestContainerInitStarted(t *testing.T) {
	e := withImage(t, env.Fresh(t))
	e.Proa("create", "--network=none", "--name", "a", image, "sh", "-c", "echo out; echo err >&2; exit 7").OK(t)
	e.Proa("container", "init", "a").OK(t)
	r := e.Proa("start", "-a", "a").Want(t, 7)
	equal(t, "start -a", r.Stdout+r.Stderr, "out\nerr\n")
	equal(t, "events", strings.Join(strings.Fields(e.Proa("events", "--stream=false", "--filter", "container=a", "--format", "{{.Action}}").OK(t).Out()), " "),
		"create init attach start die")
	// A restart by its policy is not held back.
	e.Proa("create", "--network=none", "--restart=on-failure:2", "--name", "b", image, "false").OK(t)
	e.Proa("container", "init", "b").OK(t)
	e.Proa("start", "b").OK(t)
	harness.Eventually(t, "b is started again twice", func() bool {
		return inspectField(t, e, "b", "{{.RestartCount}} {{.State.Status}}") == "2 exited"
	})
	e.Proa("create", "--network=none", "--name", "c", image, "/no/such/program").OK(t)
	refused(t, e.Proa("container", "init", "c"), 1, "/no/such/program")
	equal(t, "what is left of it", inspectField(t, e, "c", "{{.State.Status}}"), "created")
	// The monitor dies before: the container reads as what it is, and can be removed.
	e.Proa("container", "init", "a").OK(t)
	_, monitor := pids(t, e, "a")
	kill(t, monitor)
	e.Proa("rm", "-f", "a").OK(t)
	e.Proa("container", "exists", "a").Want(t, 1)
}

func TestContainerInitOfOtherRuntimes(t *testing.T) {
	harness.Requires(t, "crun")
	e := withImage(t, env.Fresh(t))
	e.Proa("create", "--network=none", "--runtime=crun", "--name", "a", image, "true").OK(t)
	refused(t, e.Proa("container", "init", "a"), 1, `"a"`, "crun", "start it")
}
