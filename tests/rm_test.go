package tests

import "testing"

func TestRm(t *testing.T) {
	name := start(t, env, "sleep", "1000")
	refused(t, env.Proa("rm", name), ownError, name, "running")
	equal(t, "rm -f prints", env.Proa("rm", "-f", name).OK(t).Out(), name)
	refused(t, env.Proa("inspect", "--type", "container", name), ownError, name)
	refused(t, env.Proa("rm", name), ownError, name)
	env.Proa("rm", "-f", name).OK(t) // forced, a missing one is fine, as in Docker
}

func TestRmByID(t *testing.T) {
	e := withImage(t, env.Fresh(t))
	name := start(t, e, "true")
	e.Proa("wait", name).OK(t)
	id := e.Proa("inspect", "-f", "{{.Id}}", name).OK(t).Out()
	e.Proa("rm", id[:6]).OK(t)
	equal(t, "ps -aq", e.Proa("ps", "-aq").OK(t).Out(), "")
}

func TestRmLeavesNothing(t *testing.T) {
	e := withImage(t, env.Fresh(t))
	e.Proa("run", "--rm", "--network=none", image, "true").OK(t) // makes the databases
	before := storeFiles(t, e)
	for range 3 {
		name := start(t, e, "sh", "-c", "echo x > /f")
		e.Proa("wait", name).OK(t)
		e.Proa("rm", name).OK(t)
	}
	sameFiles(t, e, before)
}

func TestRemovedNameIsFree(t *testing.T) {
	name := start(t, env, "true")
	env.Proa("wait", name).OK(t)
	env.Proa("rm", name).OK(t)
	env.Proa("run", "--network=none", "--name", name, image, "true").OK(t)
}
