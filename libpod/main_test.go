package libpod

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/proa-containers/proa/libpod/config"
	"github.com/proa-containers/proa/oci/launch"
	"github.com/proa-containers/proa/oci/monitor"
	"golang.org/x/sys/unix"
)

// A monitor is known by a POSIX lock, which another process must hold: the test program itself.
const lockEnv = "PROA_TEST_LOCK"

func TestMain(m *testing.M) {
	path := os.Getenv(lockEnv)
	if path == "" {
		os.Exit(m.Run())
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err == nil {
		err = unix.FcntlFlock(f.Fd(), unix.F_SETLK, &unix.Flock_t{Type: unix.F_WRLCK})
	}
	fmt.Println(err)
	io.Copy(io.Discard, os.Stdin)
}

// monitorOf has another process hold the monitor's lock of c, until stop.
func monitorOf(t *testing.T, e *Engine, c *Container) (pid int, stop func()) {
	t.Helper()
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), lockEnv+"="+filepath.Join(e.runDir(c.ID), monitor.LockFile))
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if line, err := bufio.NewReader(out).ReadString('\n'); err != nil || line != "<nil>\n" {
		t.Fatalf("the lock's holder says %q, %v", line, err)
	}
	stop = func() { in.Close(); cmd.Wait() }
	t.Cleanup(stop)
	return cmd.Process.Pid, stop
}

func newEngine(t testing.TB) *Engine {
	t.Helper()
	dir := t.TempDir()
	p := config.Paths{DataDir: filepath.Join(dir, "data"), RunDir: filepath.Join(dir, "run"), Home: dir}
	for _, d := range []string{p.DataDir, p.RunDir} {
		if err := os.Mkdir(d, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	e, err := New(t.Context(), Options{Paths: p})
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// newContainer is a recorded container on a plain directory, which needs no image store.
func newContainer(t testing.TB, e *Engine, name string) *Container {
	t.Helper()
	c := &Container{Name: name, Rootfs: t.TempDir()}
	c.Config.Process.Cmd = []string{"true"}
	if err := e.Create(t.Context(), c, nil); err != nil {
		t.Fatal(err)
	}
	return c
}

// sleeper is a process to stand for a container's init.
func sleeper(t *testing.T) (*exec.Cmd, monitor.Init) {
	t.Helper()
	cmd := exec.Command("sleep", "600")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	start, err := launch.StartTime(cmd.Process.Pid)
	if err != nil {
		t.Fatal(err)
	}
	return cmd, monitor.Init{PID: cmd.Process.Pid, StartTime: start, StartedAt: time.Now().Round(0)}
}

// leave writes a file of the monitor's into the run directory of c.
func leave(t *testing.T, e *Engine, c *Container, name string, v any) {
	t.Helper()
	if err := os.MkdirAll(e.runDir(c.ID), 0o700); err != nil {
		t.Fatal(err)
	}
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(e.runDir(c.ID), name), b, 0o600); err != nil {
		t.Fatal(err)
	}
}

func mustContain(t *testing.T, err error, words ...string) {
	t.Helper()
	if err == nil {
		t.Errorf("no error, want one with %q", words)
		return
	}
	for _, w := range words {
		if !strings.Contains(err.Error(), w) {
			t.Errorf("%q lacks %q", err, w)
		}
	}
}
