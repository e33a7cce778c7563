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
	refused(t, env.Proa("umount"), 125, "container")
}
