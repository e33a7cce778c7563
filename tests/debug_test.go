package tests

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/proa-containers/proa/tests/harness"
)

// debug runs a command beside a container and returns its output.
func debug(t testing.TB, e *harness.Env, args ...string) string {
	t.Helper()
	return e.Proa(append([]string{"debug"}, args...)...).OK(t).Out()
}

func TestDebugRunning(t *testing.T) {
	name := start(t, env, "--hostname", "box", "--add-host", "db:10.0.0.1", "--", "sh", "-c", "echo made > /made; exec sleep 1000")
	before := inspectField(t, env, name, "{{.State.Pid}} {{.State.Status}} {{.State.StartedAt}}")
	for _, ns := range []string{"pid", "uts", "ipc", "net", "user"} {
		equal(t, ns+" namespace", debug(t, env, name, "readlink", "/proc/self/ns/"+ns), debug(t, env, name, "readlink", "/proc/1/ns/"+ns))
	}
	equal(t, "the container's files", debug(t, env, name, "cat", "made"), "made")
	equal(t, "files of the toolbox", debug(t, env, name, "sh", "-c", "test -e /made || echo none"), "none")
	equal(t, "the container's processes", debug(t, env, name, "cat", "/proc/1/comm"), "sleep")
	equal(t, "its host name", debug(t, env, name, "hostname"), "box")
	equal(t, "names it knows", debug(t, env, name, "grep", "db", "/etc/hosts"), "10.0.0.1\tdb")
	equal(t, "a change of the toolbox", debug(t, env, name, "sh", "-c", "touch /new /bin/new && rm /etc/passwd && echo done"), "done")
	refused(t, env.Proa("debug", name, "touch", "/container/new"), 1, "Read-only file system")
	refused(t, env.Proa("debug", name, "touch", "/container/dev/new"), 1, "Read-only file system")
	equal(t, "what it changed", env.Proa("diff", name).OK(t).Out(), "A /made")
	equal(t, "state", inspectField(t, env, name, "{{.State.Pid}} {{.State.Status}} {{.State.StartedAt}}"), before)
	equal(t, "events", events(t, name, "{{.Action}}"), "create\nstart")
	equal(t, "processes", env.Proa("exec", name, "sh", "-c", "cd /proc; set -- [0-9]*; echo $#").OK(t).Out(), "2") // sleep, sh
	env.Proa("debug", "--writable", name, "sh", "-c", "echo through > /container/tmp/through").OK(t)
	equal(t, "--writable", env.Proa("exec", name, "cat", "/tmp/through").OK(t).Out(), "through")
}

func TestDebugStopped(t *testing.T) {
	vol := env.TempDir(t)
	env.WriteFile(t, filepath.Join(vol, "there"), "there\n", 0o644)
	name := stopped(t, env, "--hostname", "box", "-v", vol+":/vol", "-v", "/anonymous", "--network", "none")
	before := inspectField(t, env, name, "{{json .State}}")
	equal(t, "a volume", debug(t, env, name, "cat", "vol/there"), "there")
	equal(t, "an anonymous one", debug(t, env, name, "sh", "-c", "grep -c /container/anonymous /proc/mounts"), "1")
	refused(t, env.Proa("debug", name, "touch", "/container/vol/new"), 1, "Read-only file system")
	refused(t, env.Proa("debug", name, "touch", "/container/new"), 1, "Read-only file system")
	equal(t, "processes", debug(t, env, name, "sh", "-c", "cd /proc; set -- [0-9]*; echo $#"), "2") // what watches over it, sh
	equal(t, "host name", debug(t, env, name, "hostname"), "box")
	equal(t, "network", debug(t, env, name, "ls", "/sys/class/net"), "lo")
	equal(t, "state", inspectField(t, env, name, "{{json .State}}"), before)
	equal(t, "diff", env.Proa("diff", name).OK(t).Out(), "")
	equal(t, "events", events(t, name, "{{.Action}}"), "create")
	env.Proa("debug", name, "--writable", "sh", "-c", "echo new > new; rm etc/group; echo v > vol/new").OK(t)
	equal(t, "--writable", env.Proa("diff", name).OK(t).Out(), "C /etc\nD /etc/group\nA /new")
	equal(t, "--writable, in a volume", env.Command("cat", vol+"/new").OK(t).Out(), "v")
	equal(t, "what was written", debug(t, env, name, "cat", "/container/new"), "new")
	equal(t, "mounts left in proa's namespace", strings.Join(env.PauseMounts(), "\n"), "")
	ended := containerName(t)
	env.Proa("run", "--network=none", "--name", ended, image, "sh", "-c", "echo last > /last; exit 3").Want(t, 3)
	removeLater(t, env, ended)
	equal(t, "of one that has ended", debug(t, env, ended, "cat", "last"), "last")
	equal(t, "its exit code", inspectField(t, env, ended, "{{.State.ExitCode}}"), "3")
}

// TestDebugRootfs: a directory in place of an image is looked at like a layer.
func TestDebugRootfs(t *testing.T) {
	withImage(t, env)
	root := env.TempDir(t)
	env.Command("sh", "-c", "mkdir -p $0/bin && cp /bin/busybox $0/bin/", root).OK(t)
	for _, what := range []string{root, root + ":O"} {
		name := containerName(t)
		env.Proa("create", "--network=none", "--name", name, "-v", "/vol", "--rootfs", what, "/bin/busybox", "sleep", "1000").OK(t)
		removeLater(t, env, name)
		made := env.Command("ls", root).OK(t).Out()
		list := func() string { return debug(t, env, "--image", image, name, "sh", "-c", "ls bin") }
		equal(t, "stopped", list(), "busybox")
		equal(t, "nothing made", env.Command("ls", root).OK(t).Out(), made)
		env.Proa("start", name).OK(t)
		equal(t, "running", list(), "busybox")
		env.Proa("rm", "-f", name).OK(t)
		env.Command("sh", "-c", "cd $0 && rmdir dev etc proc sys vol 2>/dev/null; true", root).OK(t)
	}
}

// TestDebugWithoutShell: a container of one static program is looked at with the tools of another image.
func TestDebugWithoutShell(t *testing.T) {
	e := withImage(t, env.Fresh(t))
	e.Proa("run", "--network=none", "--name", "once", "hello").OK(t)
	equal(t, "files", debug(t, e, "once", "--image", image, "ls"), "dev\netc\nhello\nproc\nsys\ntmp")
	refused(t, e.Proa("debug", "once", "--image", "hello"), 125, "hello", "no shell", "--image")
	refused(t, e.Proa("debug", "--image", "hello", "once", "ls"), 127, `"ls"`, "not found")
	refused(t, e.Proa("debug", "--image", "no-such-image", "--pull", "never", "once"), 125, "no-such-image", "pull it first")
}

// TestDebugPull: a toolbox that is missing is brought as an image of run is.
func TestDebugPull(t *testing.T) {
	e := withImage(t, env.Fresh(t))
	reg := harness.StartRegistry(t, "", "")
	tools := baseImage(t)
	tools.Config.Env = append(slices.Clone(tools.Config.Env), "TOOL=yes")
	tools.Config.Entrypoint = []string{"/no/such/program"}
	reg.Push(t, "tools:1", tools)
	e.WriteFile(t, filepath.Join(e.Home, ".config/containers/registries.conf"), fmt.Sprintf("[[registry]]\nlocation = %q\ninsecure = true\n", reg.Addr), 0o644)
	name := start(t, e, "sleep", "1000")
	equal(t, "environment", debug(t, e, name, "--image", reg.Ref("tools:1"), "sh", "-c", "echo $TOOL"), "yes")
}

func TestDebugOptions(t *testing.T) {
	name := start(t, env, "-e", "A=1", "-w", "/tmp", "-u", "alice", "--", "sleep", "1000")
	file := env.WriteFile(t, filepath.Join(env.TempDir(t), "env"), "B=2\nC=3\n", 0o644)
	equal(t, "-e, --env-file", debug(t, env, "-e", "C=4", "--env-file", file, name, "sh", "-c", "echo $A$B$C"), "24")
	equal(t, "directory", debug(t, env, name, "pwd"), "/container")
	equal(t, "-w", debug(t, env, "-w", "/etc", name, "pwd"), "/etc")
	equal(t, "user", debug(t, env, name, "id", "-un"), "root")
	equal(t, "-u", debug(t, env, "-u", "alice", name, "id", "-un"), "alice")
	equal(t, "options behind the container", debug(t, env, name, "-u", "alice", "id", "-un"), "alice")
	equal(t, "those of the command", debug(t, env, name, "echo", "-u", "--image"), "-u --image")
	for _, code := range []int{0, 1, 42, 125, 127, 255} {
		env.Proa("debug", name, "sh", "-c", fmt.Sprintf("exit %d", code)).Want(t, code)
	}
	env.Proa("debug", name, "sh", "-c", "kill -9 $$").Want(t, 137)
	r := env.Proa("debug", name, "sh", "-c", "echo out; echo err >&2").OK(t)
	equal(t, "streams", r.Stdout+r.Stderr, "out\nerr\n")
	for line, want := range map[string]string{"": "42\n", "-i cat": "echo $((6*7))\n", "cat": "", "-i=false": ""} {
		c := env.Proa(append([]string{"debug", name}, strings.Fields(line)...)...)
		c.Stdin = strings.NewReader("echo $((6*7))\n")
		equal(t, "input of "+line, c.OK(t).Stdout, want)
	}
}

// TestDebugPrivilege: a session may do what an exec of root may, and no more.
func TestDebugPrivilege(t *testing.T) {
	const status = "grep -E '^(Cap|NoNewPrivs|Seccomp)' /proc/self/status"
	for _, flags := range [][]string{nil, {"--cap-drop", "ALL", "--cap-add", "CHOWN"}, {"--security-opt", "no-new-privileges"}, {"--security-opt", "seccomp=unconfined"}, {"--privileged"}} {
		name := start(t, env, append(flags, "--", "sleep", "1000")...)
		equal(t, strings.Join(flags, " "), debug(t, env, name, "sh", "-c", status), env.Proa("exec", "-u", "0", name, "sh", "-c", status).OK(t).Out())
		user := []string{"-u", "alice", name, "sh", "-c", status}
		equal(t, strings.Join(flags, " ")+", as a user", debug(t, env, user...), env.Proa(append([]string{"exec"}, user...)...).OK(t).Out())
		env.Proa("rm", "-f", name).OK(t)
	}
	name := start(t, env, "--cap-drop", "ALL", "--", "sleep", "1000")
	equal(t, "--privileged", field(debug(t, env, "--privileged", name, "cat", "/proc/self/status"), "Seccomp"), "0")
	refused(t, env.Proa("debug", name, "sh", "-c", "echo x > /proc/sys/kernel/hostname"), 1, "Read-only")
	refused(t, env.Proa("debug", name, "umount", "/container"), 1, "ermitted")
	refused(t, env.Proa("debug", name, "mount", "-o", "remount,rw", "/container"), 1, "ermi")
}

func TestDebugTerminal(t *testing.T) {
	name := start(t, env, "sleep", "1000")
	term := env.Proa("debug", name).OnTerminal(t, 30, 99)
	term.Expect(t, "/container, read-only")
	term.Expect(t, "# ")
	term.Type(t, "stty size\n")
	term.Expect(t, "30 99")
	term.Type(t, "sh -c 'echo go=$((1+20)); exec sleep 1000'\n")
	term.Expect(t, "go=21")
	term.Type(t, "\x03")
	term.Type(t, "echo code=$?\n")
	term.Expect(t, "code=130")
	term.Type(t, "sleep 77778 &\n")
	term.Type(t, "exit 3\n")
	sane(t, "exit", term, 3)
	equal(t, "processes", env.Proa("exec", name, "sh", "-c", "cd /proc; set -- [0-9]*; echo $#").OK(t).Out(), "2") // sleep, sh
}

// session starts a debug session that has a child in the background, and returns the pids of what watches over it, of its
// command and of the child.
func session(t *testing.T, c *harness.Cmd) (client *os.Process, wait func() int, pids [3]int) {
	t.Helper()
	seconds := fmt.Sprint(20_000_000 + os.Getpid())
	c.Args = append(c.Args, "sh", "-c", "sleep "+seconds+" & wait")
	x := c.Exec(context.Background())
	var stderr strings.Builder
	x.Stderr = &stderr
	if err := x.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan int, 1)
	go func() { _ = x.Wait(); ended <- harness.ExitCode(x.ProcessState) }()
	t.Cleanup(func() { _ = x.Process.Kill() })
	pids[2] = sleepingPID(t, env, seconds)
	for _, p := range env.Processes() {
		if p.PID == pids[2] {
			pids[1] = p.Parent
		}
	}
	for _, p := range env.Processes() {
		if p.PID == pids[1] {
			pids[0] = p.Parent
		}
	}
	wait = func() int {
		var code int
		harness.Eventually(t, "the client ends: "+stderr.String(), func() bool {
			select {
			case code = <-ended:
				return true
			default:
				return false
			}
		})
		return code
	}
	return x.Process, wait, pids
}

// gone waits until none of the processes is there.
func gone(t *testing.T, what string, pids [3]int) {
	t.Helper()
	harness.Eventually(t, what+": the session has ended", func() bool {
		for _, p := range env.Processes() {
			if slices.Contains(pids[:], p.PID) {
				return false
			}
		}
		return true
	})
}

// TestDebugKilled kills one part of a session at a time: the rest goes too, and the container stays.
func TestDebugKilled(t *testing.T) {
	for state, name := range map[string]string{"running": start(t, env, "sleep", "1000"), "stopped": stopped(t, env), "in the host's pid namespace": start(t, env, "--pid", "host", "--", "sleep", "1000")} {
		before := inspectField(t, env, name, "{{json .State}}")
		client, wait, pids := session(t, env.Proa("debug", name))
		_ = client.Kill()
		wait()
		gone(t, state+", client", pids)
		for i, part := range []string{"watcher", "command"} {
			_, wait, pids := session(t, env.Proa("debug", name))
			kill(t, pids[i])
			equal(t, state+", "+part+": exit code", fmt.Sprint(wait()), "137")
			gone(t, state+", "+part, pids)
		}
		client, wait, pids = session(t, env.Proa("debug", name))
		_ = client.Signal(syscall.SIGTERM)
		equal(t, state+", SIGTERM: exit code", fmt.Sprint(wait()), "143")
		gone(t, state+", SIGTERM", pids)
		equal(t, state, inspectField(t, env, name, "{{json .State}}"), before)
	}
	equal(t, "mounts left in proa's namespace", strings.Join(env.PauseMounts(), "\n"), "")
}

// TestDebugKilledAnywhere kills the client at points spread over a session: nothing of it is left.
func TestDebugKilledAnywhere(t *testing.T) {
	e, _ := crashEnv(t)
	names := []string{start(t, e, "sleep", "1000"), stopped(t, e, "-v", "/anonymous")}
	debug(t, e, names[0], "true")
	files := storeFiles(t, e)
	for n := range 24 {
		marker := fmt.Sprintf("0.4%05d", n)
		flags := [][]string{nil, {"--writable"}}[n/2%2]
		x := e.Proa(append(append([]string{"debug", names[n%2]}, flags...), "sleep", marker)...).Exec(context.Background())
		if err := x.Start(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Duration(n) * 2 * time.Millisecond) // the point, wherever it is
		_ = x.Process.Kill()
		_ = x.Wait()
		harness.Eventually(t, "no process is left", func() bool {
			return !slices.ContainsFunc(e.Processes(), func(p harness.Process) bool { return slices.Contains(p.Args, marker) || p.Args[0] == "proa-init" })
		})
		harness.Eventually(t, "no file is left", func() bool { e.Proa("ps", "-aq").OK(t); return storeFiles(t, e) == files })
	}
	equal(t, "mounts", strings.Join(e.PauseMounts(), " "), "")
	for _, name := range names {
		equal(t, "diff", e.Proa("diff", name).OK(t).Out(), "")
	}
	e.Proa("start", names[1]).OK(t)
}

// TestDebugContainerEnds: a session ends with the container that it is in.
func TestDebugContainerEnds(t *testing.T) {
	for _, flags := range [][]string{nil, {"--pid", "host"}} {
		name := start(t, env, append(flags, "--", "sleep", "1000")...)
		_, wait, pids := session(t, env.Proa("debug", name))
		env.Proa("stop", "-t", "0", name).OK(t)
		equal(t, "exit code", fmt.Sprint(wait()), "137")
		gone(t, "stop", pids)
		env.Proa("start", name).OK(t)
	}
}

// TestDebugMeanwhile: who only looks at a stopped container keeps nobody from using it; who writes to it does.
func TestDebugMeanwhile(t *testing.T) {
	name := stopped(t, env)
	_, wait, pids := session(t, env.Proa("debug", name))
	env.Proa("start", name).OK(t)
	env.Proa("rm", "-f", name).OK(t)
	kill(t, pids[1])
	wait()
	gone(t, "rm", pids)

	name = stopped(t, env)
	_, wait, pids = session(t, env.Proa("debug", "--writable", name))
	started := make(chan harness.Result, 1)
	go func() { started <- env.Proa("start", name).Run(t) }()
	equal(t, "state during a session", inspectField(t, env, name, "{{.State.Status}}"), "created")
	kill(t, pids[1])
	wait()
	equal(t, "start after it", (<-started).Stderr, "")
	equal(t, "state after it", inspectField(t, env, name, "{{.State.Status}}"), "running")
}

// TestDebugCgroup: a session has a cgroup beside the container's, which goes with it, if it was killed with the next command.
func TestDebugCgroup(t *testing.T) {
	_, d := delegated(t)
	id := d.Proa("run", "-d", "--network=none", "--name", "c", image, "sleep", "1000").OK(t).Out()
	d.Proa("create", "--network=none", "--name", "s", image, "sleep", "1000").OK(t)
	only := "proa proa/" + id
	for _, name := range []string{"c", "s"} {
		seen := d.Proa("debug", name, "cat", "/proc/self/cgroup").OK(t).Out()
		if !slices.Contains(strings.Split(seen, "\n"), "0::/") {
			t.Errorf("the session sees its cgroup as %q, not as the root", seen)
		}
		equal(t, "cgroups after a session", strings.Join(d.Cgroups(t), " "), only)
		x := d.Proa("debug", name, "sh", "-c", "echo up; exec sleep 1000").Exec(context.Background())
		out, err := x.StdoutPipe()
		if err == nil {
			err = x.Start()
		}
		if err == nil {
			_, err = io.ReadFull(out, make([]byte, 3))
		}
		if err != nil {
			t.Fatal(err)
		}
		equal(t, "cgroups during a session", fmt.Sprint(len(d.Cgroups(t))), "3")
		_ = x.Process.Kill()
		_ = x.Wait()
		d.Proa("ps").OK(t)
		equal(t, "cgroups after a killed one", strings.Join(d.Cgroups(t), " "), only)
	}
	d.Proa("pause", "c").OK(t)
	refused(t, d.Proa("debug", "c"), 1, "paused", "unpause it")
	d.Proa("unpause", "c").OK(t)
}

func TestDebugForeign(t *testing.T) {
	harness.Requires(t, "crun")
	name := start(t, env, "--runtime", "crun", "--", "sleep", "1000")
	equal(t, "processes", debug(t, env, name, "cat", "/proc/1/comm"), "sleep")
	equal(t, "files", debug(t, env, name, "ls", "home"), "alice")
}
