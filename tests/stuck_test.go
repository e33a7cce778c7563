package tests

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/proa-containers/proa/tests/harness"
)

// stuckTimeout is for one command on a container that is stuck: with it the test tells a hang from a slow machine.
const stuckTimeout = 30 * time.Second

func within(c *harness.Cmd) *harness.Cmd {
	c.Timeout = stuckTimeout
	return c
}

// halt stops a process as SIGSTOP does, and waits until it is.
func halt(t testing.TB, pid int) {
	t.Helper()
	if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	harness.Eventually(t, fmt.Sprintf("process %d stops", pid), func() bool { return processState(pid) == "T" })
}

// processState is the letter of /proc/PID/stat, empty for no process.
func processState(pid int) string {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return ""
	}
	return strings.Fields(string(b[bytes.LastIndexByte(b, ')')+1:]))[0]
}

// killed kills a process and waits until it runs no more.
func killed(t testing.TB, pid int) {
	t.Helper()
	kill(t, pid)
	harness.Eventually(t, "the process ends", func() bool { s := processState(pid); return s == "Z" || s == "" })
}

// haltMonitor stops the monitor of a container and returns the container's init.
func haltMonitor(t testing.TB, e *harness.Env, name string) (init, monitor int) {
	t.Helper()
	init, monitor = pids(t, e, name)
	halt(t, monitor)
	return init, monitor
}

func stateOf(t testing.TB, e *harness.Env, name string) string {
	t.Helper()
	return within(e.Proa("inspect", "-f", "{{.State.Status}} {{.State.ExitCode}}", name)).OK(t).Out()
}

// background is a command that is running while the test does other things.
type background struct {
	cmd *exec.Cmd
	out buffer
}

func inBackground(t testing.TB, c *harness.Cmd) *background {
	t.Helper()
	b := &background{cmd: c.Exec(context.Background())}
	b.cmd.Stdout, b.cmd.Stderr = &b.out, &b.out
	if err := b.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return b
}

// ends waits for the end of the command and returns its exit code and output.
func (b *background) ends(t testing.TB, what string) (int, string) {
	t.Helper()
	hung := time.AfterFunc(stuckTimeout, func() {
		t.Errorf("%s hangs", what)
		_ = b.cmd.Process.Kill()
	})
	_ = b.cmd.Wait()
	hung.Stop()
	return harness.ExitCode(b.cmd.ProcessState), b.out.String()
}

// TestStuckMonitor: every verb on a container whose monitor is stopped.
func TestStuckMonitor(t *testing.T) {
	e := withImage(t, env.Fresh(t))
	for verb, check := range map[string]func(t *testing.T, name string, init int){
		"stop": func(t *testing.T, name string, _ int) {
			within(e.Proa("stop", "-t", "10", name)).OK(t)
			equal(t, "how it ended", stateOf(t, e, name), "exited 5")
			if log := within(e.Proa("logs", name)).OK(t).Stdout; !strings.Contains(log, "bye") {
				t.Errorf("the last words of the container are not in its log: %q", log)
			}
		},
		"kill": func(t *testing.T, name string, _ int) {
			within(e.Proa("kill", name)).OK(t)
			equal(t, "wait", within(e.Proa("wait", name)).OK(t).Out(), "137")
			equal(t, "how it ended", stateOf(t, e, name), "exited 137")
		},
		"rm": func(t *testing.T, name string, _ int) { within(e.Proa("rm", "-f", name)).OK(t) },
		"restart": func(t *testing.T, name string, init int) {
			within(e.Proa("restart", "-t", "10", name)).OK(t)
			if now, _ := pids(t, e, name); now == init {
				t.Error("it was not started again")
			}
		},
		"exec": func(t *testing.T, name string, _ int) {
			equal(t, "exec", within(e.Proa("exec", name, "echo", "hi")).OK(t).Out(), "hi")
			within(e.Proa("exec", "-d", "-t", name, "sh", "-c", "stty size >/dev/null; kill -USR1 1")).OK(t)
		},
		"ps and inspect": func(t *testing.T, name string, init int) {
			equal(t, "ps", within(e.Proa("ps", "-q", "--filter", "name="+name, "--format", "{{.Names}} {{.State}}")).OK(t).Out(), name+" running")
			equal(t, "inspect", within(e.Proa("inspect", "-f", "{{.State.Status}} {{.State.Pid}}", name)).OK(t).Out(), fmt.Sprint("running ", init))
			killed(t, init)
			equal(t, "ps", within(e.Proa("ps", "-a", "--filter", "name="+name, "--format", "{{.Names}} {{.State}}")).OK(t).Out(), name+" exited")
			equal(t, "how it ended", stateOf(t, e, name), "exited 137")
		},
		"start": func(t *testing.T, name string, init int) {
			killed(t, init)
			within(e.Proa("start", name)).OK(t)
			equal(t, "state", stateOf(t, e, name), "running 0")
			within(e.Proa("stop", "-t", "10", name)).OK(t)
			equal(t, "how it ended", stateOf(t, e, name), "exited 5")
		},
		"attach": func(t *testing.T, name string, init int) {
			b := inBackground(t, e.Proa("attach", name))
			harness.Eventually(t, "attach connects", func() bool { return processState(parent(t, init)) != "T" })
			within(e.Proa("kill", "-s", "TERM", name)).OK(t)
			code, out := b.ends(t, "attach")
			equal(t, "attach", fmt.Sprint(code, " ", strings.Contains(out, "bye")), "5 true")
		},
		"logs -f": func(t *testing.T, name string, _ int) {
			b := inBackground(t, e.Proa("logs", "-f", name))
			within(e.Proa("kill", "-s", "TERM", name)).OK(t)
			code, out := b.ends(t, "logs -f")
			equal(t, "logs -f", fmt.Sprint(code, " ", strings.Contains(out, "bye")), "0 true")
		},
	} {
		t.Run(verb, func(t *testing.T) {
			name := start(t, e, "sh", "-c", "trap 'echo bye; exit 5' TERM; trap : USR1; echo ready; while :; do sleep 0.05; done")
			harness.Eventually(t, "it is ready", func() bool { return strings.Contains(e.Proa("logs", name).OK(t).Stdout, "ready") })
			init, _ := haltMonitor(t, e, name)
			check(t, name, init)
			within(e.Proa("rm", "-f", name)).OK(t)
			equal(t, "processes left", fmt.Sprint(processState(init)), "")
		})
	}
}

// parent of a process.
func parent(t testing.TB, pid int) int {
	t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	var p int
	fmt.Sscan(field(string(status), "PPid"), &p)
	return p
}

// TestStuckMonitorOfClient: commands that wait for a container hear of its end though its monitor was stopped after
// they had connected.
func TestStuckMonitorOfClient(t *testing.T) {
	e := withImage(t, env.Fresh(t))
	for _, c := range []struct {
		run  []string
		then []string // what waits; nil: run itself
		code int
		out  string
	}{
		{[]string{"run", "--rm"}, nil, 137, ""},
		{[]string{"run"}, nil, 137, ""},
		{[]string{"run", "-d", "--rm"}, []string{"wait"}, 0, "137"},
		{[]string{"run", "-d"}, []string{"wait"}, 0, "137"},
		{[]string{"run", "-d", "--rm"}, []string{"attach"}, 137, ""},
		{[]string{"run", "-d"}, []string{"logs", "-f"}, 0, ""},
	} {
		t.Run(strings.Join(append(c.run, c.then...), " "), func(t *testing.T) {
			name := containerName(t)
			line := append(c.run, "--network=none", "--name", name, image, "sleep", "20001")
			var b *background
			if c.then == nil {
				b = inBackground(t, e.Proa(line...))
				harness.Eventually(t, "the container runs", func() bool { return running(e, "20001") })
			} else {
				e.Proa(line...).OK(t)
				b = inBackground(t, e.Proa(append(c.then, name)...))
				// No sign says that it waits; the test holds whether it does already or not.
				time.Sleep(200 * time.Millisecond)
			}
			removeLater(t, e, name)
			init, _ := haltMonitor(t, e, name)
			kill(t, init)
			code, out := b.ends(t, strings.Join(c.then, " "))
			equal(t, "the answer", fmt.Sprintf("%d %q", code, strings.TrimSpace(out)), fmt.Sprintf("%d %q", c.code, c.out))
			within(e.Proa("rm", "-f", name)).OK(t)
			settleProcesses(t, e, "20001")
		})
	}
}

func settleProcesses(t testing.TB, e *harness.Env, marker string) {
	t.Helper()
	harness.Eventually(t, "no process is left", func() bool { return !running(e, marker) })
}

// TestStuckInit: every verb on a container whose init is stopped, or takes no notice of SIGTERM.
func TestStuckInit(t *testing.T) {
	e := withImage(t, env.Fresh(t))
	for state, stick := range map[string]func(*testing.T, int){
		"ignores SIGTERM": func(*testing.T, int) {},
		"stopped":         halt0,
	} {
		for verb, check := range map[string]func(*testing.T, string){
			"stop": func(t *testing.T, name string) {
				within(e.Proa("stop", "-t", "1", name)).OK(t)
				equal(t, "how it ended", stateOf(t, e, name), "exited 137")
			},
			"kill": func(t *testing.T, name string) {
				within(e.Proa("kill", "-s", "TERM", name)).OK(t) // is heard by nobody
				equal(t, "state", stateOf(t, e, name), "running 0")
				within(e.Proa("kill", name)).OK(t)
				equal(t, "wait", within(e.Proa("wait", name)).OK(t).Out(), "137")
			},
			"rm": func(t *testing.T, name string) { within(e.Proa("rm", "-f", name)).OK(t) },
			"exec": func(t *testing.T, name string) {
				equal(t, "exec", within(e.Proa("exec", name, "echo", "hi")).OK(t).Out(), "hi")
			},
		} {
			t.Run(state+" "+verb, func(t *testing.T) {
				name := start(t, e, "sleep", "20002") // the first of a pid namespace hears no signal it does not handle
				init, _ := pids(t, e, name)
				stick(t, init)
				check(t, name)
				within(e.Proa("rm", "-f", name)).OK(t)
				settleProcesses(t, e, "20002")
			})
		}
	}
}

func halt0(t *testing.T, pid int) { halt(t, pid) }

// TestStuckPaused: every verb on a paused container, whose monitor runs or is stopped.
func TestStuckPaused(t *testing.T) {
	e, d := delegated(t)
	for monitor, stick := range map[string]func(*testing.T, int){"": func(*testing.T, int) {}, "monitor stopped, ": halt0} {
		for verb, check := range map[string]func(*testing.T, string){
			"stop": func(t *testing.T, name string) {
				within(d.Proa("stop", "-t", "1", name)).OK(t)
				equal(t, "how it ended", within(d.Proa("inspect", "-f", "{{.State.Status}} {{.State.ExitCode}}", name)).OK(t).Out(), "exited 137")
			},
			"kill": func(t *testing.T, name string) {
				within(d.Proa("kill", name)).OK(t)
				equal(t, "wait", within(d.Proa("wait", name)).OK(t).Out(), "137")
			},
			"rm": func(t *testing.T, name string) { within(d.Proa("rm", "-f", name)).OK(t) },
			"exec": func(t *testing.T, name string) {
				refused(t, within(d.Proa("exec", name, "true")), ownError, "paused")
				refused(t, within(d.Proa("attach", name)), ownError, "paused")
				equal(t, "state", within(d.Proa("inspect", "-f", "{{.State.Status}}", name)).OK(t).Out(), "paused")
				equal(t, "ps", within(d.Proa("ps", "--format", "{{.State}}")).OK(t).Out(), "paused")
				within(d.Proa("unpause", name)).OK(t)
				equal(t, "exec", within(d.Proa("exec", name, "echo", "hi")).OK(t).Out(), "hi")
			},
			"logs": func(t *testing.T, name string) {
				b := inBackground(t, d.Proa("logs", "-f", name))
				within(d.Proa("stop", "-t", "0", name)).OK(t)
				if code, out := b.ends(t, "logs -f"); code != 0 {
					t.Errorf("logs -f: %d %s", code, out)
				}
			},
		} {
			t.Run(monitor+verb, func(t *testing.T) {
				name := containerName(t)
				d.Proa("run", "-d", "--network=none", "--name", name, image, "sleep", "20003").OK(t)
				_, pid := pids(t, e, name)
				d.Proa("pause", name).OK(t)
				stick(t, pid)
				check(t, name)
				within(d.Proa("rm", "-f", name)).OK(t)
				settleProcesses(t, e, "20003")
				equal(t, "cgroups left", strings.Join(d.Cgroups(t), " "), "proa")
			})
		}
	}
}

// TestStuckClient: a foreground run that is stopped, as by Ctrl-Z, while its container writes: others go on as ever, and it
// knows how the container ended when it goes on itself.
func TestStuckClient(t *testing.T) {
	e := withImage(t, env.Fresh(t))
	name := containerName(t)
	run := e.Proa("run", "--network=none", "--name", name, image, "sh", "-c", "yes full | head -c 50000000; sleep 1000").Exec(context.Background())
	run.Stdout = nil // to /dev/null
	if err := run.Start(); err != nil {
		t.Fatal(err)
	}
	removeLater(t, e, name)
	harness.Eventually(t, "the container writes", func() bool { return e.Proa("logs", "-n", "1", name).Run(t).Stdout != "" })
	halt(t, run.Process.Pid)
	waiting := inBackground(t, e.Proa("wait", name))
	b := inBackground(t, e.Proa("attach", name))
	harness.Eventually(t, "the second client is attached", func() bool {
		attached := e.Proa("events", "--stream=false", "--filter", "container="+name, "--filter", "event=attach", "--format", "{{.Action}}").OK(t)
		return strings.Count(attached.Stdout, "attach\n") == 2 // the run itself is the first
	})
	within(e.Proa("exec", name, "true")).OK(t)
	within(e.Proa("stop", "-t", "0", name)).OK(t)
	_, out := waiting.ends(t, "wait")
	equal(t, "wait", strings.TrimSpace(out), "137")
	if code, _ := b.ends(t, "attach"); code != 137 {
		t.Errorf("attach: exit code %d", code)
	}
	equal(t, "how it ended", stateOf(t, e, name), "exited 137")
	if err := run.Process.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	_ = run.Wait()
	equal(t, "exit code of the run", fmt.Sprint(harness.ExitCode(run.ProcessState)), "137")
}

// TestStuckExec: the client of a command in a container is stopped, as by Ctrl-Z: the container ends all the same when it is
// told to, when it does so itself, and in who waits for it.
func TestStuckExec(t *testing.T) {
	e := withImage(t, env.Fresh(t))
	for _, verb := range []string{"exec", "debug"} {
		for i, flags := range [][]string{nil, {"--rm"}} {
			for j, end := range [][]string{{"stop", "-t", "0"}, {"rm", "-f"}, {"wait"}} {
				what := verb + ", " + strings.Join(slices.Concat(flags, end), " ")
				name := start(t, e, append(flags, "--", "sh", "-c", "while ! test -e /end; do sleep 0.1; done")...)
				marker := fmt.Sprintf("1%s%d%d", map[string]string{"exec": "1", "debug": "2"}[verb], i, j)
				client := inBackground(t, e.Proa(verb, name, "sleep", marker))
				sleepingPID(t, e, marker)
				halt(t, client.cmd.Process.Pid)
				if end[0] == "wait" {
					e.Proa("exec", name, "touch", "/end").OK(t)
				}
				within(e.Proa(append(end, name)...)).OK(t)
				if code, out := client.ends(t, what); code != 137 {
					t.Errorf("%s: exit code of the client %d, want 137: %s", what, code, out)
				}
			}
		}
	}
}

// TestStuckHealth: the monitor is stopped while a health check runs.
func TestStuckHealth(t *testing.T) {
	e := withImage(t, env.Fresh(t))
	for i, end := range [][]string{{"rm", "-f"}, {"stop", "-t", "0"}} {
		marker := fmt.Sprint(12300 + i)
		name := start(t, e, "--health-cmd", "exec sleep "+marker, "--health-interval=100ms", "--", "sleep", "1000")
		sleepingPID(t, e, marker)
		init, _ := haltMonitor(t, e, name)
		kill(t, init)
		within(e.Proa(append(end, name)...)).OK(t)
	}
}
