package tests

import (
	"testing"
	"time"
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
