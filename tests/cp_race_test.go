package tests

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/proa-containers/proa/tests/harness"
)

// TestCpExchange copies while the container exchanges a directory and a link to a directory of the host: whatever each
// copy comes to, nothing of the host is read or written. It is the attack of CVE-2018-15664.
func TestCpExchange(t *testing.T) {
	bin, err := attacker()
	if err != nil {
		t.Fatal(err)
	}
	outside, dir := env.TempDir(t), sample(t)
	env.WriteFile(t, filepath.Join(outside, "secret"), "outside", 0o644)
	tool := env.WriteFile(t, filepath.Join(env.TempDir(t), "attack"), string(bin), 0o755)
	name := start(t, env, "-v", tool+":/attack", "--", "sh", "-c",
		"mkdir -p /w/x /w/x/sub && echo inside > /w/x/secret && ln -s "+outside+" /w/y && exec /attack exchange /w/x /w/y")
	harness.Eventually(t, "the exchange goes on", func() bool { return strings.Contains(env.Proa("logs", name).OK(t).Stdout, "ready") })
	copied := map[string]int{}
	try := func(what string, args ...string) {
		t.Helper()
		r := env.Proa(append([]string{"cp"}, args...)...).Run(t)
		if r.Code == 0 {
			copied[what]++
		} else if r.Code != 1 {
			t.Fatalf("%s: exit code %d: %s", what, r.Code, r.Stderr)
		}
	}
	for range 20 {
		out := env.TempDir(t)
		try("a file out", name+":/w/x/secret", out+"/secret")
		try("a tree out", name+":/w", out)
		try("a tree out, links followed", "-L", name+":/w/x", out+"/l")
		try("a file in", dir+"/f", name+":/w/x/planted")
		try("a tree in", dir+"/d", name+":/w/x")
		try("a tree over it", dir+"/.", name+":/w/x/sub")
		got := env.Command("sh", "-c", "find $0 -type f -name secret -exec cat {} +", out).OK(t).Stdout
		if strings.Contains(got, "outside") {
			t.Fatalf("a file of the host was read: %s", got)
		}
		if left, err := os.ReadDir(outside); err != nil || len(left) != 1 {
			t.Fatalf("the host's directory was written to: %v %v", left, err)
		}
	}
	for _, what := range []string{"a file out", "a tree out", "a file in", "a tree in"} {
		if copied[what] == 0 {
			t.Errorf("%s: no copy came to anything, so that nothing was tried", what)
		}
	}
	t.Logf("copies that succeeded: %v", copied)
}
