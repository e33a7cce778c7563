package tests

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/proa-containers/proa/tests/harness"
)

const trapTerm = "trap 'exit 5' TERM; echo ready; while :; do sleep 0.05; done"

func exitCode(t testing.TB, name string) string {
	t.Helper()
	return env.Proa("inspect", "-f", "{{.State.ExitCode}}", name).OK(t).Out()
}

func TestStop(t *testing.T) {
	name := start(t, env, "sh", "-c", trapTerm)
	waitLog(t, name, "ready")
	equal(t, "stop prints", env.Proa("stop", name).OK(t).Out(), name)
	equal(t, "exit code", exitCode(t, name), "5")
	env.Proa("stop", name).OK(t) // stopped already: fine
	refused(t, env.Proa("stop", "no-such-container"), ownError, "no-such-container")
}

func TestStopKillsAfterTimeout(t *testing.T) {
	name := start(t, env, "sh", "-c", "trap '' TERM; echo ready; while :; do sleep 0.05; done")
	waitLog(t, name, "ready")
	began := time.Now()
	env.Proa("stop", "-t", "1", name).OK(t)
	if took := time.Since(began); took < time.Second {
		t.Errorf("stop -t 1 killed after %v", took)
	}
	equal(t, "exit code", exitCode(t, name), "137")
}

func TestStopSignal(t *testing.T) {
	name := start(t, env, "--stop-signal", "USR1", "--", "sh", "-c", "trap 'exit 6' USR1; echo ready; while :; do sleep 0.05; done")
	waitLog(t, name, "ready")
	env.Proa("stop", name).OK(t)
	equal(t, "exit code", exitCode(t, name), "6")
	refused(t, run(t, "--stop-signal", "NOSUCH", "--", "true"), 125, "NOSUCH")
}

func TestStopSeveral(t *testing.T) {
	a, b := start(t, env, "sh", "-c", trapTerm), start(t, env, "sh", "-c", trapTerm)
	waitLog(t, a, "ready")
	waitLog(t, b, "ready")
	r := refused(t, env.Proa("stop", a, "no-such-container", b), ownError, "no-such-container")
	equal(t, "the others are stopped", r.Out(), a+"\n"+b)
}

// TestRestartOfRm: a container that goes when it ends stays for a restart, with what it wrote and its anonymous volumes.
func TestRestartOfRm(t *testing.T) {
	for _, runtime := range []string{"proa", "crun"} {
		t.Run(runtime, func(t *testing.T) {
			if runtime != "proa" {
				harness.Requires(t, runtime)
			}
			name := start(t, env, "--rm", "--runtime", runtime, "-v", "/vol", "--", "sh", "-c", "echo x >> /vol/runs; echo x >> /runs; exec sleep 1000")
			volume := inspect(t, name, "{{(index .Mounts 0).Name}}")
			runs := func() string { return env.Proa("exec", name, "sh", "-c", "cat /vol/runs /runs | wc -l").OK(t).Out() }
			harness.Eventually(t, "the first run", func() bool { return runs() == "2" })
			before := inspect(t, name, "{{.State.Pid}}")
			equal(t, "restart", env.Proa("restart", "-t", "0", name).OK(t).Out(), name)
			harness.Eventually(t, "the next run", func() bool { return runs() == "4" })
			if pid := inspect(t, name, "{{.State.Pid}}"); pid == before {
				t.Errorf("the process after the restart is %s still", pid)
			}
			env.Proa("pause", name).Run(t)
			env.Proa("restart", "-t", "0", name).OK(t)
			env.Proa("stop", "-t", "0", name).OK(t)
			refused(t, env.Proa("inspect", name), 1, name)
			env.Proa("volume", "exists", volume).Want(t, 1)
		})
	}
}

// TestRestartOfRmKilled: what a killed restart kept goes, and so does what can't be started again.
func TestRestartOfRmKilled(t *testing.T) {
	name := start(t, env, "--rm", "--", "sh", "-c", "trap '' TERM; echo ready; while ! test -e /end; do sleep 0.05; done")
	waitLog(t, name, "ready")
	x := env.Proa("restart", "-t", "1000", name).Exec(context.Background())
	if err := x.Start(); err != nil {
		t.Fatal(err)
	}
	harness.Eventually(t, "the container is asked to end", func() bool { return strings.Contains(events(t, name, "{{.Action}}"), "kill") })
	if err := x.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = x.Wait()
	env.Proa("exec", name, "touch", "/end").OK(t)
	harness.Eventually(t, "it is removed", func() bool { return env.Proa("container", "exists", name).Run(t).Code == 1 })

	name = start(t, env, "--rm", "--", "sh", "-c", "rm /bin/sh; echo gone; sleep 1000")
	waitLog(t, name, "gone")
	refused(t, env.Proa("restart", "-t", "0", name), 1, "sh")
	env.Proa("container", "exists", name).Want(t, 1)
}

// TestRestartOfRmAttached: who is attached to the run hears of its end and does not remove the container.
func TestRestartOfRmAttached(t *testing.T) {
	withImage(t, env)
	name := containerName(t)
	removeLater(t, env, name)
	x := env.Proa("run", "--rm", "--network=none", "--name", name, image, "sh", "-c", "trap 'exit 7' TERM; while :; do sleep 0.05; done").Exec(context.Background())
	if err := x.Start(); err != nil {
		t.Fatal(err)
	}
	harness.Eventually(t, "it runs", func() bool { return env.Proa("exec", name, "true").Run(t).Code == 0 })
	for range 3 {
		env.Proa("restart", name).OK(t)
	}
	if err := x.Wait(); err == nil || x.ProcessState.ExitCode() != 7 {
		t.Errorf("the attached command ends with %v", err)
	}
	equal(t, "state", inspect(t, name, "{{.State.Status}}"), "running")
	env.Proa("rm", "-f", name).OK(t)
}
