package tests

import (
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/proa-containers/proa/tests/harness"
)

func TestTmpfsVolume(t *testing.T) {
	e := withImage(t, env.Fresh(t))
	e.Proa("volume", "create", "-o", "type=tmpfs", "-o", "device=tmpfs", "-o", "o=size=1m,mode=1770,gid=1000", "v").OK(t)
	e.Proa("run", "-d", "--name", "a", "--network=none", "-v", "v:/d", image, "sleep", "1000").OK(t)
	e.Proa("run", "-d", "--name", "b", "--network=none", "-v", "v:/d", "-u", "1000:1000", image, "sh", "-c", "echo b > /d/f; sleep 1000").OK(t)
	harness.Eventually(t, "b's file is in a", func() bool { return e.Proa("exec", "a", "cat", "/d/f").Run(t).Out() == "b" })
	equal(t, "options", e.Proa("exec", "a", "sh", "-c", "df -k /d | tail -1 | awk '{print $2}'; stat -c %g:%a /d").OK(t).Out(), "1024\n1000:1770")
	e.Proa("rm", "-f", "a").OK(t)
	equal(t, "still there", e.Proa("exec", "b", "cat", "/d/f").OK(t).Out(), "b")
	equal(t, "a third", e.Proa("run", "--rm", "--network=none", "-v", "v:/d", image, "cat", "/d/f").OK(t).Out(), "b")
	refused(t, e.Proa("volume", "rm", "v"), 1, `"b"`)
	e.Proa("volume", "export", "-o", filepath.Join(e.TempDir(t), "v.tar"), "v").OK(t)
	e.Proa("stop", "-t", "0", "b").OK(t)
	harness.Eventually(t, "the mount goes with the monitor", func() bool { return len(e.PauseMounts()) == 0 })
	refused(t, e.Proa("volume", "export", "-o", "/dev/null", "v"), 1, "tmpfs", "only while")
	equal(t, "empty again", e.Proa("run", "--rm", "--network=none", "-v", "v:/d", image, "ls", "-A", "/d").OK(t).Out(), "")

	// A monitor and init that are killed leave the mount; the next command takes it.
	e.Proa("start", "b").OK(t)
	init, monitor := pids(t, e, "b")
	kill(t, monitor)
	_ = syscall.Kill(init, syscall.SIGKILL) // if it has outlived its monitor
	harness.Eventually(t, "b has ended", func() bool { return e.Proa("inspect", "-f", "{{.State.Running}}", "b").OK(t).Out() == "false" })
	harness.Eventually(t, "the mount is gone", func() bool { e.Proa("ps", "-a").OK(t); return len(e.PauseMounts()) == 0 })
	e.Proa("rm", "b").OK(t)
	e.Proa("volume", "create", "-o", "type=tmpfs", "-o", "o=speed=1", "bad").OK(t)
	refused(t, e.Proa("run", "--rm", "--network=none", "-v", "bad:/d", image, "true"), 125, "bad", "mounting")
	equal(t, "mounts", strings.Join(e.PauseMounts(), " "), "")
	e.Proa("volume", "rm", "v", "bad").OK(t)
}

func TestBindVolume(t *testing.T) {
	e := withImage(t, env.Fresh(t))
	dir := e.TempDir(t)
	e.WriteFile(t, filepath.Join(dir, "f"), "bound", 0o644)
	e.Proa("volume", "create", "-o", "type=none", "-o", "o=bind", "-o", "device="+dir, "v").OK(t)
	e.Proa("volume", "create", "-o", "type=none", "-o", "o=bind,ro", "-o", "device="+dir, "ro").OK(t)
	equal(t, "content", e.Proa("run", "--rm", "--network=none", "-v", "v:/d", image, "sh", "-c", "cat /d/f; touch /d/new").OK(t).Out(), "bound")
	refused(t, e.Proa("run", "--rm", "--network=none", "-v", "ro:/d", image, "touch", "/d/x"), 1, "Read-only")
	equal(t, "Mountpoint", e.Proa("volume", "inspect", "-f", "{{.Mountpoint}}", "v").OK(t).Out(), dir)
	empty := e.TempDir(t)
	e.Proa("volume", "create", "-o", "type=none", "-o", "o=bind", "-o", "device="+empty, "empty").OK(t)
	equal(t, "copy-up", e.Proa("run", "--rm", "--network=none", "-v", "empty:/home", image, "stat", "-c", "%n %u", "/home/alice").OK(t).Out(), "/home/alice 1000")
	equal(t, "nothing else", e.Command("ls", "-A", empty).OK(t).Out(), "alice")
	e.Proa("unshare", "rm", "-r", empty+"/alice").OK(t)
	e.Proa("volume", "rm", "v", "ro", "empty").OK(t)
	equal(t, "the directory stays", e.Command("cat", dir+"/f").OK(t).Out(), "bound")
	e.Proa("volume", "create", "-o", "type=none", "-o", "o=bind", "-o", "device=/no/such/dir", "gone").OK(t)
	refused(t, e.Proa("run", "--rm", "--network=none", "-v", "gone:/d", image, "true"), 125, "gone", "/no/such/dir")
}
