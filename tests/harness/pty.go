package harness

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// Terminal is a command running on a pseudo terminal, and the person in front of it.
type Terminal struct {
	Cmd    *exec.Cmd
	Master *os.File
	Slave  *os.File     // kept open, so that the settings can be read after the command has ended
	Before unix.Termios // the settings before the command was started

	mu   sync.Mutex
	seen strings.Builder
	done chan struct{}
}

// OnTerminal starts the command with a new terminal of rows by cols as its controlling terminal and its stdio.
func (c *Cmd) OnTerminal(t testing.TB, rows, cols uint16) *Terminal {
	t.Helper()
	master, slave, err := openPTY()
	if err != nil {
		t.Fatal(err)
	}
	if c.env.asRoot {
		if err := slave.Chown(c.env.UID, c.env.GID); err != nil {
			t.Fatal(err)
		}
	}
	term := &Terminal{Master: master, Slave: slave, done: make(chan struct{})}
	term.Resize(t, rows, cols)
	term.Before = term.Settings(t)
	ctx, cancel := context.WithTimeout(context.Background(), defaultTimeout)
	x := c.Exec(ctx)
	x.Stdin, x.Stdout, x.Stderr = slave, slave, slave
	x.SysProcAttr.Setsid, x.SysProcAttr.Setctty = true, true
	if err := x.Start(); err != nil {
		cancel()
		t.Fatal(err)
	}
	term.Cmd = x
	go term.read()
	t.Cleanup(func() {
		cancel()
		_ = x.Wait()
		slave.Close()
		master.Close()
	})
	return term
}

func openPTY() (master, slave *os.File, err error) {
	fd, err := unix.Open("/dev/ptmx", unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, nil, fmt.Errorf("open a terminal: %w", err)
	}
	master = os.NewFile(uintptr(fd), "/dev/ptmx")
	if err := unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0); err != nil {
		return nil, nil, err
	}
	n, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err != nil {
		return nil, nil, err
	}
	slave, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|syscall.O_NOCTTY, 0)
	return master, slave, err
}

func (t *Terminal) read() {
	defer close(t.done)
	buf := make([]byte, 4096)
	for {
		n, err := t.Master.Read(buf)
		t.mu.Lock()
		t.seen.Write(buf[:n])
		t.mu.Unlock()
		if err != nil {
			return
		}
	}
}

// Screen is everything shown so far.
func (t *Terminal) Screen() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.seen.String()
}

// Type sends keys.
func (t *Terminal) Type(tb testing.TB, keys string) {
	tb.Helper()
	if _, err := t.Master.WriteString(keys); err != nil {
		tb.Fatal(err)
	}
}

// Expect waits until text is shown.
func (t *Terminal) Expect(tb testing.TB, text string) {
	tb.Helper()
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		if strings.Contains(t.Screen(), text) {
			return
		}
	}
	tb.Fatalf("the terminal does not show %q within 20 s, but: %q", text, t.Screen())
}

// Resize changes the size of the terminal; the kernel sends SIGWINCH.
func (t *Terminal) Resize(tb testing.TB, rows, cols uint16) {
	tb.Helper()
	ws := &unix.Winsize{Row: rows, Col: cols}
	if err := unix.IoctlSetWinsize(int(t.Master.Fd()), unix.TIOCSWINSZ, ws); err != nil {
		tb.Fatal(err)
	}
}

// Settings are the terminal's modes.
func (t *Terminal) Settings(tb testing.TB) unix.Termios {
	tb.Helper()
	s, err := unix.IoctlGetTermios(int(t.Slave.Fd()), unix.TCGETS)
	if err != nil {
		tb.Fatal(err)
	}
	return *s
}

// Wait waits for the command's end and returns its exit code.
func (t *Terminal) Wait(tb testing.TB) int {
	tb.Helper()
	_ = t.Cmd.Wait()
	return ExitCode(t.Cmd.ProcessState)
}
