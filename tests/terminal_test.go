package tests

import (
	"bytes"
	"context"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/proa-containers/proa/tests/harness"
)

func TestRunTerminal(t *testing.T) {
	term := run(t, "-it", "--", "sh").OnTerminal(t, 33, 101)
	hasTerminal(t, term)
	term.Type(t, "(trap 'echo int=$((40+2)); exit' INT; echo up=$((40+3)); while :; do sleep 0.05; done)\n")
	term.Expect(t, "up=43")
	term.Type(t, "\x03")
	term.Expect(t, "int=42")
	term.Type(t, "exit 7\n")
	sane(t, "run", term, 7)
}

// hasTerminal wants a shell on a terminal of 33 lines and 101 columns to see its size, also when that changes.
func hasTerminal(t *testing.T, term *harness.Terminal) {
	t.Helper()
	term.Expect(t, "# ")
	term.Type(t, "stty size; tty\n")
	term.Expect(t, "33 101")
	term.Expect(t, "/dev/pts/0")
	term.Resize(t, 40, 120)
	term.Type(t, "while test \"$(stty size)\" != '40 120'; do sleep 0.05; done; echo new=$((40+1))\n")
	term.Expect(t, "new=41")
}

func TestTerminalIsRestoredOnError(t *testing.T) {
	for _, args := range [][]string{{"-it", "--", "no-such-command"}, {"-it", "--", "sh", "-c", "kill -KILL 1; exit 1"}} {
		term := run(t, args...).OnTerminal(t, 24, 80)
		before := term.Settings(t)
		term.Wait(t)
		if after := term.Settings(t); after != before {
			t.Errorf("%v: the terminal's settings were not restored", args)
		}
	}
}

func TestTerminalIsRestoredOnSignal(t *testing.T) {
	term := run(t, "-it", "--", "sh").OnTerminal(t, 24, 80)
	before := term.Settings(t)
	term.Expect(t, "# ")
	if err := term.Cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	term.Type(t, "exit 0\n") // an interactive shell ignores SIGTERM
	term.Wait(t)
	if after := term.Settings(t); after != before {
		t.Error("the terminal's settings were not restored")
	}
}

func TestRunTerminalNeedsOne(t *testing.T) {
	c := run(t, "-it", "--", "true")
	c.Stdin = strings.NewReader("")
	r := c.Run(t)
	if r.Code != 0 && !strings.Contains(strings.ToLower(r.Stderr), "tty") && !strings.Contains(r.Stderr, "terminal") {
		t.Errorf("-t without a terminal: exit code %d: %s", r.Code, r.Stderr)
	}
}

func TestRunTTYMakesOneStream(t *testing.T) {
	r := run(t, "-t", "--", "sh", "-c", "tty; echo err >&2").OK(t)
	equal(t, "stdout", r.Stdout, "/dev/pts/0\r\nerr\r\n")
	equal(t, "stderr", r.Stderr, "")
}

func TestRunProxiesSignals(t *testing.T) {
	for sig, name := range map[syscall.Signal]string{syscall.SIGTERM: "TERM", syscall.SIGINT: "INT", syscall.SIGHUP: "HUP",
		syscall.SIGUSR1: "USR1", syscall.SIGQUIT: "QUIT"} {
		x := run(t, "sh", "-c", "trap 'echo got; exit 9' "+name+"; echo ready; while :; do sleep 0.1; done").Exec(context.Background())
		var out buffer
		x.Stdout = &out
		if err := x.Start(); err != nil {
			t.Fatal(err)
		}
		harness.Eventually(t, "the container is ready", func() bool { return strings.Contains(out.String(), "ready") })
		if err := x.Process.Signal(sig); err != nil {
			t.Fatal(err)
		}
		done := make(chan error, 1)
		go func() { done <- x.Wait() }()
		select {
		case <-done:
			if code := harness.ExitCode(x.ProcessState); code != 9 || !strings.Contains(out.String(), "got") {
				t.Errorf("SIG%s: exit code %d, output %q; want 9 and got", name, code, out.String())
			}
		case <-time.After(20 * time.Second):
			_ = x.Process.Kill()
			t.Errorf("SIG%s did not reach the container", name)
		}
	}
}

// buffer is a bytes.Buffer that a command may write while a test reads.
type buffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}
