package tests

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/proa-containers/proa/tests/harness"
)

// lockFile of a container, which says how far a command has got with it.
func lockFile(e *harness.Env, id string) string { return filepath.Join(e.Runtime, "proa/locks", id) }

// leaveUnfinished makes a container look as if the command that made or removed it had been killed.
func leaveUnfinished(t testing.TB, e *harness.Env, name string) {
	t.Helper()
	id := e.Proa("create", "--network=none", "--name", name, image, "true").OK(t).Out()
	f, err := os.OpenFile(lockFile(e, id), os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteString("unfinished\n"); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestHalfThere: a container that a killed command has half made or half removed is gone for every command, and its name
// is free.
func TestHalfThere(t *testing.T) {
	e, files := crashEnv(t)
	for verb, line := range map[string][]string{
		"start": {"start", "c"}, "inspect": {"inspect", "--type", "container", "c"}, "rename": {"rename", "c", "d"}, "rm": {"rm", "c"},
	} {
		leaveUnfinished(t, e, "c")
		refused(t, e.Proa(line...), ownError, "no such container", `"c"`)
		equal(t, "ps after "+verb, e.Proa("ps", "-aq").OK(t).Out(), "")
	}
	leaveUnfinished(t, e, "c")
	equal(t, "ps", e.Proa("ps", "-aq").OK(t).Out(), "")
	leaveUnfinished(t, e, "c")
	e.Proa("create", "--network=none", "--name", "c", image, "true").OK(t)
	e.Proa("start", "-a", "c").OK(t)
	e.Proa("rm", "c").OK(t)
	sameFiles(t, e, files)
	sound(t, e)
}

// TestKillCreateAndRm kills create and rm at points spread over them: what is listed then is whole.
func TestKillCreateAndRm(t *testing.T) {
	e, files := crashEnv(t)
	killed := func(after time.Duration, args ...string) {
		t.Helper()
		x := e.Proa(args...).Exec(context.Background())
		if err := x.Start(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(after)
		_ = x.Process.Kill()
		_ = x.Wait()
	}
	for n := range 20 {
		killed(time.Duration(n)*time.Millisecond, "create", "--network=none", "--name", "c", image, "echo", "hi")
		if e.Proa("ps", "-aq").OK(t).Out() == "" {
			e.Proa("create", "--network=none", "--name", "c", image, "echo", "hi").OK(t)
		}
		equal(t, "start", e.Proa("start", "-a", "c").OK(t).Out(), "hi")
		killed(time.Duration(n)*time.Millisecond, "rm", "c")
		if e.Proa("ps", "-aq").OK(t).Out() != "" {
			equal(t, "start", e.Proa("start", "-a", "c").OK(t).Out(), "hi")
			e.Proa("rm", "c").OK(t)
		}
	}
	sameFiles(t, e, files)
	sound(t, e)
}

// TestInitOfNobody: the monitor was killed when its init ran and it had not yet said so.
func TestInitOfNobody(t *testing.T) {
	e, _ := crashEnv(t)
	for verb, line := range map[string][]string{"ps": {"ps"}, "start": {"start", "c"}, "rm": {"rm", "c"}} {
		id := e.Proa("run", "-d", "--network=none", "--name", "c", image, "sleep", "40001").OK(t).Out()
		init, monitor := pids(t, e, "c")
		kill(t, monitor)
		harness.Eventually(t, "the monitor is gone", func() bool { return processState(monitor) == "" })
		if err := os.Remove(filepath.Join(e.Runtime, "proa/containers", id, "init")); err != nil {
			t.Fatal(err)
		}
		e.Proa(line...).OK(t)
		harness.Eventually(t, "after "+verb+" the init is gone", func() bool { return processState(init) == "" })
		e.Proa("rm", "-f", "c").OK(t)
	}
}

// TestCgroupOfNobody: the cgroup of a container whose command was killed before it had written its record.
func TestCgroupOfNobody(t *testing.T) {
	e, d := delegated(t)
	d.Proa("run", "--rm", "--network=none", image, "true").OK(t)
	id := strings.Repeat("ab", 32)
	dir := filepath.Join(d.Dir, "proa", id)
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Chown(dir, e.UID, e.GID); err != nil {
		t.Fatal(err)
	}
	seen := fmt.Sprintf("/sys/fs/cgroup/%s/proa/%s", filepath.Base(d.Dir), id)
	e.WriteFile(t, lockFile(e, id), "cgroup "+seen+"\n", 0o600)
	d.Proa("ps").OK(t)
	equal(t, "cgroups left", strings.Join(d.Cgroups(t), " "), "proa")
	if _, err := os.Stat(lockFile(e, id)); err == nil {
		t.Error("the lock file is left")
	}
}
