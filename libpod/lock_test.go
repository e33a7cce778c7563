package libpod

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/proa-containers/proa/libpod/state"
	"github.com/proa-containers/proa/oci/monitor"
)

func TestLock(t *testing.T) {
	e := newEngine(t)
	unlock, err := e.tryLock("a")
	if err != nil || unlock == nil {
		t.Fatal(err)
	}
	if second, err := e.tryLock("a"); err != nil || second != nil {
		t.Errorf("taken twice: %v, %v", second != nil, err)
	}
	if other, err := e.tryLock("b"); err != nil || other == nil {
		t.Errorf("another container's: %v", err)
	} else {
		other()
	}
	unlock()
	if again, err := e.tryLock("a"); err != nil || again == nil {
		t.Errorf("after it was given back: %v", err)
	} else {
		again()
	}
}

// TestLockOfRemoved: who waited for the lock of a container that was removed has no lock, and takes a new one.
func TestLockOfRemoved(t *testing.T) {
	e := newEngine(t)
	unlock, err := e.tryLock("a")
	if err != nil || unlock == nil {
		t.Fatal(err)
	}
	waiting := make(chan func())
	go func() {
		u, err := e.lock("a")
		if err != nil {
			t.Error(err)
		}
		waiting <- u
	}()
	if err := os.Remove(e.lockPath("a")); err != nil {
		t.Fatal(err)
	}
	unlock()
	u := <-waiting
	if _, err := os.Stat(e.lockPath("a")); err != nil {
		t.Errorf("the lock that was given has no file: %v", err)
	}
	u()
}

// TestLockExcludes: of many that hold it for a moment no two do so at once.
func TestLockExcludes(t *testing.T) {
	e := newEngine(t)
	var wg sync.WaitGroup
	inside := make(chan bool, 1)
	for range 8 {
		wg.Go(func() {
			for range 5 {
				unlock, err := e.lock("a")
				if err != nil {
					t.Error(err)
					return
				}
				select {
				case inside <- true:
					<-inside
				default:
					t.Error("two hold the lock")
				}
				unlock()
			}
		})
	}
	wg.Wait()
}

func TestLockIsNoLink(t *testing.T) {
	e := newEngine(t)
	victim := filepath.Join(t.TempDir(), "victim")
	if err := os.MkdirAll(filepath.Dir(e.lockPath("a")), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(victim, e.lockPath("a")); err != nil {
		t.Fatal(err)
	}
	if _, err := e.tryLock("a"); err == nil {
		t.Error("a link was followed")
	}
}

func TestSweepLocks(t *testing.T) {
	e := newEngine(t)
	c := newContainer(t, e, "web")
	abandoned, busy := strings.Repeat("a", 64), strings.Repeat("b", 64)
	for _, id := range []string{abandoned, busy} {
		unlock, err := e.tryLock(id)
		if err != nil || unlock == nil {
			t.Fatal(err)
		}
		if id == busy {
			defer unlock()
		} else {
			unlock()
		}
	}
	if unlock, err := e.lock(c.ID); err != nil {
		t.Fatal(err)
	} else {
		unlock()
	}
	if _, err := e.List(t.Context()); err != nil {
		t.Fatal(err)
	}
	for id, want := range map[string]bool{c.ID: true, busy: true, abandoned: false} {
		if _, err := os.Stat(e.lockPath(id)); (err == nil) != want {
			t.Errorf("the lock of %.3s: %v", id, err)
		}
	}
}

func TestNameInUse(t *testing.T) {
	e := newEngine(t)
	c := newContainer(t, e, "web")
	second := &Container{Name: "web", Rootfs: t.TempDir()}
	second.Config.Process.Cmd = []string{"true"}
	err := e.Create(t.Context(), second, nil)
	var used *state.NameInUseError
	if !errors.As(err, &used) || used.ID != c.ID {
		t.Fatalf("%v", err)
	}
	if _, err := os.Stat(e.lockPath(second.ID)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("its lock is left: %v", err)
	}
	if _, err := os.Stat(e.dataDir(second.ID)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("its directory is left: %v", err)
	}
}

// TestStaleRecord: what was looked up before another command renamed the container neither undoes that nor leaves the
// new name behind.
func TestStaleRecord(t *testing.T) {
	e := newEngine(t)
	c := newContainer(t, e, "old")
	stale, err := e.Lookup("old")
	if err != nil {
		t.Fatal(err)
	}
	if err := e.Rename(c, "new"); err != nil {
		t.Fatal(err)
	}
	leave(t, e, c, monitor.InitFile, monitor.Init{PID: 1 << 30})
	leave(t, e, c, monitor.ExitFile, monitor.Exit{Code: 3})
	if st, err := e.settle(stale); err != nil || st.Run.ExitCode != 3 {
		t.Errorf("settled: %+v, %v", st, err)
	}
	if now, err := e.Lookup("new"); err != nil || now.Name != "new" || now.Last == nil {
		t.Errorf("%+v, %v", now, err)
	}
	stale.Name = "old"
	if err := e.Remove(t.Context(), stale, false); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"old", "new"} {
		if c, err := e.Lookup(name); !errors.Is(err, state.ErrNotFound) {
			t.Errorf("%s: %v, %v", name, c, err)
		}
	}
}
