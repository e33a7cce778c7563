package tests

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/proa-containers/proa/tests/harness"
)

// forRuntimes runs the test with every runtime that proa is to work with in place of its own: the two that are
// installed everywhere by name, and one by its path.
func forRuntimes(t *testing.T, test func(t *testing.T, runtime string)) {
	for _, name := range []string{"crun", "runc"} {
		t.Run(name, func(t *testing.T) {
			harness.Requires(t, name)
			test(t, name)
		})
	}
	t.Run("path", func(t *testing.T) { test(t, filepath.Join(env.Prefix, "bin", "proa-runtime")) })
}

// scripted is a runtime that runs script, with crun's and its own arguments in $@ and the verb in $verb, before it
// becomes crun. It notes its verbs in the file of the second result.
func scripted(t *testing.T, e *harness.Env, script string) (runtime, verbs string) {
	harness.Requires(t, "crun")
	dir := e.TempDir(t)
	verbs = filepath.Join(dir, "verbs")
	text := fmt.Sprintf(`#!/bin/sh
for verb; do
    case $verb in create|start|exec|delete|kill|state) break ;; esac
done
echo $verb >> %s
%s
exec crun "$@"
`, verbs, script)
	// crun is its name's first part: proa gives it crun's arguments.
	return e.WriteFile(t, filepath.Join(dir, "crun-scripted"), text, 0o755), verbs
}

func TestRuntimeRun(t *testing.T) {
	forRuntimes(t, func(t *testing.T, runtime string) {
		r := run(t, "--runtime", runtime, "--", "sh", "-c", "echo out; echo err >&2; exit 7").Want(t, 7)
		equal(t, "stdout", r.Stdout, "out\n")
		equal(t, "stderr", r.Stderr, "err\n")
		c := run(t, "--runtime", runtime, "-i", "--", "cat")
		c.Stdin = strings.NewReader("in\n")
		equal(t, "-i", c.OK(t).Stdout, "in\n")
		run(t, "--runtime", runtime, "--init", "--", "sh", "-c", "kill -KILL $$").Want(t, 137)
		r = withImage(t, env).Proa("--runtime", runtime, "run", "--rm", "--network=none", image, "hostname").OK(t)
		if len(r.Out()) != 12 {
			t.Errorf("hostname %q, want 12 digits of the id", r.Out())
		}
	})
}

// TestRuntimeIsCalled sees which program made the container, and that nothing but the runtime's verbs was needed.
func TestRuntimeIsCalled(t *testing.T) {
	runtime, verbs := scripted(t, env, "")
	name := start(t, env, "--runtime", runtime, "--", "sleep", "1000")
	env.Proa("exec", name, "true").OK(t)
	equal(t, "inspect", env.Proa("inspect", "-f", "{{.HostConfig.Runtime}}", name).OK(t).Out(), runtime)
	env.Proa("rm", "-f", name).OK(t)
	b, err := os.ReadFile(verbs)
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "verbs", strings.Join(strings.Fields(string(b)), " "), "create start exec delete")
	run(t, "--runtime", "proa", "--", "true").OK(t)
}

func TestRuntimeExitCodes(t *testing.T) {
	dir := env.TempDir(t)
	env.WriteFile(t, filepath.Join(dir, "noformat"), "no header\n", 0o755)
	env.WriteFile(t, filepath.Join(dir, "nointerpreter"), "#! /no/such/thing -x\n", 0o755)
	env.WriteFile(t, filepath.Join(dir, "script"), "#!/bin/sh\nexit 9\n", 0o755)
	env.Command("cp", "/usr/bin/true", filepath.Join(dir, "noloader")).OK(t) // linked with a libc that the image lacks
	forRuntimes(t, func(t *testing.T, runtime string) {
		name := start(t, env, "--runtime", runtime, "-v", dir+":/volume", "--", "sleep", "1000")
		for _, c := range []struct {
			args []string
			code int
		}{
			{[]string{"no-such-command"}, 127}, {[]string{"/no/such/command"}, 127}, {[]string{"/etc/notexec"}, 126}, {[]string{"/etc"}, 126},
			{[]string{"/volume/noformat"}, 126}, {[]string{"/volume/nointerpreter"}, 127}, {[]string{"/volume/noloader"}, 127},
			{[]string{"sh", "-c", "exit 125"}, 125}, {[]string{"sh", "-c", "exit 255"}, 255}, {[]string{"/volume/script"}, 9},
		} {
			line := append([]string{"--runtime", runtime, "-v", dir + ":/volume", "--"}, c.args...)
			if c.code != 126 && c.code != 127 {
				run(t, line...).Want(t, c.code)
				env.Proa(append([]string{"exec", name}, c.args...)...).Want(t, c.code)
				continue
			}
			refused(t, run(t, line...), c.code, c.args[0])
			refused(t, env.Proa(append([]string{"exec", name}, c.args...)...), c.code, c.args[0])
		}
	})
}

func TestRuntimeTerminal(t *testing.T) {
	forRuntimes(t, func(t *testing.T, runtime string) {
		term := run(t, "--runtime", runtime, "-it", "--", "sh").OnTerminal(t, 33, 101)
		hasTerminal(t, term)
		term.Type(t, "exit 7\n")
		sane(t, "run", term, 7)
	})
}

func TestRuntimeExec(t *testing.T) {
	forRuntimes(t, func(t *testing.T, runtime string) {
		name := start(t, env, "--runtime", runtime, "-e", "A=1", "-w", "/tmp", "--", "sleep", "1000")
		ex := func(args ...string) string { return env.Proa(append([]string{"exec"}, args...)...).OK(t).Out() }
		equal(t, "environment", ex("-e", "B=2", name, "sh", "-c", "echo $A$B"), "12")
		equal(t, "container's directory", ex(name, "pwd"), "/tmp")
		equal(t, "-w", ex("-w", "/etc", name, "pwd"), "/etc")
		equal(t, "-u", ex("-u", "alice", name, "id", "-un"), "alice")
		for _, ns := range []string{"pid", "mnt", "uts", "ipc", "net", "user", "cgroup"} {
			equal(t, ns, ex(name, "readlink", "/proc/self/ns/"+ns), ex(name, "readlink", "/proc/1/ns/"+ns))
		}
		s := ex(name, "cat", "/proc/self/status")
		equal(t, "capabilities", field(s, "CapEff"), dockerCaps)
		equal(t, "seccomp", field(s, "Seccomp"), "2")
		c := env.Proa("exec", "-i", name, "cat")
		c.Stdin = strings.NewReader("in\n")
		equal(t, "-i", c.OK(t).Stdout, "in\n")
		r := env.Proa("exec", name, "sh", "-c", "echo out; echo err >&2; kill -KILL $$").Want(t, 137)
		equal(t, "stdout", r.Stdout, "out\n")
		equal(t, "stderr", r.Stderr, "err\n")
		env.Proa("exec", "-d", name, "sh", "-c", "echo done > /tmp/f").OK(t)
		ex(name, "sh", "-c", "while ! test -s /tmp/f; do sleep 0.05; done")
		execTerminal(t, name)
	})
}

func TestRuntimeLife(t *testing.T) {
	forRuntimes(t, func(t *testing.T, runtime string) {
		e, files := crashEnv(t)
		name := start(t, e, "--runtime", runtime, "--", "sh", "-c", "trap 'echo bye; exit 9' TERM; echo up; while :; do sleep 0.05; done")
		harness.Eventually(t, "the log says up", func() bool { return e.Proa("logs", name).OK(t).Stdout == "up\n" })
		equal(t, "ps", e.Proa("ps", "--format", "{{.Names}}").OK(t).Out(), name)
		e.Proa("stop", name).OK(t)
		equal(t, "state", e.Proa("inspect", "-f", "{{.State.Status}} {{.State.ExitCode}}", name).OK(t).Out(), "exited 9")
		equal(t, "log", e.Proa("logs", name).OK(t).Stdout, "up\nbye\n")
		e.Proa("rm", name).OK(t)

		name = start(t, e, "--runtime", runtime, "--", "sleep", "10011")
		e.Proa("kill", name).OK(t)
		equal(t, "wait", e.Proa("wait", name).OK(t).Out(), "137")
		e.Proa("rm", name).OK(t)

		name = start(t, e, "--rm", "--runtime", runtime, "--", "sleep", "10011")
		e.Proa("stop", "-t", "0", name).OK(t)
		settle(t, e, "10011", files)
		name = start(t, e, "--runtime", runtime, "--", "sleep", "10011")
		e.Proa("rm", "-f", name).OK(t)
		settle(t, e, "10011", files)
	})
}

// TestRuntimeStart starts a created container, one that has ended, and one that runs, all with its own runtime.
func TestRuntimeStart(t *testing.T) {
	forRuntimes(t, func(t *testing.T, runtime string) {
		e := withImage(t, env)
		name := containerName(t)
		e.Proa("create", "--network=none", "--name", name, "--init", "--runtime", runtime, image, "sh", "-c", "echo run; exit 5").OK(t)
		removeLater(t, e, name)
		equal(t, "inspect", e.Proa("inspect", "-f", "{{.State.Status}} {{.HostConfig.Runtime}}", name).OK(t).Out(), "created "+runtime)
		for range 2 {
			e.Proa("start", "-a", name).Want(t, 5)
		}
		equal(t, "log", e.Proa("logs", name).OK(t).Stdout, "run\nrun\n")
		other := start(t, e, "--runtime", runtime, "--", "sleep", "1000")
		before, _ := pids(t, e, other)
		e.Proa("restart", "-t", "0", other).OK(t)
		if after, _ := pids(t, e, other); after == before {
			t.Error("restart left the process running")
		}
		e.Proa("exec", other, "true").OK(t)
	})
}

func TestRuntimeRootfs(t *testing.T) {
	forRuntimes(t, func(t *testing.T, runtime string) {
		root := rootfs(t, func(string) {})
		line := func(dir string, cmd ...string) *harness.Cmd {
			return env.Proa(append([]string{"run", "--rm", "--network=none", "--runtime", runtime, "--rootfs", dir}, cmd...)...)
		}
		line(root+":O", "touch", "/copied").OK(t)
		line(root, "touch", "/written").OK(t)
		if _, err := os.Stat(filepath.Join(root, "copied")); err == nil {
			t.Error("with :O the directory was written to")
		}
		if _, err := os.Stat(filepath.Join(root, "written")); err != nil {
			t.Error("without :O the directory was not written to")
		}
	})
}

// TestRuntimeIsolation compares with the bundled runtime what a container sees.
func TestRuntimeIsolation(t *testing.T) {
	const script = `grep -E '^(Cap|Seccomp:|NoNewPrivs)' /proc/self/status; id; pwd; hostname
for f in /proc/kcore /proc/sys/kernel/shmmax /sys/kernel/mm; do ( : > $f ) 2>/dev/null && echo writes $f; done
test -s /proc/keys && echo reads /proc/keys
mount | awk '$3 ~ "^/(proc|sys|dev|dev/pts|dev/shm|dev/mqueue|vol|etc/hosts|t)$" {print $3, $5}' | sort
touch /vol/new 2>/dev/null && echo writes /vol; cat /vol/file 2>/dev/null; ls -d /dev/[a-z]* | grep -v console; ulimit -n; ls /sys/class/net; exit 0`
	vol := env.TempDir(t)
	env.WriteFile(t, filepath.Join(vol, "file"), "content\n", 0o644)
	for _, flags := range [][]string{
		{}, {"--privileged"}, {"-u", "alice", "--cap-drop", "ALL", "--cap-add", "CHOWN"}, {"--security-opt", "no-new-privileges", "--security-opt", "seccomp=unconfined"},
		{"-v", vol + ":/vol:ro", "-w", "/srv/new", "--tmpfs", "/t", "--ulimit", "nofile=100:200"}, {"-v", filepath.Join(vol, "file") + ":/vol/file:ro"},
		{"--read-only"}, {"--network", "host"}, {"--pid", "host"}, {"--ipc", "host"}, {"--uts", "host"}, {"--oom-score-adj", "-500"}, {"--init"},
	} {
		see := func(t *testing.T, runtime string) string {
			all := append([]string{"--hostname", "box", "--runtime", runtime}, flags...)
			if strings.HasPrefix(strings.Join(flags, " "), "--uts") {
				all = append([]string{"--runtime", runtime}, flags...)
			}
			return run(t, append(all, "--", "sh", "-c", script)...).OK(t).Out()
		}
		want := see(t, "proa")
		forRuntimes(t, func(t *testing.T, runtime string) {
			equal(t, strings.Join(flags, " "), see(t, runtime), want)
		})
	}
}

func TestRuntimeErrors(t *testing.T) {
	e := withImage(t, env)
	flag := func(runtime string) *harness.Cmd { return run(t, "--runtime", runtime, "--", "true") }
	refused(t, flag("no-such-runtime"), 125, "no-such-runtime", "absolute path")
	refused(t, flag("/no/such/runtime"), 125, "/no/such/runtime")
	refused(t, flag("/etc"), 125, "/etc", "not a file")
	refused(t, flag("/etc/passwd"), 125, "/etc/passwd", "permission denied")
	refused(t, e.Proa("--runtime", "no-such-runtime", "run", image), 125, "no-such-runtime")
	refused(t, flag(""), 125, "runtime")

	complaint, _ := scripted(t, e, `test $verb = create && { echo "the moon is full" >&2; exit 3; }`)
	refused(t, flag(complaint), 125, "crun-scripted create", "the moon is full")
	silent, _ := scripted(t, e, `test $verb = create && exit 3`)
	refused(t, flag(silent), 125, "crun-scripted create", "exit status 3")
	unstarted, _ := scripted(t, e, `test $verb = start && { echo "the sun is red" >&2; exit 3; }`)
	refused(t, flag(unstarted), 125, "crun-scripted start")
	pidless, _ := scripted(t, e, `test $verb = create && exit 0`)
	refused(t, flag(pidless), 125, "pid file")
	equal(t, "containers left", e.Proa("ps", "-aq", "--filter", "status=created").OK(t).Out(), "")
	if _, err := os.Stat("/usr/bin/runc"); err == nil && strings.Contains(e.Command("runc", "features").OK(t).Stdout, `"ociVersionMax": "1.0`) {
		refused(t, run(t, "--runtime", "runc", "--domainname", "lan", "--", "true"), 125, "--domainname", "runc")
	}
	equal(t, "crun's domainname", run(t, "--runtime", "crun", "--domainname", "lan", "--", "cat", "/proc/sys/kernel/domainname").OK(t).Out(), "lan")
}

// TestRuntimeInitNoexec has the runtime directory on a file system that nothing may be executed from, as Debian's /run.
func TestRuntimeInitNoexec(t *testing.T) {
	harness.Requires(t, "root", "unshare", "setpriv")
	forRuntimes(t, func(t *testing.T, runtime string) {
		e := withImage(t, env.Fresh(t))
		noexec := fmt.Sprintf("mount -t tmpfs -o noexec,mode=700,uid=%d,gid=%d tmpfs %s", e.UID, e.GID, e.Runtime)
		c := e.CommandIn(noexec, "proa", "run", "--rm", "--network=none", "--init", "--runtime", runtime, image, "sh", "-c", "tr '\\0' ' ' < /proc/1/cmdline; exit 7")
		if r := c.Want(t, 7); !strings.HasPrefix(r.Stdout, "/run/proa-init ") {
			t.Errorf("pid 1 is %q", r.Stdout)
		}
	})
}
