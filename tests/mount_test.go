package tests

import (
	"strings"
	"testing"
)

func TestMount(t *testing.T) {
	name := start(t, env, "sh", "-c", "echo mine > /mine; sleep 1000")
	env.Proa("exec", name, "sh", "-c", "while ! test -s /mine; do sleep 0.05; done").OK(t)
	before := strings.Join(env.PauseMounts(), "\n")
	path := env.Proa("mount", name).OK(t).Out()
	equal(t, "a file of root's", env.Command("cat", path+"/mine").OK(t).Out(), "mine")
	equal(t, "within unshare", env.Proa("unshare", "cat", path+"/mine").OK(t).Out(), "mine")
	if list := env.Proa("container", "mount").OK(t).Out(); !strings.Contains(list, path) {
		t.Errorf("mount does not list %s: %s", path, list)
	}
	equal(t, "unmount prints", env.Proa("unmount", name).OK(t).Out(), name)
	equal(t, "mounts", strings.Join(env.PauseMounts(), "\n"), before)
	refused(t, env.Proa("mount", stopped(t, env)), 1, "not running", "cp")
	refused(t, env.Proa("mount", "no-such-container"), 1, "no-such-container")
	refused(t, env.Proa("umount", "no-such-container"), 1, "no-such-container")
	refused(t, env.Proa("umount"), 1, "container")
}

// TestLatest: each of these takes the container that was made last in place of a name.
func TestLatest(t *testing.T) {
	e := withImage(t, env.Fresh(t))
	refused(t, e.Proa("diff", "--latest"), 1, "--latest", "no container")
	start(t, e, "sleep", "1000")
	name := start(t, e, "sh", "-c", "echo x > /made; exec sleep 1001")
	e.Proa("exec", name, "sh", "-c", "while ! test -s /made; do sleep 0.05; done").OK(t)
	equal(t, "diff", e.Proa("diff", "-l").OK(t).Out(), "A /made")
	equal(t, "mount", e.Proa("mount", "-l").OK(t).Out(), e.Proa("mount", name).OK(t).Out())
	equal(t, "port", e.Proa("port", "--latest").OK(t).Out(), "")
	refused(t, e.Proa("port", "-l", "80"), 1, name, "80")
	if top := e.Proa("top", "-l", "-o", "pid,args").OK(t).Out(); !strings.Contains(top, "sleep 1001") || strings.Count(top, "\n") != 1 {
		t.Errorf("top --latest:\n%s", top)
	}
	refused(t, e.Proa("diff", "-l", name), 125, "one container")
	refused(t, e.Proa("stats", "-l", name), 125, "--latest")
	refused(t, e.Proa("mount", "-l", name), 1, "--latest")
}
