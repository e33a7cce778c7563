package tests

import (
	"context"
	"fmt"
	"os"
	"syscall"
	"testing"
	"time"

	"github.com/proa-containers/proa/tests/harness"
)

// TestRuntimeKillProa kills the foreground proa at points spread over a run by another runtime.
func TestRuntimeKillProa(t *testing.T) {
	forRuntimes(t, func(t *testing.T, runtime string) {
		e, files := crashEnv(t)
		for n := range 12 {
			marker := fmt.Sprintf("0.5%05d", n)
			x := e.Proa("run", "--rm", "--network=none", "--runtime", runtime, "--name", "victim", image, "sleep", marker).Exec(context.Background())
			if err := x.Start(); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Duration(n) * 6 * time.Millisecond) // the point, wherever it is
			if err := x.Process.Kill(); err != nil {
				t.Fatal(err)
			}
			_ = x.Wait()
			settle(t, e, marker, files)
		}
		e.Proa("run", "--rm", "--network=none", "--name", "victim", image, "true").OK(t) // the name is free
	})
}

// TestRuntimeKillMonitor kills the monitor: the container is listed as it is, and can be ended.
func TestRuntimeKillMonitor(t *testing.T) {
	forRuntimes(t, func(t *testing.T, runtime string) {
		e, files := crashEnv(t)
		name := start(t, e, "--runtime", runtime, "--", "sleep", "10012")
		// runc says that a container is started before its execve.
		harness.Eventually(t, "the command runs", func() bool { return running(e, "10012") })
		_, monitor := pids(t, e, name)
		kill(t, monitor)
		equal(t, "running", e.Proa("inspect", "-f", "{{.State.Running}}", name).OK(t).Out(), "true")
		e.Proa("exec", name, "true").OK(t)
		e.Proa("stop", "-t", "0", name).OK(t)
		equal(t, "state", e.Proa("inspect", "-f", "{{.State.Status}}", name).OK(t).Out(), "exited")
		e.Proa("rm", name).OK(t)
		settle(t, e, "10012", files)

		name = start(t, e, "--rm", "--runtime", runtime, "--", "sleep", "10013")
		init, monitor := pids(t, e, name)
		kill(t, monitor)
		kill(t, init)
		settle(t, e, "10013", files)
	})
}

// TestRuntimeKillBetweenVerbs kills the monitor when the container is created and not started: its init would wait for
// ever.
func TestRuntimeKillBetweenVerbs(t *testing.T) {
	e, files := crashEnv(t)
	for _, flags := range [][]string{{"--rm"}, {}} {
		runtime, _ := scripted(t, e, `test $verb = start && { kill -KILL $PPID; exit 1; }`)
		line := append([]string{"run", "-d", "--network=none", "--name", "victim", "--runtime", runtime}, flags...)
		refused(t, e.Proa(append(line, image, "sleep", "10014")...), 125, "monitor")
		e.Proa("ps", "-a").OK(t)
		harness.Eventually(t, "no runtime's init is left", func() bool { return !waitsToStart(e) })
		e.Proa("rm", "-f", "victim").Run(t)
		settle(t, e, "10014", files)
	}
}

// TestRuntimeKillAllBetweenVerbs does the same to proa too, so that nobody is left to tidy up but the next command.
func TestRuntimeKillAllBetweenVerbs(t *testing.T) {
	e, files := crashEnv(t)
	for _, flags := range [][]string{{"--rm"}, {}} {
		// The monitor's parent is proa.
		runtime, _ := scripted(t, e, `test $verb = start && { read -r _ _ _ up _ < /proc/$PPID/stat; kill -KILL $up $PPID; exit 1; }`)
		line := append([]string{"run", "--network=none", "--name", "victim", "--runtime", runtime}, flags...)
		e.Proa(append(line, image, "sleep", "10015")...).Want(t, 128+int(syscall.SIGKILL))
		harness.Eventually(t, "the init waits", func() bool { return waitsToStart(e) })
		// A child of the killed command may hold the container's lock for a moment: then a later command tidies up.
		harness.Eventually(t, "no runtime's init is left", func() bool {
			e.Proa("ps", "-a").OK(t)
			return !waitsToStart(e)
		})
		e.Proa("rm", "-f", "victim").Run(t)
		settle(t, e, "10015", files)
	}
}

// waitsToStart tells whether the init of a created container is there: a crun that waits for its start.
func waitsToStart(e *harness.Env) bool {
	for _, p := range e.Processes() {
		link, err := os.Readlink(fmt.Sprintf("/proc/%d/root", p.PID))
		if err == nil && link == "/" && p.Args[0] == "crun" || len(p.Args) > 1 && p.Args[0] == "libcrun" {
			return true
		}
	}
	return false
}

// TestRuntimeHangs interrupts a run whose runtime does not come back.
func TestRuntimeHangs(t *testing.T) {
	e, files := crashEnv(t)
	runtime, _ := scripted(t, e, `test $verb = create && exec sleep 10016`)
	x := e.Proa("run", "--rm", "--network=none", "--runtime", runtime, image, "true").Exec(context.Background())
	if err := x.Start(); err != nil {
		t.Fatal(err)
	}
	harness.Eventually(t, "the runtime hangs", func() bool { return running(e, "10016") })
	if err := x.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	_ = x.Wait()
	if code := harness.ExitCode(x.ProcessState); code == 0 {
		t.Error("an interrupted run exits with 0")
	}
	settle(t, e, "10016", files)
}
