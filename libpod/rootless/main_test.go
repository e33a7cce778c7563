package rootless

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/proa-containers/proa/libpod/initbin"
	"golang.org/x/sys/unix"
)

// A POSIX lock is asked for by another process, and Enter executes its program again: the test program is both.
const helperEnv = "PROA_TEST_HELPER"

func TestMain(m *testing.M) {
	mode, arg, _ := strings.Cut(os.Getenv(helperEnv), ":")
	switch mode {
	case "":
		os.Exit(m.Run())
	case "lock":
		os.Exit(holdLock(arg))
	case "enter":
		os.Exit(enterAndTell(arg))
	case "wait":
		io.Copy(io.Discard, os.Stdin)
	}
}

func holdLock(path string) int {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err == nil {
		err = unix.FcntlFlock(f.Fd(), unix.F_SETLK, &unix.Flock_t{Type: unix.F_WRLCK})
	}
	fmt.Println(err)
	io.Copy(io.Discard, os.Stdin)
	return 0
}

func enterAndTell(runDir string) int {
	err := Enter(Options{
		RunDir: runDir,
		Init:   func() (*os.File, error) { return initbin.Open(0) },
		Warn: func(err error) {
			if errors.Is(err, ErrNoSubIDs) {
				fmt.Println("warned of single id")
			}
		},
	})
	if err != nil {
		fmt.Println("error:", err)
		return 1
	}
	m, _ := os.ReadFile("/proc/self/uid_map")
	fmt.Printf("euid %d, outer %d, joined %v, rootless %v\nmap %s", os.Geteuid(), OuterUID(), Joined(), Rootless(), m)
	return 0
}

// helper is this program in a mode of TestMain's, with a pipe as its standard input.
func helper(t *testing.T, mode string, env ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command("/proc/self/exe", "-test.run=^$")
	cmd.Env = append(append(os.Environ(), helperEnv+"="+mode), env...)
	cmd.Stderr = os.Stderr
	return cmd
}

// lockedBy has another process take the lock at path, until stop.
func lockedBy(t *testing.T, path string) (pid int, stop func()) {
	t.Helper()
	cmd := helper(t, "lock:"+path)
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

func TestHolder(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lock")
	if pid := Holder(path); pid != 0 {
		t.Errorf("a file that is not there is held by %d", pid)
	}
	pid, stop := lockedBy(t, path)
	if got := Holder(path); got != pid {
		t.Errorf("held by %d, want %d", got, pid)
	}
	link := path + ".link"
	if err := os.Symlink(path, link); err != nil {
		t.Fatal(err)
	}
	if got := Holder(link); got != 0 {
		t.Errorf("a link was followed to a lock of %d", got)
	}
	stop()
	if got := Holder(path); got != 0 {
		t.Errorf("held by %d, which has ended", got)
	}
	if got := Holder(filepath.Dir(path)); got != 0 {
		t.Errorf("a directory is held by %d", got)
	}
}

func TestSurvivor(t *testing.T) {
	dir := t.TempDir()
	if pid := survivor(dir); pid != 0 {
		t.Errorf("nothing runs, yet %d was found", pid)
	}
	for _, id := range []string{"a", "b", "c"} {
		if err := os.MkdirAll(filepath.Join(dir, "containers", id), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, "containers", id, "monitor.lock"), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if pid := survivor(dir); pid != 0 {
		t.Errorf("nobody holds a lock, yet %d was found", pid)
	}
	pid, stop := lockedBy(t, filepath.Join(dir, "containers", "b", "monitor.lock"))
	if got := survivor(dir); got != pid {
		t.Errorf("found %d, want %d", got, pid)
	}
	stop()
	if got := survivor(dir); got != 0 {
		t.Errorf("found %d, which has ended", got)
	}
}
