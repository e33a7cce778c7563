package tests

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/proa-containers/proa/tests/harness"
)

// settle waits until nothing of the container is left: no record, no process with its marker, no layer, no mount.
func settle(t *testing.T, e *harness.Env, marker, files string) {
	t.Helper()
	harness.Eventually(t, "no container is left", func() bool { return e.Proa("ps", "-aq").OK(t).Out() == "" })
	harness.Eventually(t, "no process is left", func() bool { return !running(e, marker) })
	// A child of the killed command, on its way to execve, may hold the container's lock a little longer; the next
	// command sweeps what this one could not.
	for end := time.Now().Add(5 * time.Second); storeFiles(t, e) != files && time.Now().Before(end); {
		e.Proa("ps", "-aq").OK(t)
	}
	sameFiles(t, e, files)
	equal(t, "mounts", strings.Join(e.PauseMounts(), " "), "")
}

// running tells whether a container's program, "sleep MARKER", runs.
func running(e *harness.Env, marker string) bool {
	for _, p := range e.Processes() {
		if len(p.Args) == 2 && p.Args[1] == marker {
			return true
		}
	}
	return false
}

// crashEnv is an empty home with the image and what a first run leaves there.
func crashEnv(t *testing.T) (e *harness.Env, files string) {
	t.Helper()
	e = withImage(t, env.Fresh(t))
	e.Proa("run", "--rm", "--network=none", image, "true").OK(t)
	return e, storeFiles(t, e)
}

// TestKillProa kills the foreground proa at points spread over a run, from before the user namespace to after the end.
func TestKillProa(t *testing.T) {
	e, files := crashEnv(t)
	for n := range 25 {
		marker := fmt.Sprintf("0.3%05d", n)
		x := e.Proa("run", "--rm", "--network=none", "--name", "victim", image, "sleep", marker).Exec(context.Background())
		if err := x.Start(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Duration(n) * 2 * time.Millisecond) // the point, wherever it is
		if err := x.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		_ = x.Wait()
		settle(t, e, marker, files)
	}
	e.Proa("run", "--rm", "--network=none", "--name", "victim", image, "true").OK(t) // the name is free
}

// TestKillProaKeepsRecord does the same without --rm: what is left can be listed, removed, and its name used again.
func TestKillProaKeepsRecord(t *testing.T) {
	e, files := crashEnv(t)
	for n := range 15 {
		marker := fmt.Sprintf("0.4%05d", n)
		x := e.Proa("run", "-d", "--network=none", "--name", "victim", image, "sleep", marker).Exec(context.Background())
		if err := x.Start(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Duration(n) * 3 * time.Millisecond)
		_ = x.Process.Kill()
		_ = x.Wait()
		e.Proa("rm", "-f", "victim").OK(t)
		settle(t, e, marker, files)
	}
}

// pids of a container's init and of its monitor, the init's parent.
func pids(t testing.TB, e *harness.Env, name string) (init, monitor int) {
	t.Helper()
	init, err := strconv.Atoi(e.Proa("inspect", "-f", "{{.State.Pid}}", name).OK(t).Out())
	if err != nil || init < 2 {
		t.Fatalf("pid %d of %s: %v", init, name, err)
	}
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", init))
	if err != nil {
		t.Fatal(err)
	}
	monitor, err = strconv.Atoi(field(string(status), "PPid"))
	if err != nil || monitor < 2 {
		t.Fatalf("the parent of %d is %d: %v", init, monitor, err)
	}
	return init, monitor
}

func kill(t testing.TB, pid int) {
	t.Helper()
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
}

func TestKillInit(t *testing.T) {
	e, files := crashEnv(t)
	name := start(t, e, "sleep", "10001")
	init, _ := pids(t, e, name)
	kill(t, init)
	equal(t, "wait", e.Proa("wait", name).OK(t).Out(), "137")
	equal(t, "state", e.Proa("inspect", "-f", "{{.State.Status}} {{.State.ExitCode}}", name).OK(t).Out(), "exited 137")
	e.Proa("rm", name).OK(t)
	settle(t, e, "10001", files)
}

func TestKillInitOfForeground(t *testing.T) {
	e, files := crashEnv(t)
	x := e.Proa("run", "--rm", "--network=none", "--name", "victim", image, "sleep", "10002").Exec(context.Background())
	if err := x.Start(); err != nil {
		t.Fatal(err)
	}
	harness.Eventually(t, "the container runs", func() bool { return running(e, "10002") })
	init, _ := pids(t, e, "victim")
	kill(t, init)
	_ = x.Wait()
	if code := harness.ExitCode(x.ProcessState); code != 137 {
		t.Errorf("exit code %d, want 137", code)
	}
	settle(t, e, "10002", files)
}

func TestKillMonitor(t *testing.T) {
	e, files := crashEnv(t)
	name := start(t, e, "sleep", "10003")
	_, monitor := pids(t, e, name)
	kill(t, monitor)
	// Whether the container dies with its monitor or outlives it, the next commands say what is true and can end it.
	state := e.Proa("inspect", "-f", "{{.State.Running}}", name).OK(t).Out()
	if alive := strconv.FormatBool(running(e, "10003")); state != alive {
		state = e.Proa("inspect", "-f", "{{.State.Running}}", name).OK(t).Out() // it was dying
		equal(t, "running", state, strconv.FormatBool(running(e, "10003")))
	}
	e.Proa("ps", "-a").OK(t)
	e.Proa("rm", "-f", name).OK(t)
	settle(t, e, "10003", files)
}

func TestKillMonitorOfForeground(t *testing.T) {
	e, files := crashEnv(t)
	x := e.Proa("run", "--rm", "--network=none", "--name", "victim", image, "sleep", "10004").Exec(context.Background())
	if err := x.Start(); err != nil {
		t.Fatal(err)
	}
	harness.Eventually(t, "the container runs", func() bool { return running(e, "10004") })
	_, monitor := pids(t, e, "victim")
	kill(t, monitor)
	done := make(chan struct{})
	go func() { _ = x.Wait(); close(done) }()
	select {
	case <-done:
	case <-time.After(20 * time.Second):
		_ = x.Process.Kill()
		t.Error("proa run hangs when its monitor is killed")
	}
	if code := harness.ExitCode(x.ProcessState); code == 0 {
		t.Error("proa run exits with 0 though its monitor was killed")
	}
	e.Proa("rm", "-f", "victim").Run(t)
	settle(t, e, "10004", files)
}

func TestKillPause(t *testing.T) {
	e, files := crashEnv(t)
	name := start(t, e, "sleep", "10005")
	for _, p := range e.Processes() {
		if e.Owns(p) && slices.ContainsFunc(p.Args, func(a string) bool { return strings.HasSuffix(a, "pause") }) {
			kill(t, p.PID)
		}
	}
	equal(t, "exec", e.Proa("exec", name, "echo", "hi").OK(t).Out(), "hi")
	equal(t, "run", e.Proa("run", "--rm", "--network=none", image, "echo", "hi").OK(t).Out(), "hi")
	e.Proa("rm", "-f", name).OK(t)
	settle(t, e, "10005", files)
}

// TestReboot loses the runtime directory and every process, as a reboot does.
func TestReboot(t *testing.T) {
	e, _ := crashEnv(t)
	name := start(t, e, "sleep", "10006")
	if err := e.Reboot(); err != nil {
		t.Fatal(err)
	}
	equal(t, "state", e.Proa("inspect", "-f", "{{.State.Running}}", name).OK(t).Out(), "false")
	e.Proa("rm", name).OK(t)
	equal(t, "run", e.Proa("run", "--rm", "--network=none", image, "echo", "hi").OK(t).Out(), "hi")
}

func TestKillPull(t *testing.T) {
	reg, e := harness.StartRegistry(t, "", ""), env.Fresh(t)
	img := baseImage(t)
	for n := range 4 {
		img.Layers = append(img.Layers, harness.Layer(harness.Entry{Name: fmt.Sprintf("srv/f%d", n), Content: strings.Repeat(strconv.Itoa(n), 1<<21)}))
	}
	reg.Push(t, "many:1", img)
	for n := range 8 {
		x := pull(e, reg.Ref("many:1")).Exec(context.Background())
		x.SysProcAttr.Setpgid = true
		if err := x.Start(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Duration(n) * 20 * time.Millisecond)
		_ = syscall.Kill(-x.Process.Pid, syscall.SIGKILL)
		_ = x.Wait()
		e.Proa("images").OK(t)
	}
	pull(e, reg.Ref("many:1")).OK(t)
	equal(t, "the image is whole", e.Proa("run", "--rm", "--network=none", reg.Ref("many:1"), "sh", "-c", "cat /srv/* | wc -c").OK(t).Out(), strconv.Itoa(4<<21))
	e.Proa("rmi", reg.Ref("many:1")).OK(t)
	pullLeftNothing(t, e)
}
