package harness

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// defaultTimeout is for one command; a command that takes longer hangs.
const defaultTimeout = 90 * time.Second

// Cmd is one command to run as the user. The zero values of its fields are: no input, the user's environment, the
// user's home, defaultTimeout.
type Cmd struct {
	Args    []string
	Stdin   io.Reader
	Env     []string // added to, and overriding, the user's environment
	Dir     string
	Timeout time.Duration

	env  *Env
	attr *syscall.SysProcAttr
}

// Result is how a command ended. Code is 128+n for a command that signal n killed.
type Result struct {
	Stdout, Stderr string
	Code           int
}

// Out is the standard output without its last newline.
func (r Result) Out() string { return strings.TrimRight(r.Stdout, "\n") }

// Command prepares a program to be run as the user; proa and proa-runtime are the built ones.
func (e *Env) Command(args ...string) *Cmd {
	if args[0] == "proa" || args[0] == "proa-runtime" {
		args = append([]string{filepath.Join(e.Prefix, "bin", args[0])}, args[1:]...)
	}
	return &Cmd{Args: args, env: e}
}

// Environ is the user's environment.
func (e *Env) Environ() []string {
	return append([]string{
		"HOME=" + e.Home, "USER=" + e.Name, "LOGNAME=" + e.Name, "XDG_RUNTIME_DIR=" + e.Runtime, "LANG=C.UTF-8", "TERM=xterm",
		"PATH=" + filepath.Join(e.Prefix, "bin") + ":/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
	}, e.Extra...)
}

// Exec is the command as an exec.Cmd, for tests that start it and watch it.
func (c *Cmd) Exec(ctx context.Context) *exec.Cmd {
	x := exec.CommandContext(ctx, c.Args[0], c.Args[1:]...)
	x.Env = append(c.env.Environ(), c.Env...)
	x.Dir = c.Dir
	if x.Dir == "" {
		x.Dir = c.env.Home
	}
	x.Stdin = c.Stdin
	x.SysProcAttr = &syscall.SysProcAttr{}
	if c.attr != nil {
		x.SysProcAttr = c.attr
	}
	if c.env.asRoot {
		x.SysProcAttr.Credential = &syscall.Credential{Uid: uint32(c.env.UID), Gid: uint32(c.env.GID)}
	}
	// A detached child that keeps the output open would hang whoever reads proa's output; the test must see that.
	x.WaitDelay = 3 * time.Second
	return x
}

// Run runs the command to its end. It fails the test when the command can't be started, hangs, or leaves its output
// open behind it.
func (c *Cmd) Run(t testing.TB) Result {
	t.Helper()
	timeout := c.Timeout
	if timeout == 0 {
		timeout = defaultTimeout
	}
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	x := c.Exec(ctx)
	var stdout, stderr bytes.Buffer
	x.Stdout, x.Stderr = &stdout, &stderr
	err := x.Run()
	r := Result{Stdout: stdout.String(), Stderr: stderr.String(), Code: ExitCode(x.ProcessState)}
	var exit *exec.ExitError
	switch {
	case ctx.Err() != nil:
		t.Fatalf("%s: did not end within %v\nstdout: %s\nstderr: %s", c, timeout, r.Stdout, r.Stderr)
	case errors.Is(err, exec.ErrWaitDelay):
		t.Fatalf("%s: ended, but something it started keeps its output open", c)
	case err != nil && !errors.As(err, &exit):
		t.Fatalf("%s: %v", c, err)
	}
	return r
}

// OK runs the command and fails the test unless it exits with 0.
func (c *Cmd) OK(t testing.TB) Result {
	t.Helper()
	return c.Want(t, 0)
}

// OKWith is OK with a text as standard input.
func (c *Cmd) OKWith(t testing.TB, text string) Result {
	t.Helper()
	c.Stdin = strings.NewReader(text)
	return c.OK(t)
}

// Want runs the command and fails the test unless it exits with code.
func (c *Cmd) Want(t testing.TB, code int) Result {
	t.Helper()
	r := c.Run(t)
	if r.Code != code {
		t.Fatalf("%s: exit code %d, want %d\nstdout: %s\nstderr: %s", c, r.Code, code, r.Stdout, r.Stderr)
	}
	return r
}

func (c *Cmd) String() string {
	return strings.Join(append([]string{filepath.Base(c.Args[0])}, c.Args[1:]...), " ")
}

// Proa prepares a proa command line.
func (e *Env) Proa(args ...string) *Cmd { return e.Command(append([]string{"proa"}, args...)...) }

// ExitCode is the exit status of an ended process, 128+n when signal n killed it.
func ExitCode(s *os.ProcessState) int {
	if s == nil {
		return -1
	}
	if ws, ok := s.Sys().(syscall.WaitStatus); ok && ws.Signaled() {
		return 128 + int(ws.Signal())
	}
	return s.ExitCode()
}

// Eventually polls until ok, failing the test when it has not become true within 20 seconds.
func Eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if ok() {
			return
		}
	}
	t.Fatalf("%s: not within 20 s", what)
}
