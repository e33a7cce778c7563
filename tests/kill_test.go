package tests

import (
	"strings"
	"testing"

	"github.com/proa-containers/proa/tests/harness"
)

// waitLog waits until the container has printed text.
func waitLog(t testing.TB, name, text string) {
	t.Helper()
	harness.Eventually(t, name+" prints "+text, func() bool {
		return strings.Contains(env.Proa("logs", name).Run(t).Stdout, text)
	})
}

func TestKill(t *testing.T) {
	for _, c := range []struct{ sig, code string }{{"", "137"}, {"KILL", "137"}, {"SIGTERM", "5"}, {"15", "5"}} {
		name := start(t, env, "sh", "-c", trapTerm)
		waitLog(t, name, "ready")
		args := []string{"kill"}
		if c.sig != "" {
			args = append(args, "-s", c.sig)
		}
		equal(t, "kill prints", env.Proa(append(args, name)...).OK(t).Out(), name)
		equal(t, "wait", env.Proa("wait", name).OK(t).Out(), c.code)
		refused(t, env.Proa("kill", name), ownError, name, "running")
	}
	name := start(t, env, "sleep", "1000")
	refused(t, env.Proa("kill", "-s", "NOSUCH", name), ownError, "NOSUCH")
	refused(t, env.Proa("kill", "no-such-container"), ownError, "no-such-container")
}
