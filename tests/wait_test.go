package tests

import "testing"

func TestWait(t *testing.T) {
	a := start(t, env, "sh", "-c", "sleep 0.3; exit 4")
	b := start(t, env, "sh", "-c", "exit 200")
	equal(t, "wait", env.Proa("wait", a, b).OK(t).Out(), "4\n200")
	equal(t, "wait again", env.Proa("wait", a).OK(t).Out(), "4")
	refused(t, env.Proa("wait", "no-such-container"), ownError, "no-such-container")
}

func TestWaitOutlivesRm(t *testing.T) {
	name := start(t, env, "--rm", "--", "sh", "-c", "sleep 0.5; exit 6")
	equal(t, "wait for a --rm container", env.Proa("wait", name).OK(t).Out(), "6")
}
