package tests

import (
	"fmt"
	"strings"
	"testing"

	"github.com/proa-containers/proa/tests/harness"
)

func TestExec(t *testing.T) {
	name := start(t, env, "-e", "A=1", "-w", "/tmp", "--", "sleep", "1000")
	ex := func(args ...string) string { return env.Proa(append([]string{"exec"}, args...)...).OK(t).Out() }
	equal(t, "output", ex(name, "echo", "hello"), "hello")
	equal(t, "environment", ex("-e", "B=2", name, "sh", "-c", "echo $A$B"), "12")
	equal(t, "container's directory", ex(name, "pwd"), "/tmp")
	equal(t, "-w", ex("-w", "/etc", name, "pwd"), "/etc")
	equal(t, "-u", ex("-u", "alice", name, "id", "-un"), "alice")
	for _, ns := range []string{"pid", "mnt", "uts", "ipc", "net", "user", "cgroup"} {
		equal(t, ns, ex(name, "readlink", "/proc/self/ns/"+ns), ex(name, "readlink", "/proc/1/ns/"+ns))
	}
	for _, code := range []int{0, 1, 42, 125, 126, 127, 255} {
		env.Proa("exec", name, "sh", "-c", fmt.Sprintf("exit %d", code)).Want(t, code)
	}
	s := ex(name, "cat", "/proc/self/status")
	equal(t, "capabilities", field(s, "CapEff"), dockerCaps)
	equal(t, "inheritable", field(s, "CapInh"), "0000000000000000")
	equal(t, "seccomp", field(s, "Seccomp"), "2")
}

func TestExecStreams(t *testing.T) {
	name := start(t, env, "sleep", "1000")
	c := env.Proa("exec", "-i", name, "cat")
	c.Stdin = strings.NewReader("in\n")
	equal(t, "-i", c.OK(t).Stdout, "in\n")
	r := env.Proa("exec", name, "sh", "-c", "echo out; echo err >&2").OK(t)
	equal(t, "stdout", r.Stdout, "out\n")
	equal(t, "stderr", r.Stderr, "err\n")
}

func TestExecDetached(t *testing.T) {
	name := start(t, env, "sleep", "1000")
	env.Proa("exec", "-d", name, "sh", "-c", "echo done > /tmp/f").OK(t)
	env.Proa("exec", name, "sh", "-c", "while ! test -s /tmp/f; do sleep 0.05; done").OK(t)
}

// TestExecDetachedTerminal expects a command in the background to keep its terminal, and not to block on its output.
func TestExecDetachedTerminal(t *testing.T) {
	for _, flags := range [][]string{nil, {"--runtime", "crun"}} {
		if flags != nil {
			harness.Requires(t, "crun")
		}
		name := start(t, env, append(flags, "--", "sleep", "1000")...)
		env.Proa("exec", "-dt", name, "sh", "-c", "sleep 0.3; test -t 1 && head -c 300000 /dev/zero && echo done > /tmp/f").OK(t)
		env.Proa("exec", name, "sh", "-c", "for i in $(seq 100); do test -s /tmp/f && exit; sleep 0.1; done; exit 1").OK(t)
	}
}

// TestExecDetachKeys: typed at its terminal they leave the command in the background, which keeps the terminal.
func TestExecDetachKeys(t *testing.T) {
	for _, flags := range [][]string{nil, {"--runtime", "crun"}} {
		if flags != nil {
			harness.Requires(t, "crun")
		}
		name := start(t, env, append(flags, "--", "sleep", "1000")...)
		term := env.Proa("exec", "-it", "--detach-keys", "ctrl-x,y", name, "sh").OnTerminal(t, 24, 80)
		term.Expect(t, "# ")
		term.Type(t, "echo at=$((40+2)); while ! test -e /go; do sleep 0.05; done; head -c 300000 /dev/zero && test -t 1 && echo done > /went\n")
		term.Expect(t, "at=42")
		term.Type(t, "\x18y")
		sane(t, "exec --detach-keys", term, 0)
		env.Proa("exec", name, "touch", "/go").OK(t)
		harness.Eventually(t, "the command goes on", func() bool { return env.Proa("exec", name, "test", "-s", "/went").Run(t).Code == 0 })
		equal(t, "events", events(t, name, "{{.Action}}", "--filter", "event=exec_detach"), "exec_detach: sh")
	}
	refused(t, env.Proa("exec", "--detach-keys", "ctrl-", "c", "true"), 125, "--detach-keys")
}

func TestExecPreserveFds(t *testing.T) {
	name := start(t, env, "sleep", "1000")
	script := func(flags, command string) *harness.Cmd {
		return env.Command("sh", "-c", "exec 3<<A 4>/dev/null; exec proa exec "+flags+" "+name+" "+command+"\nthree\nA\n")
	}
	equal(t, "descriptor 3", script("--preserve-fds=2", "sh -c 'cat <&3; test -e /proc/self/fd/4 && echo four'").OK(t).Out(), "three\nfour")
	equal(t, "without it", script("", "sh -c 'test -e /proc/self/fd/3 || echo none'").OK(t).Out(), "none")
	refused(t, script("--preserve-fds=9", "true"), 125, "--preserve-fds", "descriptor")
	refused(t, env.Proa("exec", "--preserve-fds=-1", name, "true"), 125, "--preserve-fds")
}

func TestExecTerminal(t *testing.T) {
	execTerminal(t, start(t, env, "sleep", "1000"))
}

// execTerminal wants a shell in the container to have the terminal that it is given.
func execTerminal(t *testing.T, name string) {
	t.Helper()
	term := env.Proa("exec", "-it", name, "sh").OnTerminal(t, 30, 99)
	term.Expect(t, "# ")
	term.Type(t, "stty size; exit 3\n")
	term.Expect(t, "30 99")
	sane(t, "exec", term, 3)
}

func TestExecErrors(t *testing.T) {
	name := start(t, env, "sleep", "1000")
	refused(t, env.Proa("exec", name, "no-such-command"), 127, "no-such-command")
	refused(t, env.Proa("exec", name, "/etc/notexec"), 126, "/etc/notexec")
	refused(t, env.Proa("exec", "no-such-container", "true"), ownError, "no-such-container")
	refused(t, env.Proa("exec", "-u", "nobody-here", name, "true"), ownError, "nobody-here")
	env.Proa("stop", "-t", "0", name).OK(t)
	refused(t, env.Proa("exec", name, "true"), ownError, name, "running")
}

func TestExecEndsWithContainer(t *testing.T) {
	name := start(t, env, "sleep", "1000")
	env.Proa("exec", "-d", name, "sleep", "1000").OK(t)
	env.Proa("rm", "-f", name).OK(t)
}

func TestExecLeavesContainerRunning(t *testing.T) {
	name := start(t, env, "sleep", "1000")
	for range 10 {
		env.Proa("exec", name, "true").OK(t)
	}
	equal(t, "processes", env.Proa("exec", name, "sh", "-c", "cd /proc; set -- [0-9]*; echo $#").OK(t).Out(), "2") // sleep, sh
}

// TestExecSlowReader: what the command wrote before it ended reaches a reader that takes its time.
func TestExecSlowReader(t *testing.T) {
	name := start(t, env, "sleep", "1000")
	for _, flags := range []string{"-t", ""} {
		for _, n := range []string{"12000", "12500"} {
			r := env.Command("sh", "-c", "{ proa exec "+flags+" "+name+" seq 1 "+n+"; echo $? >&2; } | (sleep 1; cat) | wc -l").OK(t)
			equal(t, "exec "+flags+" seq 1 "+n, strings.TrimSpace(r.Stdout), n)
			equal(t, "exit code", r.Stderr, "0\n")
		}
	}
}
