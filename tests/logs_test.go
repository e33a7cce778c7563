package tests

import (
	"context"
	"strings"
	"testing"

	"github.com/proa-containers/proa/tests/harness"
)

func TestLogs(t *testing.T) {
	name := start(t, env, "sh", "-c", "echo one; echo two >&2; printf three")
	env.Proa("wait", name).OK(t)
	r := env.Proa("logs", name).OK(t)
	equal(t, "stdout", r.Stdout, "one\nthree")
	equal(t, "stderr", r.Stderr, "two\n")
	stamped := env.Proa("logs", "-t", name).OK(t).Stdout
	for _, l := range strings.Split(stamped, "\n") {
		if stamp, _, _ := strings.Cut(l, " "); len(stamp) < 20 || stamp[4] != '-' || !strings.Contains(stamp, "T") {
			t.Errorf("logs -t: %q has no time", l)
		}
	}
	lines := start(t, env, "seq", "1", "9")
	env.Proa("wait", lines).OK(t)
	equal(t, "--tail 2", env.Proa("logs", "--tail", "2", lines).OK(t).Stdout, "8\n9\n")
	refused(t, env.Proa("logs", "no-such-container"), 1, "no-such-container")
}

func TestLogsFollow(t *testing.T) {
	name := start(t, env, "sh", "-c", "echo first; while ! test -e /go; do sleep 0.05; done; echo last")
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	x := env.Proa("logs", "-f", name).Exec(ctx)
	var out buffer
	x.Stdout = &out
	if err := x.Start(); err != nil {
		t.Fatal(err)
	}
	harness.Eventually(t, "logs -f shows the first line", func() bool { return out.String() == "first\n" })
	env.Proa("exec", name, "touch", "/go").OK(t)
	done := make(chan error, 1)
	go func() { done <- x.Wait() }()
	harness.Eventually(t, "logs -f ends with the container", func() bool { return len(done) == 1 })
	equal(t, "logs -f", out.String(), "first\nlast\n")
}

func TestLogsKeepEveryByte(t *testing.T) {
	name := start(t, env, "sh", "-c", "seq 1 50000; head -c 100000 /dev/zero | tr '\\0' x")
	env.Proa("wait", name).OK(t)
	got := env.Proa("logs", name).OK(t).Stdout
	want := env.Command("sh", "-c", "seq 1 50000; head -c 100000 /dev/zero | tr '\\0' x").OK(t).Stdout
	if got != want {
		t.Errorf("logs holds %d bytes, want the %d that were written", len(got), len(want))
	}
}

func TestLogsOfTerminal(t *testing.T) {
	name := start(t, env, "-t", "--", "sh", "-c", "echo one; echo two >&2")
	env.Proa("wait", name).OK(t)
	equal(t, "logs", strings.ReplaceAll(env.Proa("logs", name).OK(t).Stdout, "\r", ""), "one\ntwo\n")
}
