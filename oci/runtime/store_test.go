package runtime

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"
	"github.com/proa-containers/proa/oci/launch"
	"golang.org/x/sys/unix"
)

func TestStore(t *testing.T) {
	s := Store{filepath.Join(t.TempDir(), "root")}
	if list, err := s.List(); err != nil || len(list) != 0 {
		t.Errorf("before anything is stored: %v, %v", list, err)
	}
	if _, err := s.Load("none"); !errors.Is(err, ErrNotFound) {
		t.Errorf("%v", err)
	}
	for _, id := range []string{"b", "a.b_c+d-e", "A9"} {
		dir, err := s.reserve(id)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.Load(id); !errors.Is(err, ErrNotFound) {
			t.Errorf("%s is there before it is written: %v", id, err)
		}
		if _, err := s.reserve(id); !errors.Is(err, ErrExists) {
			t.Errorf("%s a second time: %v", id, err)
		}
		if err := s.save(&Record{ID: id, Bundle: dir, Pid: 7, CgroupPaths: map[string]string{"": "/x"}}); err != nil {
			t.Fatal(err)
		}
		if r, err := s.Load(id); err != nil || r.ID != id || r.Pid != 7 || r.CgroupPaths[""] != "/x" {
			t.Errorf("%s: %+v, %v", id, r, err)
		}
	}
	list, err := s.List()
	var ids []string
	for _, r := range list {
		ids = append(ids, r.ID)
	}
	if err != nil || strings.Join(ids, " ") != "A9 a.b_c+d-e b" {
		t.Errorf("listed as %v, %v", ids, err)
	}
	if st, err := os.Stat(s.Root); err != nil || st.Mode().Perm() != 0o700 {
		t.Errorf("the root is %v, %v", st.Mode(), err)
	}
}

func TestIDs(t *testing.T) {
	s := Store{t.TempDir()}
	for _, id := range []string{"", ".", "..", "../x", "a/b", "/", "a b", "a\n", "ü", "a\x00"} {
		_, reserveErr := s.reserve(id)
		_, loadErr := s.Load(id)
		for _, err := range []error{reserveErr, loadErr, s.save(&Record{ID: id})} {
			if err == nil || !strings.Contains(err.Error(), "invalid container id") {
				t.Errorf("%q: %v", id, err)
			}
		}
	}
	if err := (&Runtime{Store: s}).Delete("../x", true); err == nil {
		t.Error("a path outside was deleted")
	}
}

func TestBrokenRecord(t *testing.T) {
	s := Store{t.TempDir()}
	dir, err := s.reserve("a")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "state.json"), []byte(`{"id":`), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Load("a"); err == nil || !strings.Contains(err.Error(), `"a"`) {
		t.Errorf("half a record: %v", err)
	}
}

// TestStatus asks about a real process: running, stopped, killed but not reaped, reaped, and its pid taken.
func TestStatus(t *testing.T) {
	s := Store{t.TempDir()}
	dir, err := s.reserve("a")
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("sleep", "600")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { cmd.Process.Kill(); cmd.Wait() }()
	start, err := launch.StartTime(cmd.Process.Pid)
	if err != nil {
		t.Fatal(err)
	}
	r := &Record{ID: "a", Pid: cmd.Process.Pid, StartTime: start}
	check := func(want specs.ContainerState) {
		t.Helper()
		if got := s.Status(r); got != want {
			t.Errorf("it is %s, want %s", got, want)
		}
	}
	check(specs.StateRunning)
	fifo := filepath.Join(dir, "exec.fifo")
	if err := unix.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	check(specs.StateCreated)
	if err := os.Remove(fifo); err != nil {
		t.Fatal(err)
	}
	for _, file := range []string{"freezer.state=FROZEN", "freezer.state=FREEZING", "cgroup.freeze=1"} {
		name, value, _ := strings.Cut(file, "=")
		cg := t.TempDir()
		if err := os.WriteFile(filepath.Join(cg, name), []byte(value+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		r.CgroupPaths = map[string]string{"": cg}
		if name == "freezer.state" {
			r.CgroupPaths = map[string]string{"freezer": cg}
		}
		check(statusPaused)
	}
	r.CgroupPaths = nil
	r.StartTime++
	check(specs.StateStopped)
	if _, err := r.open(); err == nil {
		t.Error("another process was opened in its place")
	}
	r.StartTime--
	f, err := r.open()
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := unix.PidfdSendSignal(int(f.Fd()), unix.SIGKILL, nil, 0); err != nil {
		t.Fatal(err)
	}
	fds := []unix.PollFd{{Fd: int32(f.Fd()), Events: unix.POLLIN}}
	for {
		if n, err := unix.Poll(fds, -1); n > 0 || err != unix.EINTR {
			break
		}
	}
	check(specs.StateStopped) // a zombie
	if st := r.OCIState(specs.StateStopped); st.Pid != 0 || st.ID != "a" {
		t.Errorf("the state of a stopped container: %+v", st)
	}
}

// TestDeleteOfHalfMade: a creation was killed before it wrote its record; only force removes it.
func TestDeleteOfHalfMade(t *testing.T) {
	r := &Runtime{Store: Store{t.TempDir()}}
	dir, err := r.reserve("a")
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Delete("a", false); !errors.Is(err, ErrNotFound) {
		t.Errorf("without force: %v", err)
	}
	if err := r.Delete("a", true); err != nil {
		t.Errorf("with force: %v", err)
	}
	if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("it is left: %v", err)
	}
	if err := r.Delete("a", true); err != nil {
		t.Errorf("again: %v", err)
	}
}

func TestParseSignal(t *testing.T) {
	for s, want := range map[string]unix.Signal{
		"9": 9, "KILL": 9, "SIGKILL": 9, "sigterm": 15, "term": 15, "64": 64, "SIGRTMIN+3": 37, "rtmin+0": 34, "RTMIN+30": 64,
	} {
		if got, err := ParseSignal(s); err != nil || got != want {
			t.Errorf("%q: %v, %v", s, got, err)
		}
	}
	for _, s := range []string{"", "0", "-1", "65", "SIG", "SIGNONE", "RTMIN+31", "RTMIN+-1", "9x"} {
		if got, err := ParseSignal(s); err == nil {
			t.Errorf("%q is taken for %v", s, got)
		}
	}
}
