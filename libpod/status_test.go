package libpod

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/proa-containers/proa/libpod/state"
	"github.com/proa-containers/proa/oci/monitor"
	"golang.org/x/sys/unix"
)

func TestStatus(t *testing.T) {
	e := newEngine(t)
	c := newContainer(t, e, "web")
	if st := e.Status(c); st != (Status{State: Created}) {
		t.Errorf("created: %+v", st)
	}
	cmd, init := sleeper(t)
	leave(t, e, c, monitor.InitFile, init)
	pid, stop := monitorOf(t, e, c)
	st := e.Status(c)
	if st.State != Running || st.PID != init.PID || st.MonitorPID != pid || !st.Run.StartedAt.Equal(init.StartedAt) {
		t.Errorf("running: %+v", st)
	}
	stop()
	if st := e.Status(c); st.State != Running || st.MonitorPID != 0 {
		t.Errorf("running, its monitor killed: %+v", st)
	}
	cmd.Process.Kill()
	cmd.Wait()
	if st := e.Status(c); st.State != Exited || st.Run.ExitCode != lostMonitor || st.Run.Error == "" || st.Run.FinishedAt.IsZero() || st.PID != 0 {
		t.Errorf("nobody saw its end: %+v", st)
	}
	exit := monitor.Exit{Code: 7, OOMKilled: true, FinishedAt: time.Now().Round(0)}
	leave(t, e, c, monitor.ExitFile, exit)
	if st := e.Status(c); st.State != Exited || st.Run.ExitCode != 7 || !st.Run.OOMKilled || st.Run.Error != "" || !st.Run.FinishedAt.Equal(exit.FinishedAt) {
		t.Errorf("ended: %+v", st)
	}
}

// TestExitIsAwaited: the init has ended and its monitor, which lives, is about to say how.
func TestExitIsAwaited(t *testing.T) {
	e := newEngine(t)
	c := newContainer(t, e, "web")
	cmd, init := sleeper(t)
	leave(t, e, c, monitor.InitFile, init)
	monitorOf(t, e, c)
	cmd.Process.Kill()
	cmd.Wait()
	asked := make(chan Status)
	go func() { asked <- e.Status(c) }()
	leave(t, e, c, "later", monitor.Exit{Code: 3})
	if err := os.Rename(filepath.Join(e.runDir(c.ID), "later"), filepath.Join(e.runDir(c.ID), monitor.ExitFile)); err != nil {
		t.Fatal(err)
	}
	if st := <-asked; st.State != Exited || st.Run.ExitCode != 3 {
		t.Errorf("%+v", st)
	}
}

// TestTakenPID: another process has the pid of the init that ended, as after a reboot whose run directory stayed.
func TestTakenPID(t *testing.T) {
	e := newEngine(t)
	c := newContainer(t, e, "web")
	_, init := sleeper(t)
	init.StartTime++
	leave(t, e, c, monitor.InitFile, init)
	if st := e.Status(c); st.State != Exited {
		t.Errorf("%+v", st)
	}
	var wrong *WrongStateError
	if err := e.Kill(c, "KILL"); !errors.As(err, &wrong) {
		t.Errorf("another's process was signalled: %v", err)
	}
	if err := unix.Kill(init.PID, 0); err != nil {
		t.Errorf("another's process is gone: %v", err)
	}
}

func TestAlive(t *testing.T) {
	cmd, init := sleeper(t)
	if !alive(init) {
		t.Error("a process that runs is not alive")
	}
	if alive(monitor.Init{PID: 1 << 30}) || alive(monitor.Init{}) {
		t.Error("no process is alive")
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	fd, err := unix.PidfdOpen(init.PID, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	p := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
	for {
		if n, err := unix.Poll(p, -1); n > 0 || err != unix.EINTR {
			break
		}
	}
	if alive(init) {
		t.Error("a zombie is alive")
	}
}

// TestSettle: how the run ended goes to the record, which alone survives a reboot, and the run directory goes.
func TestSettle(t *testing.T) {
	e := newEngine(t)
	c := newContainer(t, e, "web")
	leave(t, e, c, monitor.InitFile, monitor.Init{PID: 1 << 30, StartedAt: time.Now()})
	leave(t, e, c, monitor.ExitFile, monitor.Exit{Code: 5, FinishedAt: time.Now()})
	list, err := e.List(t.Context())
	if err != nil || len(list) != 1 || list[0].Status.State != Exited || list[0].Status.Run.ExitCode != 5 {
		t.Fatalf("%+v, %v", list, err)
	}
	if _, err := os.Stat(e.runDir(c.ID)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the run directory: %v", err)
	}
	again, err := e.Lookup("web")
	if err != nil || again.Last == nil || again.Last.ExitCode != 5 {
		t.Fatalf("%+v, %v", again, err)
	}
	if st := e.Status(again); st.State != Exited || st.Run.ExitCode != 5 {
		t.Errorf("from the record: %+v", st)
	}
	// A command that read the record before it was settled finds the answer too.
	if run, ok := e.writtenDown(c); !ok || run.ExitCode != 5 {
		t.Errorf("%+v, %v", run, ok)
	}
}

// TestSettleWaitsForTheMonitor: its last word is not cut off.
func TestSettleWaitsForTheMonitor(t *testing.T) {
	e := newEngine(t)
	c := newContainer(t, e, "web")
	leave(t, e, c, monitor.InitFile, monitor.Init{PID: 1 << 30})
	leave(t, e, c, monitor.ExitFile, monitor.Exit{Code: 5})
	_, stop := monitorOf(t, e, c)
	if _, err := e.List(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(e.runDir(c.ID)); err != nil {
		t.Errorf("the run directory was taken from a live monitor: %v", err)
	}
	stop()
	if _, err := e.List(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(e.runDir(c.ID)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the run directory is left: %v", err)
	}
}

func TestRemove(t *testing.T) {
	e := newEngine(t)
	c := newContainer(t, e, "web")
	cmd, init := sleeper(t)
	leave(t, e, c, monitor.InitFile, init)
	mustContain(t, e.Remove(t.Context(), c, false), `"web"`, "stop it before", "--force")
	reaped := make(chan error)
	go func() { reaped <- cmd.Wait() }() // as a subreaper does
	if err := e.Remove(t.Context(), c, true); err != nil {
		t.Fatal(err)
	}
	<-reaped
	if _, err := e.Lookup("web"); !errors.Is(err, state.ErrNotFound) {
		t.Errorf("the record: %v", err)
	}
	for _, path := range []string{e.runDir(c.ID), e.dataDir(c.ID), e.lockPath(c.ID)} {
		if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s is left: %v", path, err)
		}
	}
	if _, err := os.Stat(c.Rootfs); err != nil {
		t.Errorf("the user's own root went along: %v", err)
	}
	if err := e.Remove(t.Context(), c, false); err != nil {
		t.Errorf("removed by another command meanwhile: %v", err)
	}
}

func TestDamagedRecord(t *testing.T) {
	e := newEngine(t)
	id := "0123456789abcdef"
	if err := e.state.Add(state.Record{ID: id, Name: "web", Data: []byte(`{"ID":`)}); err != nil {
		t.Fatal(err)
	}
	_, err := e.Lookup("web")
	mustContain(t, err, "reading the record of container 0123456789ab")
}

func FuzzRecord(f *testing.F) {
	c := &Container{ID: "0123456789ab", Name: "a", Last: &Run{ExitCode: 1}}
	r, err := c.record()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(r.Data)
	f.Add([]byte(`{"Config":{"Process":{"Args":["a"]},"Resources":{"CPUs":1e300}},"Log":{"MaxSize":-1}}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		c, err := decode(state.Record{ID: "0123456789ab", Data: b})
		if err != nil {
			return
		}
		if _, err := c.record(); err != nil {
			t.Errorf("what was read can't be written: %v", err)
		}
		_ = hostConfig(c)
	})
}

// TestKilledWhileItWaits: the monitor of a container that was to be started again was killed meanwhile.
func TestKilledWhileItWaits(t *testing.T) {
	e := newEngine(t)
	c := newContainer(t, e, "web")
	leave(t, e, c, monitor.InitFile, monitor.Init{PID: 1 << 30})
	leave(t, e, c, monitor.RestartFile, monitor.Restarts{Waiting: true, Exit: monitor.Exit{Code: 9}})
	if st := e.Status(c); st.State != Exited || st.Run.ExitCode != 9 {
		t.Errorf("%+v", st)
	}
}
