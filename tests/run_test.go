package tests

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/proa-containers/proa/tests/harness"
)

func TestRunPassesExitCode(t *testing.T) {
	for _, code := range []int{0, 1, 2, 42, 125, 126, 127, 128, 137, 254, 255} {
		run(t, "sh", "-c", fmt.Sprintf("exit %d", code)).Want(t, code)
	}
}

func TestRunExitCodeOfSignal(t *testing.T) {
	run(t, "--init", "--", "sh", "-c", "kill -KILL $$").Want(t, 137)
	run(t, "--init", "--", "sh", "-c", "kill -TERM $$").Want(t, 143)
}

func TestRunOwnExitCodes(t *testing.T) {
	refused(t, run(t, "--no-such-flag", "--", "true"), 125, "no-such-flag")
	refused(t, run(t, "/etc/notexec"), 126, "/etc/notexec")
	refused(t, run(t, "/etc"), 126, "/etc")
	refused(t, run(t, "no-such-command"), 127, "no-such-command")
	refused(t, run(t, "/no/such/command"), 127, "/no/such/command")
}

func TestRunSeparatesStreams(t *testing.T) {
	r := run(t, "sh", "-c", "echo out; echo err >&2").OK(t)
	equal(t, "stdout", r.Stdout, "out\n")
	equal(t, "stderr", r.Stderr, "err\n")
}

func TestRunKeepsEveryByte(t *testing.T) {
	r := run(t, "sh", "-c", "dd if=/dev/zero bs=65536 count=64 2>/dev/null | tr '\\0' x").OK(t)
	if len(r.Stdout) != 64*65536 || strings.Trim(r.Stdout, "x") != "" {
		t.Errorf("got %d bytes of output, want %d", len(r.Stdout), 64*65536)
	}
}

func TestRunStdin(t *testing.T) {
	c := run(t, "-i", "--", "cat")
	c.Stdin = strings.NewReader("one\ntwo\n")
	equal(t, "with -i", c.OK(t).Stdout, "one\ntwo\n")
	c = run(t, "--", "cat")
	c.Stdin = strings.NewReader("one\n")
	equal(t, "without -i", c.OK(t).Stdout, "")
	big := strings.Repeat("0123456789abcde\n", 1<<16)
	c = run(t, "-i", "--", "md5sum")
	c.Stdin = strings.NewReader(big)
	equal(t, "1 MB", c.OK(t).Out(), env.Command("sh", "-c", "yes 0123456789abcde | head -65536 | md5sum").OK(t).Out())
}

func TestRunEnvironment(t *testing.T) {
	file := env.WriteFile(t, filepath.Join(env.TempDir(t), "env"), "# comment\nFILE=from file\nHOSTVAR\n\nBOTH=file\n", 0o644)
	c := run(t, "-e", "A=1", "-e", "B=x=y z", "-e", "HOSTVAR2", "-e", "UNSET_ON_HOST", "--env-file", file, "-e", "BOTH=flag", "--", "env")
	c.Env = []string{"HOSTVAR=host", "HOSTVAR2=host2"}
	got := "\n" + c.OK(t).Stdout
	for _, want := range []string{"A=1", "B=x=y z", "FILE=from file", "HOSTVAR=host", "HOSTVAR2=host2", "BOTH=flag", "HOME=/root",
		"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"} {
		if !strings.Contains(got, "\n"+want+"\n") {
			t.Errorf("the environment lacks %q: %s", want, got)
		}
	}
	for _, bad := range []string{"UNSET_ON_HOST", "XDG_RUNTIME_DIR", "LOGNAME"} {
		if strings.Contains(got, "\n"+bad+"=") {
			t.Errorf("the environment has %s: %s", bad, got)
		}
	}
}

func TestRunWorkdir(t *testing.T) {
	equal(t, "default", run(t, "pwd").OK(t).Out(), "/")
	equal(t, "-w", run(t, "-w", "/tmp", "--", "pwd").OK(t).Out(), "/tmp")
	equal(t, "-w made", run(t, "-w", "/new/dir", "--", "pwd").OK(t).Out(), "/new/dir")
	refused(t, run(t, "-w", "/etc/passwd", "--", "pwd"), 125, "/etc/passwd")
	refused(t, run(t, "-w", "relative", "--", "pwd"), 125, "relative")
}

func TestRunUser(t *testing.T) {
	for flag, want := range map[string]string{
		"alice":       "1000:1000:29 1000",
		"1000":        "1000:1000:29 1000",
		"1000:29":     "1000:29:29",
		"alice:audio": "1000:29:29",
		"4242":        "4242:0:0",
		"4242:4243":   "4242:4243:4243",
		"root":        "0:0:0",
	} {
		got := run(t, "-u", flag, "--", "sh", "-c", "echo $(id -u):$(id -g):$(id -G | tr ' ' '\\n' | sort -n | tr '\\n' ' ')").OK(t).Out()
		equal(t, "-u "+flag, strings.TrimSpace(got), want)
	}
	equal(t, "home", run(t, "-u", "alice", "--", "sh", "-c", "echo $HOME").OK(t).Out(), "/home/alice")
	refused(t, run(t, "-u", "nobody-here", "--", "true"), 125, "nobody-here")
	refused(t, run(t, "-u", "root:nogroup-here", "--", "true"), 125, "nogroup-here")
}

func TestRunHostname(t *testing.T) {
	equal(t, "--hostname", run(t, "--hostname", "box.example", "--", "hostname").OK(t).Out(), "box.example")
	got := run(t, "hostname").OK(t).Out()
	if len(got) != 12 || strings.Trim(got, "0123456789abcdef") != "" {
		t.Errorf("hostname %q, want the first 12 digits of the container's id", got)
	}
	other := start(t, env, "--hostname", "other", "--", "sleep", "1000")
	equal(t, "in another's namespace", run(t, "--uts", "container:"+other, "--", "hostname").OK(t).Out(), "other")
	equal(t, "the other's", env.Proa("exec", other, "hostname").OK(t).Out(), "other")
	if !strings.Contains(run(t, "--hostname", "box", "--", "cat", "/etc/hosts").OK(t).Stdout, "box") {
		t.Error("/etc/hosts does not name the container")
	}
}

func TestRunBindMounts(t *testing.T) {
	dir := env.TempDir(t)
	env.WriteFile(t, filepath.Join(dir, "f"), "host\n", 0o644)
	equal(t, "-v", run(t, "-v", dir+":/srv", "--", "cat", "/srv/f").OK(t).Out(), "host")
	equal(t, "-v new target", run(t, "-v", dir+":/not/there/yet", "--", "cat", "/not/there/yet/f").OK(t).Out(), "host")
	equal(t, "-v file", run(t, "-v", dir+"/f:/etc/one", "--", "cat", "/etc/one").OK(t).Out(), "host")
	equal(t, "--mount", run(t, "--mount", "type=bind,source="+dir+",target=/srv,readonly", "--", "cat", "/srv/f").OK(t).Out(), "host")
	run(t, "-v", dir+":/srv", "--", "sh", "-c", "echo made > /srv/g").OK(t)
	if b, err := os.ReadFile(filepath.Join(dir, "g")); err != nil || string(b) != "made\n" {
		t.Errorf("written through a mount: %q, %v", b, err)
	}
	equal(t, "owner of what root writes", strconv.Itoa(owner(t, filepath.Join(dir, "g"))), strconv.Itoa(env.UID))
	for _, ro := range [][]string{{"-v", dir + ":/srv:ro"}, {"--mount", "type=bind,src=" + dir + ",dst=/srv,ro"}} {
		r := run(t, append(ro, "--", "touch", "/srv/h")...).Want(t, 1)
		if !strings.Contains(r.Stderr, "Read-only") {
			t.Errorf("%v: %s", ro, r.Stderr)
		}
	}
	// A read-only bind stays read-only for root inside: remount needs what the container has not.
	run(t, "-v", dir+":/srv:ro", "--", "sh", "-c", "mount -o remount,rw,bind /srv; touch /srv/h").Want(t, 1)
}

func TestRunTmpfs(t *testing.T) {
	got := run(t, "--tmpfs", "/scratch:size=1m,mode=1770", "--", "sh", "-c", "stat -c %a /scratch; grep ' /scratch ' /proc/self/mountinfo; touch /scratch/x").OK(t).Stdout
	if !strings.HasPrefix(got, "1770\n") || !strings.Contains(got, "tmpfs") || !strings.Contains(got, "size=1024k") {
		t.Errorf("--tmpfs: %s", got)
	}
	run(t, "--tmpfs", "/scratch:size=1m", "--", "dd", "if=/dev/zero", "of=/scratch/f", "bs=1M", "count=2").Want(t, 1)
	for _, opt := range []string{"nosuid", "nodev", "noexec"} {
		if !strings.Contains(run(t, "--tmpfs", "/scratch", "--", "grep", " /scratch ", "/proc/self/mountinfo").OK(t).Stdout, opt) {
			t.Errorf("--tmpfs without options is not %s", opt)
		}
	}
}

func TestRunReadOnly(t *testing.T) {
	run(t, "--read-only", "--", "touch", "/f").Want(t, 1)
	run(t, "--read-only", "--", "touch", "/dev/shm/f").OK(t)
	run(t, "--read-only", "--tmpfs", "/scratch", "--", "touch", "/scratch/f").OK(t)
	run(t, "touch", "/f").OK(t)
}

func TestRunInit(t *testing.T) {
	got := run(t, "--init", "--", "sh", "-c", "echo $$; (sleep 0.1 &) ; sleep 0.5; ps -o stat,comm | grep -c '^Z' ").Run(t)
	lines := strings.Fields(got.Stdout)
	if len(lines) != 2 || lines[0] == "1" || lines[1] != "0" {
		t.Errorf("--init: pid and zombies are %q, want not 1 and 0", got.Stdout)
	}
	equal(t, "without --init", run(t, "sh", "-c", "echo $$").OK(t).Out(), "1")
}

func TestRunEntrypoint(t *testing.T) {
	equal(t, "--entrypoint", run(t, "--entrypoint", "/bin/echo", "--", "a", "b").OK(t).Out(), "a b")
	img := baseImage(t)
	img.Config.Entrypoint, img.Config.Cmd = []string{"/bin/echo", "entry"}, []string{"cmd"}
	img.Config.Env = append(img.Config.Env, "FROM_IMAGE=1")
	img.Config.WorkingDir, img.Config.User = "/srv", "alice"
	e := withImage(t, env)
	const ref = "localhost/proa-test/entry:1"
	e.Proa("load", "-i", archive(t, e, "entry.tar", img.DockerArchive(ref))).OK(t)
	at := func(args ...string) string {
		return e.Proa(append([]string{"run", "--rm", "--network=none"}, args...)...).OK(t).Out()
	}
	equal(t, "image's", at(ref), "entry cmd")
	equal(t, "arguments replace cmd", at(ref, "x", "y"), "entry x y")
	equal(t, "--entrypoint drops cmd", at("--entrypoint", "/bin/pwd", ref), "/srv")
	equal(t, "--entrypoint empty", at("--entrypoint", "", ref, "id", "-un"), "alice")
	equal(t, "image's environment", at("--entrypoint", "sh", ref, "-c", "echo $FROM_IMAGE$HOME"), "1/home/alice")
}

func TestRunName(t *testing.T) {
	name := start(t, env, "sleep", "1000")
	r := refused(t, env.Proa("run", "--network=none", "--name", name, image, "true"), 125, name)
	if !strings.Contains(r.Stderr, "remove") {
		t.Errorf("the error does not say what to do: %s", r.Stderr)
	}
	refused(t, env.Proa("run", "--rm", "--network=none", "--name", "bad/name", image, "true"), 125, "bad/name")
}

func TestRunRmLeavesNothing(t *testing.T) {
	e := withImage(t, env.Fresh(t))
	e.Proa("run", "--rm", "--network=none", image, "true").OK(t) // makes the pause process and the databases
	files, procs := storeFiles(t, e), ownedProcesses(e)
	for range 3 {
		e.Proa("run", "--rm", "--network=none", image, "sh", "-c", "echo x > /f").OK(t)
		e.Proa("run", "--rm", "--network=none", image, "no-such-command").Want(t, 127)
	}
	equal(t, "ps -aq", e.Proa("ps", "-aq").OK(t).Out(), "")
	harness.Eventually(t, "the run's processes end", func() bool { return ownedProcesses(e) == procs })
	sameFiles(t, e, files)
	equal(t, "mounts", strings.Join(e.Mounts(t), " "), "")
}

func TestRunResetsSignals(t *testing.T) {
	// nohup and a shell's background jobs ignore signals; a container must be able to receive them all the same.
	c := run(t, "cat", "/proc/self/status")
	c.Args = append([]string{"env", "--ignore-signal=INT,HUP,TERM,USR1,PIPE", "--block-signal=USR2"}, c.Args...)
	s := c.OK(t).Stdout
	equal(t, "ignored", field(s, "SigIgn"), "0000000000000000")
	equal(t, "blocked", field(s, "SigBlk"), "0000000000000000")
}

// sameFiles wants the store to hold what storeFiles listed before, and names what came or went.
func sameFiles(t testing.TB, e *harness.Env, before string) {
	t.Helper()
	old, now := strings.Split(before, "\n"), strings.Split(storeFiles(t, e), "\n")
	for _, f := range now {
		if !slices.Contains(old, f) {
			t.Errorf("left behind: %s", f)
		}
	}
	for _, f := range old {
		if !slices.Contains(now, f) {
			t.Errorf("gone: %s", f)
		}
	}
}

func owner(t testing.TB, path string) int {
	t.Helper()
	st, err := os.Lstat(path)
	if err != nil {
		t.Fatal(err)
	}
	return int(st.Sys().(*syscall.Stat_t).Uid)
}

// storeFiles lists the layers and containers' directories in the user's store and the run directories.
func storeFiles(t testing.TB, e *harness.Env) string {
	t.Helper()
	var out []string
	// Not overlay/l: after a kill in the middle of a layer the library may drop its short links; it makes a missing one
	// anew when the layer is used.
	for _, pat := range []string{".local/share/containers/storage/overlay/*/diff",
		".local/share/containers/storage/overlay-containers/*/", ".local/share/proa/*/*"} {
		m, err := filepath.Glob(filepath.Join(e.Home, pat))
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, m...)
	}
	run, _ := filepath.Glob(filepath.Join(e.Runtime, "proa", "*", "*"))
	// The databases and lock files come with the first use and stay.
	out = slices.DeleteFunc(append(out, run...), func(f string) bool {
		// The store's library leaves its temporary file of a few bytes when it is killed in the middle of a write.
		return slices.Contains([]string{".json", ".lock", ".db"}, filepath.Ext(f)) || strings.HasPrefix(filepath.Base(f), ".tmp-")
	})
	return strings.Join(out, "\n")
}

func ownedProcesses(e *harness.Env) int {
	n := 0
	for _, p := range e.Processes() {
		if e.Owns(p) {
			n++
		}
	}
	return n
}

func TestRunDetached(t *testing.T) {
	name := containerName(t)
	withImage(t, env)
	id := env.Proa("run", "-d", "--network=none", "--name", name, image, "sleep", "1000").OK(t).Out()
	removeLater(t, env, name)
	if len(id) != 64 || strings.Trim(id, "0123456789abcdef") != "" {
		t.Errorf("run -d prints %q, want the container's id of 64 digits", id)
	}
	equal(t, "state", env.Proa("inspect", "--format", "{{.State.Status}}", id[:12]).OK(t).Out(), "running")
}

func TestRunCidfile(t *testing.T) {
	file := filepath.Join(env.TempDir(t), "cid")
	name := containerName(t)
	withImage(t, env).Proa("run", "--network=none", "--name", name, "--cidfile", file, image, "true").OK(t)
	removeLater(t, env, name)
	b, err := os.ReadFile(file)
	if err != nil || len(strings.TrimSpace(string(b))) != 64 {
		t.Errorf("--cidfile holds %q, %v", b, err)
	}
	refused(t, run(t, "--cidfile", file, "--", "true"), 125, file)
}

func TestRunPIDHost(t *testing.T) {
	if got := run(t, "sh", "-c", "cd /proc; echo [0-9]*").OK(t).Out(); got != "1" {
		t.Errorf("a container sees the processes %s, want only 1", got)
	}
	host, err := os.Readlink("/proc/self/ns/pid")
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "--pid host", run(t, "--pid", "host", "--", "readlink", "/proc/self/ns/pid").OK(t).Out(), host)
}

func TestRunNetwork(t *testing.T) {
	got := run(t, "sh", "-c", "ls /sys/class/net; ip addr show lo").OK(t).Stdout
	if !strings.HasPrefix(got, "lo\n") || !strings.Contains(got, "127.0.0.1") {
		t.Errorf("--network none: %s", got)
	}
	host, _ := os.Readlink("/proc/self/ns/net")
	e := withImage(t, env)
	equal(t, "--network host", e.Proa("run", "--rm", "--network", "host", image, "readlink", "/proc/self/ns/net").OK(t).Out(), host)
	refused(t, e.Proa("run", "--rm", "--network", "nonsense", image, "true"), 125, "nonsense")
	refused(t, e.Proa("run", "--rm", "--network", "none", "-p", "8080:80", image, "true"), 125, "publish")
}

func TestRunRootfs(t *testing.T) {
	dir := filepath.Join(env.TempDir(t), "rootfs")
	if err := env.MkdirUser(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	tar := env.WriteFile(t, filepath.Join(env.TempDir(t), "l.tar"), string(baseImage(t).Layers[0]), 0o644)
	env.Command("tar", "-C", dir, "--no-same-owner", "-xf", tar).OK(t)
	equal(t, "--rootfs", env.Proa("run", "--rm", "--network=none", "--rootfs", dir, "cat", "/etc/notexec").OK(t).Out(), "data")
	env.Proa("run", "--rm", "--network=none", "--rootfs", dir+":O", "touch", "/overlaid").OK(t)
	if _, err := os.Stat(filepath.Join(dir, "overlaid")); err == nil {
		t.Error("--rootfs DIR:O wrote into DIR")
	}
	env.Proa("run", "--rm", "--network=none", "--rootfs", dir, "touch", "/written").OK(t)
	if _, err := os.Stat(filepath.Join(dir, "written")); err != nil {
		t.Error("--rootfs DIR did not write into DIR")
	}
	refused(t, env.Proa("run", "--rm", "--network=none", "--rootfs", "/no/such/dir", "true"), 125, "/no/such/dir")
}

func TestRunSharedMemory(t *testing.T) {
	got := run(t, "df", "-k", "/dev/shm").OK(t).Stdout
	if !strings.Contains(got, "65536") {
		t.Errorf("/dev/shm is not of 64 MB: %s", got)
	}
}

func TestRunTwentyAtOnce(t *testing.T) {
	withImage(t, env)
	type end struct {
		n int
		r harness.Result
	}
	done := make(chan end)
	for n := range 20 {
		c := run(t, "echo", strconv.Itoa(n))
		go func() {
			e := end{n: n}
			defer func() { done <- e }() // also when Run ends the goroutine
			e.r = c.Run(t)
		}()
	}
	for range 20 {
		if e := <-done; e.r.Code != 0 || e.r.Out() != strconv.Itoa(e.n) {
			t.Errorf("container %d: %+v", e.n, e.r)
		}
	}
}
