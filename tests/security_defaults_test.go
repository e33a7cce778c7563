package tests

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

func TestDefaultsDenySyscalls(t *testing.T) {
	root := rootfs(t, nil)
	out := inRootfs(root, "/attack", "syscalls").OK(t).Stdout
	for _, l := range strings.Split(strings.TrimSpace(out), "\n") {
		if name, got, _ := strings.Cut(l, " "); got != "EPERM" && got != "ENOSYS" {
			t.Errorf("%s: %s", name, got)
		}
	}
	if n := strings.Count(out, "\n"); n < 15 {
		t.Fatalf("only %d system calls were tried: %s", n, out)
	}
	// Without the filter some of them reach the kernel, which finds fault with the arguments: it is the filter that denies.
	got := inRootfs(root, "--security-opt", "seccomp=unconfined", "--", "/attack", "syscalls").OK(t).Stdout
	if !strings.Contains(got, " EFAULT") && !strings.Contains(got, " EINVAL") && !strings.Contains(got, " succeeded") {
		t.Errorf("without a filter the same calls are denied: the filter was not tested: %s", got)
	}
}

// TestDefaultsLeaveTheKeyring wants the caller's keys out of reach: keyctl(2) is allowed by the common profile.
func TestDefaultsLeaveTheKeyring(t *testing.T) {
	root := rootfs(t, nil)
	attack, proa := filepath.Join(root, "attack"), filepath.Join(env.Prefix, "bin/proa")
	out := env.Command(attack, "with-key", attack, "key").OK(t).Stdout
	equal(t, "the caller reads the key", word(out, "read"), "s3cr3t")
	name := containerName(t)
	env.Command(attack, "with-key", proa, "run", "-d", "--network=none", "--name", name, "--rootfs", root, "sleep", "1000").OK(t)
	removeLater(t, env, name)
	for _, args := range [][]string{{"run", "--rm", "--network=none", "--rootfs", root}, {"exec", name}, {"run", "--rm", "--network=none", "--init", "--rootfs", root}} {
		out := env.Command(append(append([]string{attack, "with-key", proa}, args...), "/attack", "key")...).OK(t).Stdout
		if got := word(out, "key"); got == "succeeded" || got == "" {
			t.Errorf("%s in a container reads the caller's key: %s", args[0], out)
		}
	}
}

func TestDefaultsOfDevices(t *testing.T) {
	got := strings.Fields(run(t, "find", "/dev", "!", "-type", "l", "-type", "c", "-o", "-type", "b").OK(t).Stdout)
	slices.Sort(got)
	want := []string{"/dev/full", "/dev/null", "/dev/pts/ptmx", "/dev/random", "/dev/tty", "/dev/urandom", "/dev/zero"}
	if !slices.Equal(got, want) {
		t.Errorf("device nodes %v, want %v", got, want)
	}
	// A node the image has, or the container makes, opens nothing.
	run(t, "sh", "-c", "mknod /tmp/null c 1 3 && echo x > /tmp/null").Want(t, 1)
}

func TestDefaultsOfProcSys(t *testing.T) {
	for _, f := range []string{"kernel/core_pattern", "kernel/hostname", "vm/overcommit_memory", "net/ipv4/ip_forward", "kernel/msgmax"} {
		run(t, "sh", "-c", "echo 1 > /proc/sys/"+f).Want(t, 1)
	}
	run(t, "sh", "-c", "mount -o remount,rw /proc/sys").Want(t, 1)
	run(t, "--cap-add", "SYS_ADMIN", "--", "sh", "-c", "echo 1 > /proc/sys/kernel/core_pattern").Want(t, 1)
}

// TestDefaultsMountsOfTheHost lists what of the host's filesystems is mounted: the three files that proa makes per
// container, and device nodes.
func TestDefaultsMountsOfTheHost(t *testing.T) {
	own := []string{"/", "/etc/hosts", "/etc/hostname", "/etc/resolv.conf"}
	virtual := []string{"proc", "sysfs", "tmpfs", "devpts", "mqueue", "cgroup", "cgroup2", "devtmpfs"}
	for _, l := range strings.Split(run(t, "cat", "/proc/self/mountinfo").OK(t).Out(), "\n") {
		f := strings.Fields(l)
		dash := slices.Index(f, "-")
		if dash < 0 || len(f) < dash+2 {
			t.Fatal(l)
		}
		target, fstype := f[4], f[dash+1]
		if slices.Contains(own, target) || slices.Contains(virtual, fstype) || strings.HasPrefix(target, "/dev/") ||
			strings.HasPrefix(f[5], "ro") {
			continue
		}
		t.Errorf("a writable mount of the host's: %s", l)
	}
}

// TestDefaultsHideTheMonitor wants none of proa's own processes visible, nor what their environment holds.
func TestDefaultsHideTheMonitor(t *testing.T) {
	name := containerName(t)
	c := withImage(t, env).Proa("run", "-d", "--network=none", "--name", name, image, "sleep", "1000")
	c.Env = []string{"SECRET_OF_THE_CALLER=s3cr3t"}
	c.OK(t)
	removeLater(t, env, name)
	out := env.Proa("exec", name, "sh", "-c", "cat /proc/[0-9]*/environ /proc/[0-9]*/cmdline | tr '\\0' '\\n'").OK(t).Stdout
	for _, bad := range []string{"s3cr3t", "XDG_RUNTIME_DIR", env.Runtime, "monitor"} {
		if strings.Contains(out, bad) {
			t.Errorf("a process of the container shows %q: %s", bad, out)
		}
	}
	if !strings.Contains(out, "PATH=") {
		t.Errorf("no environment was read: %s", out)
	}
}

// TestDefaultsKeepSecretsOutOfArgv passes a secret in the environment, by value and by a file: no command line that
// another user can read may hold it, but that of the command the user typed.
func TestDefaultsKeepSecretsOutOfArgv(t *testing.T) {
	const secret = "s3cr3t-in-a-file"
	file := env.WriteFile(t, filepath.Join(env.TempDir(t), "env"), "TOKEN="+secret+"\n", 0o600)
	name := start(t, env, "--env-file", file, "--", "sleep", "1000")
	equal(t, "the secret arrives", env.Proa("exec", name, "sh", "-c", "echo $TOKEN").OK(t).Out(), secret)
	procs := env.Processes()
	if len(procs) == 0 {
		t.Fatal("no process of the user's was seen")
	}
	for _, p := range procs {
		if strings.Contains(strings.Join(p.Args, " "), secret) {
			t.Errorf("the command line of %s holds the secret", p)
		}
	}
}

// TestDefaultsOfFileModes wants that no other user reads what proa keeps: each file, or a directory above it, is closed.
func TestDefaultsOfFileModes(t *testing.T) {
	e := env.Fresh(t)
	open := regexp.MustCompile(`(config|secret|auth|state|spec|container|\.json|\.sock|\.log)`)
	e.Proa("load", "-i", archive(t, e, "base.tar", baseImage(t).DockerArchive(image))).OK(t)
	name := containerName(t)
	e.Proa("run", "-d", "--network=none", "--name", name, image, "sh", "-c", "echo out; sleep 1000").OK(t)
	removeLater(t, e, name)
	seen := 0
	for _, top := range []string{e.Home, e.Runtime} {
		seen += closed(t, top, open)
	}
	if seen == 0 {
		t.Error("no file of proa's was seen")
	}
}

// closed walks what another user could reach below top, and returns how many files there are that match in all.
func closed(t *testing.T, top string, match *regexp.Regexp) int {
	t.Helper()
	seen := 0
	reachable := map[string]bool{filepath.Dir(top): true}
	err := filepath.WalkDir(top, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			if os.IsNotExist(err) || os.IsPermission(err) {
				return nil
			}
			return err
		}
		info, err := d.Info()
		if err != nil {
			return nil // gone meanwhile
		}
		mode := info.Mode()
		if path == top {
			mode |= 0o005 // a home that others may enter is common; proa's own directories must close
		}
		if d.IsDir() {
			reachable[path] = reachable[filepath.Dir(path)] && mode&0o001 != 0
			return nil
		}
		if match.MatchString(path) {
			seen++
		}
		if reachable[filepath.Dir(path)] && mode.IsRegular() && mode&0o004 != 0 && strings.Contains(path, "proa") {
			t.Errorf("another user may read %s (%v)", path, mode)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
	return seen
}
