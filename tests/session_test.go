package tests

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/proa-containers/proa/tests/harness"
)

// inLogin calls proa in a login session, which ends with it.
func inLogin(e *harness.Env, args ...string) *harness.Cmd {
	quoted := make([]string, 0, len(args))
	for _, a := range args {
		quoted = append(quoted, "'"+strings.ReplaceAll(a, "'", `'\''`)+"'")
	}
	return e.RootCommand("su", "-l", e.Name, "-c", "cat /proc/self/cgroup >&2; exec "+e.Prefix+"/bin/proa "+strings.Join(quoted, " "))
}

// TestSessionOutlived starts a container in a login session, whose cgroup is root's, and finds it alive after the
// log-out.
func TestSessionOutlived(t *testing.T) {
	harness.Requires(t, "root", "vm", "su")
	e := withImage(t, env.Session(t))
	name := containerName(t)
	r := inLogin(e, "run", "-d", "--network=none", "--memory=64m", "--name", name, image, "sleep", "600").OK(t)
	removeLater(t, e, name)
	if !strings.Contains(r.Stderr, "/session-") {
		t.Fatalf("su -l made no session: %s", r.Stderr)
	}
	equal(t, "status after the log-out", inspectField(t, e, name, "{{.State.Status}}"), "running")
	equal(t, "memory.max", e.Proa("exec", name, "cat", "/sys/fs/cgroup/memory.max").OK(t).Out(), "67108864")
	r = inLogin(e, "exec", name, "cat", "/sys/fs/cgroup/pids.current").OK(t) // from another session
	equal(t, "processes of the cgroup", r.Out(), "2")
	b, err := os.ReadFile(fmt.Sprintf("/proc/%s/cgroup", inspectField(t, e, name, "{{.State.Pid}}")))
	if err != nil {
		t.Fatal(err)
	}
	if want := fmt.Sprintf("/user@%d.service/", e.UID); !strings.Contains(string(b), want) {
		t.Errorf("the container is in %s, not beneath %s", b, want)
	}
	e.Proa("stop", "-t", "0", name).OK(t)
}
