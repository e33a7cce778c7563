package tests

import (
	"testing"

	"github.com/proa-containers/proa/tests/harness"
)

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

func TestWaitCondition(t *testing.T) {
	e := withImage(t, env.Fresh(t))
	e.Proa("create", "--network=none", "--name", "a", image, "sleep", "1000").OK(t)
	removeLater(t, e, "a")
	equal(t, "created", e.Proa("wait", "--condition=created", "a").OK(t).Out(), "-1")
	equal(t, "configured", e.Proa("wait", "--condition=running", "--condition=configured", "a").OK(t).Out(), "-1")
	equal(t, "not-running", e.Proa("wait", "--condition=not-running", "a").OK(t).Out(), "0")
	waits := func(args ...string) (ended func(want string)) {
		c := e.Proa(append([]string{"wait", "--interval", "20ms"}, args...)...)
		done := make(chan harness.Result, 1)
		go func() { done <- c.Run(t) }()
		return func(want string) { t.Helper(); equal(t, c.String(), (<-done).Out(), want) }
	}
	ended := waits("--condition=running", "a")
	e.Proa("start", "a").OK(t)
	ended("-1")
	ended = waits("--condition=exited", "--condition=removed", "a")
	e.Proa("kill", "a").OK(t)
	ended("137")
	equal(t, "one that has ended", e.Proa("wait", "--condition=stopped", "--interval=5", "a").OK(t).Out(), "137")
	ended = waits("--condition=removed", "a")
	e.Proa("rm", "a").OK(t)
	ended("-1")
	e.Proa("create", "--network=none", "--name", "b", image).OK(t)
	c := e.Proa("wait", "--interval", "20ms", "--condition", "paused", "b")
	done := make(chan harness.Result, 1)
	go func() { done <- c.Run(t) }()
	e.Proa("rm", "b").OK(t)
	if r := <-done; r.Code != 1 {
		t.Errorf("wait for a container that is removed: %+v", r)
	}
}

func TestWaitIgnore(t *testing.T) {
	e := withImage(t, env.Fresh(t))
	e.Proa("run", "--network=none", "--name", "a", image, "sh", "-c", "exit 4").Want(t, 4)
	equal(t, "--ignore", e.Proa("wait", "--ignore", "no-such", "a", "neither").OK(t).Out(), "-1\n4\n-1")
	equal(t, "--latest", e.Proa("wait", "--latest").OK(t).Out(), "4")
}
