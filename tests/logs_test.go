package tests

import (
	"context"
	"fmt"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

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
	equal(t, "-n 1", env.Proa("logs", "-n", "1", lines).OK(t).Stdout, "9\n")
	equal(t, "-n 0", env.Proa("logs", "-n0", lines).OK(t).Stdout, "")
	equal(t, "-n -1", env.Proa("logs", "-n", "-1", lines).OK(t).Stdout, "1\n2\n3\n4\n5\n6\n7\n8\n9\n")
	equal(t, "--latest", env.Proa("logs", "--latest", "-n1").OK(t).Stdout, "9\n")
	refused(t, env.Proa("logs", "no-such-container"), 1, "no-such-container")
	refused(t, env.Proa("logs", lines, "no-such-container"), 1, "no-such-container")
	refused(t, env.Proa("logs"), ownError, "at least one container")
	refused(t, env.Proa("logs", "--latest", lines), ownError, "--latest")
	refused(t, env.Proa("logs", "--tail", "some", lines), ownError, `"some"`)
	for _, bad := range []string{"yesterday", "10.x", "-5", "2026-13-01", "99999999999999999999"} {
		refused(t, env.Proa("logs", "--since="+bad, lines), ownError, "--since", bad)
		refused(t, env.Proa("logs", "--until="+bad, lines), ownError, "--until", bad)
	}
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

func TestLogsSinceUntil(t *testing.T) {
	name := start(t, env, "sh", "-c", "echo one; sleep 4; echo two")
	env.Proa("wait", name).OK(t)
	stamps := strings.Fields(env.Proa("logs", "-t", name).OK(t).Stdout) // TIME one TIME two
	if len(stamps) != 4 {
		t.Fatalf("%q", stamps)
	}
	first, err := time.Parse(time.RFC3339Nano, stamps[0])
	if err != nil {
		t.Fatal(err)
	}
	middle := first.Add(time.Second) // nearer to the first: a duration counts from when proa has started
	for _, at := range []string{
		middle.Format(time.RFC3339Nano), middle.Local().Format("2006-01-02T15:04:05.999999"), fmt.Sprintf("%d.%09d", middle.Unix(), middle.Nanosecond()),
		time.Since(middle).String(),
	} {
		if _, err := time.ParseDuration(at); err == nil {
			at = time.Since(middle).String() // of now, not of when the list was made
		}
		equal(t, "--since "+at, env.Proa("logs", "--since", at, name).OK(t).Stdout, "two\n")
		equal(t, "--until "+at, env.Proa("logs", "--until", at, name).OK(t).Stdout, "one\n")
	}
	equal(t, "--since 1h", env.Proa("logs", "--since", "1h", name).OK(t).Stdout, "one\ntwo\n")
	equal(t, "--since 0", env.Proa("logs", "--since", "0", name).OK(t).Stdout, "one\ntwo\n")
	equal(t, "--until 1h", env.Proa("logs", "--until", "1h", name).OK(t).Stdout, "")
}

func TestLogsOfSeveral(t *testing.T) {
	const await = "while ! test -e /go; do sleep 0.05; done; "
	a := start(t, env, "sh", "-c", "echo a1; "+await+"printf a2")
	waitLog(t, a, "a1")
	b := start(t, env, "sh", "-c", "echo err >&2; echo b1; "+await+"echo b2")
	waitLog(t, b, "b1")
	for _, name := range []string{a, b} {
		env.Proa("exec", name, "touch", "/go").OK(t)
		env.Proa("wait", name).OK(t)
	}
	ids := map[string]string{}
	for _, name := range []string{a, b} {
		ids[name] = env.Proa("inspect", "-f", "{{.Id}}", name).OK(t).Out()[:12]
	}
	r := env.Proa("logs", a, b).OK(t)
	equal(t, "two", r.Stdout, ids[a]+" a1\n"+ids[b]+" b1\n"+ids[a]+" a2\n"+ids[b]+" b2\n")
	equal(t, "two, stderr", r.Stderr, ids[b]+" err\n")
	equal(t, "--names of one", env.Proa("logs", "--names", a).OK(t).Stdout, a+" a1\n"+a+" a2")
	equal(t, "--color", env.Proa("logs", "--color", "--names", "-n1", a).OK(t).Stdout, "\x1b[37m"+a+"\x1b[0m a2")
	c := env.Proa("logs", "-c", "-n1", a)
	c.Env = []string{"NO_COLOR=1"}
	equal(t, "NO_COLOR", c.OK(t).Stdout, ids[a]+" a2")
	equal(t, "-f of two that ended", env.Proa("logs", "-f", "-n1", "--names", a, b).OK(t).Stdout, fmt.Sprintf("%-*s a2\n%s b2\n", len(b), a, b))
}

// TestLogsAfterRestart: a container that is started again goes on with its log.
func TestLogsAfterRestart(t *testing.T) {
	for _, driver := range []string{"k8s-file", "json-file"} {
		name := start(t, env, "--log-driver", driver, "--", "echo", "run")
		env.Proa("wait", name).OK(t)
		env.Proa("start", name).OK(t)
		env.Proa("wait", name).OK(t)
		equal(t, driver, env.Proa("logs", name).OK(t).Stdout, "run\nrun\n")
		env.Proa("rm", "-f", name).OK(t)
	}
}

// following starts logs -f and waits until it has shown text.
func following(t *testing.T, text string, args ...string) (*exec.Cmd, *buffer, chan error) {
	t.Helper()
	x := env.Proa(append([]string{"logs", "-f"}, args...)...).Exec(context.Background())
	out := &buffer{}
	x.Stdout = out
	if err := x.Start(); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- x.Wait() }()
	t.Cleanup(func() { _ = x.Process.Kill() })
	harness.Eventually(t, "logs -f shows "+text, func() bool { return strings.Contains(out.String(), text) })
	return x, out, done
}

func TestLogsFollowEnds(t *testing.T) {
	name := start(t, env, "sh", "-c", "echo up; exec sleep 1000")
	for sig, want := range map[syscall.Signal]int{syscall.SIGINT: 130, syscall.SIGTERM: 143} {
		x, _, done := following(t, "up", name)
		if err := x.Process.Signal(sig); err != nil {
			t.Fatal(err)
		}
		harness.Eventually(t, sig.String()+" ends logs -f", func() bool { return len(done) == 1 })
		if code := harness.ExitCode(x.ProcessState); code != want {
			t.Errorf("%v: exit code %d, want %d", sig, code, want)
		}
	}
	// Whoever reads goes away while the container says nothing.
	r := env.Command("sh", "-c", "proa logs -f "+name+" | head -n 1").OK(t)
	equal(t, "logs -f | head", r.Stdout+r.Stderr, "up\n")
	_, _, killed := following(t, "up", name)
	_, _, removed := following(t, "up", name)
	monitor, err := strconv.Atoi(env.Proa("inspect", "-f", "{{.State.MonitorPid}}", name).OK(t).Out())
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(monitor, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	env.Proa("kill", name).Run(t)
	harness.Eventually(t, "logs -f ends with a container whose monitor was killed", func() bool { return len(killed) == 1 })
	env.Proa("rm", "-f", name).OK(t)
	harness.Eventually(t, "logs -f ends with a removed container", func() bool { return len(removed) == 1 })
	equal(t, "logs -f of a stopped container", env.Proa("logs", "-f", start(t, env, "true")).OK(t).Stdout, "")
}

func TestLogsPipeCloses(t *testing.T) {
	name := start(t, env, "seq", "1", "200000")
	env.Proa("wait", name).OK(t)
	r := env.Command("sh", "-c", "proa logs "+name+" | head -n 2").OK(t)
	equal(t, "logs | head", r.Stdout+r.Stderr, "1\n2\n")
	r = env.Command("sh", "-c", "proa logs "+name+" >/dev/full").Run(t)
	if r.Code != 1 || !strings.Contains(r.Stderr, "no space left") {
		t.Errorf("onto a full disk: exit code %d, %q", r.Code, r.Stderr)
	}
}
