package tests

import (
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/proa-containers/proa/tests/harness"
)

// inspect is a field of a container by a template.
func inspect(t testing.TB, name, format string) string {
	t.Helper()
	return env.Proa("inspect", "-f", format, name).OK(t).Out()
}

// runs counts the runs of a container that prints a line in each.
func runs(t testing.TB, name string) int {
	t.Helper()
	return strings.Count(env.Proa("logs", name).OK(t).Stdout, "run\n")
}

func ends(t testing.TB, name string) {
	t.Helper()
	harness.Eventually(t, name+" ends for good", func() bool { return inspect(t, name, "{{.State.Status}}") == "exited" })
}

func TestRestartOnFailure(t *testing.T) {
	for _, runtime := range []string{"proa", "crun", "runc"} {
		t.Run(runtime, func(t *testing.T) {
			if runtime != "proa" {
				harness.Requires(t, runtime)
			}
			name := start(t, env, "--runtime", runtime, "--restart", "on-failure:2", "--", "sh", "-c", "echo run; ls /made 2>/dev/null; touch /made; exit 3")
			ends(t, name)
			out := env.Proa("logs", name).OK(t).Out()
			equal(t, "each run has the root of the one before", out, "run\nrun\n/made\nrun\n/made")
			equal(t, "its state", inspect(t, name, "{{.RestartCount}} {{.State.ExitCode}} {{.State.Restarting}} {{json .HostConfig.RestartPolicy}}"),
				`2 3 false {"Name":"on-failure","MaximumRetryCount":2}`)
		})
	}
	name := start(t, env, "--restart", "on-failure", "--", "sh", "-c", "echo run; exit 0")
	ends(t, name)
	equal(t, "restarts after a success", inspect(t, name, "{{.RestartCount}}"), "0")
}

func TestRestartAlways(t *testing.T) {
	name := start(t, env, "--restart", "always", "--init", "--", "sh", "-c", "echo run; exit 3")
	harness.Eventually(t, "three runs", func() bool { return runs(t, name) >= 3 })
	harness.Eventually(t, "it waits for the next run", func() bool { return inspect(t, name, "{{.State.Status}}") == "restarting" })
	if out := env.Proa("ps", "--filter", "name="+name).OK(t).Stdout; !strings.Contains(out, "Restarting (3)") && !strings.Contains(out, "Up ") {
		t.Errorf("ps says %s", out)
	}
	refused(t, env.Proa("rm", name), ownError, name, "--force")
	refused(t, env.Proa("run", "-d", "--rm", "--restart", "always", image, "true"), 125, "--rm", "--restart")
	env.Proa("start", name).OK(t) // it runs already, as Docker sees it
	env.Proa("stop", name).OK(t)
	ends(t, name)
	n := runs(t, name)
	env.Proa("start", name).OK(t)
	harness.Eventually(t, "start takes the policy up again", func() bool { return runs(t, name) >= n+3 })
	env.Proa("rm", "-f", name).OK(t)
	refused(t, env.Proa("inspect", name), ownError, name)
}

func TestRestartEndsWithTheUsersSignal(t *testing.T) {
	for _, end := range [][]string{{"stop", "-t", "0"}, {"kill"}, {"kill", "-s", "TERM"}} {
		name := start(t, env, "--restart", "unless-stopped", "--", "sh", "-c", "trap 'exit 4' TERM; trap : HUP; echo run; while :; do sleep 0.05; done")
		waitLog(t, name, "run")
		env.Proa("kill", "-s", "HUP", name).OK(t) // a reload, not an end
		env.Proa("exec", name, "sh", "-c", "kill -TERM 1").OK(t)
		harness.Eventually(t, "its own end has it started again", func() bool { return runs(t, name) == 2 })
		harness.Eventually(t, "the next run is there", func() bool { return inspect(t, name, "{{.State.Status}}") == "running" })
		env.Proa(append(end, name)...).OK(t)
		ends(t, name)
		if n := runs(t, name); n != 2 {
			t.Errorf("%v: %d runs, want 2", end, n)
		}
	}
}

// TestRestartForeground: as with Docker the foreground ends with the run it is attached to.
func TestRestartForeground(t *testing.T) {
	name := containerName(t)
	removeLater(t, withImage(t, env), name)
	r := env.Proa("run", "--name", name, "--restart", "on-failure:1", image, "sh", "-c", "echo run; exit 6").Want(t, 6)
	equal(t, "the output", r.Stdout, "run\n")
	ends(t, name)
	equal(t, "the log", env.Proa("logs", name).OK(t).Stdout, "run\nrun\n")
}

// TestRestartLeftovers: what outlives the init, where the pid namespace is not the container's, does not disturb the next run.
func TestRestartLeftovers(t *testing.T) {
	name := start(t, env, "--restart", "on-failure:2", "--pid", "host", "--", "sh", "-c", "echo run; sleep 5 & exit 4")
	ends(t, name)
	equal(t, "its state", inspect(t, name, "{{.RestartCount}} {{.State.ExitCode}}"), "2 4")
	equal(t, "its runs", strconv.Itoa(runs(t, name)), "3")
}

func TestRestartTerminal(t *testing.T) {
	name := start(t, env, "-t", "--restart", "on-failure:1", "--", "sh", "-c", "tty; exit 1")
	ends(t, name)
	equal(t, "each run has a terminal", strings.ReplaceAll(env.Proa("logs", name).OK(t).Out(), "\r", ""), "/dev/pts/0\n/dev/pts/0")
}

// TestRestartMonitorKilled: without its monitor nobody starts a container again, and every verb still knows what it is.
func TestRestartMonitorKilled(t *testing.T) {
	name := start(t, env, "--restart", "always", "--", "sh", "-c", "echo run; exit 3")
	harness.Eventually(t, "a longer pause", func() bool { return runs(t, name) >= 5 && inspect(t, name, "{{.State.Status}}") == "restarting" })
	refused(t, env.Proa("cp", name+":/etc/passwd", "-"), ownError, name, "restarting")
	pid, err := strconv.Atoi(inspect(t, name, "{{.State.ConmonPid}}"))
	if err != nil || pid == 0 {
		t.Fatalf("the monitor is process %d: %v", pid, err)
	}
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	harness.Eventually(t, "it reads as exited", func() bool { return inspect(t, name, "{{.State.Status}} {{.State.ExitCode}}") == "exited 3" })
	n := runs(t, name)
	env.Proa("start", name).OK(t)
	harness.Eventually(t, "it is started again", func() bool { return runs(t, name) >= n+2 })
	env.Proa("stop", name).OK(t)
	env.Proa("rm", name).OK(t)
}

// TestRestartPaused: a container whose init is killed while it is paused comes back, and not frozen.
func TestRestartPaused(t *testing.T) {
	e, d := delegated(t)
	name := containerName(t)
	d.Proa("run", "-d", "--network=none", "--restart=always", "--name", name, image, "sh", "-c", "echo run; sleep 20011").OK(t)
	removeLater(t, e, name)
	d.Proa("pause", name).OK(t)
	init, _ := pids(t, e, name)
	kill(t, init)
	harness.Eventually(t, "it runs again", func() bool {
		return strings.Count(d.Proa("logs", name).OK(t).Stdout, "run\n") == 2 && d.Proa("inspect", "-f", "{{.State.Status}}", name).OK(t).Out() == "running"
	})
}

func TestRestartRefused(t *testing.T) {
	for _, bad := range []string{"sometimes", "on-failure:x", "on-failure:-1", "always:3", "no:1"} {
		refused(t, env.Proa("run", "-d", "--restart", bad, image, "true"), 125, "--restart", bad)
	}
}

func TestUpdateRestart(t *testing.T) {
	loop := "trap 'exit 4' TERM; echo run; while :; do sleep 0.05; done"
	crash := func(name string) { env.Proa("exec", name, "sh", "-c", "kill -TERM 1").OK(t) }
	begun := func(name string, n int) {
		t.Helper()
		harness.Eventually(t, "the next run is there", func() bool { return runs(t, name) == n && inspect(t, name, "{{.State.Status}}") == "running" })
	}
	name := start(t, env, "--", "sh", "-c", loop) // with nothing kept for a next run
	begun(name, 1)
	env.Proa("update", "--restart", "always", name).OK(t)
	crash(name)
	begun(name, 2)
	crash(name)
	begun(name, 3)
	env.Proa("update", "--restart", "no", name).OK(t)
	equal(t, "the policy", inspect(t, name, "{{.HostConfig.RestartPolicy.Name}}"), "no")
	crash(name)
	ends(t, name)
	refused(t, env.Proa("update", "--restart", "sometimes", name), ownError, "sometimes")
}

// TestSystemBoot: after a reboot the containers run that Docker's daemon would start.
func TestSystemBoot(t *testing.T) {
	e := withImage(t, env.Fresh(t))
	make := func(name, policy string, command ...string) {
		t.Helper()
		e.Proa(append([]string{"run", "-d", "--name", name, "--restart", policy, image}, command...)...).OK(t)
	}
	make("a", "always", "sleep", "1000")
	make("b", "unless-stopped", "sleep", "1000")
	make("c", "on-failure", "sleep", "1000")
	make("d", "no", "sleep", "1000")
	make("stopped-a", "always", "sleep", "1000")
	make("stopped-b", "unless-stopped", "sleep", "1000")
	make("stopped-c", "on-failure", "sleep", "1000")
	e.Proa("run", "--name", "well", "--restart", "on-failure", image, "true").OK(t) // in the foreground: its end is written down
	e.Proa("create", "--name", "created", "--restart", "always", image, "sleep", "1000").OK(t)
	e.Proa("stop", "-t", "0", "stopped-a", "stopped-b", "stopped-c").OK(t)
	if err := e.Reboot(); err != nil {
		t.Fatal(err)
	}
	equal(t, "what ran reads as exited", e.Proa("inspect", "-f", "{{.State.Status}} {{.State.ExitCode}}", "a").OK(t).Out(), "exited 255")
	equal(t, "what is started", e.Proa("system", "boot").OK(t).Out(), "a\nb\nc\nstopped-a")
	equal(t, "what runs", e.Proa("ps", "--format", "{{.Names}}").OK(t).Out(), "stopped-a\nc\nb\na")
	equal(t, "a second time", e.Proa("system", "boot").OK(t).Out(), "")
	refused(t, e.Proa("system", "boot", "now"), 125, "now")
	e.Proa("rm", "-f", "a", "b", "c", "stopped-a").OK(t)
}
