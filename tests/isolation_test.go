package tests

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// The 14 capabilities Docker grants by default: chown, dac_override, fowner, fsetid, kill, setgid, setuid, setpcap,
// net_bind_service, net_raw, sys_chroot, mknod, audit_write, setfcap.
const dockerCaps = "00000000a80425fb"

func status(t testing.TB, flags ...string) string {
	t.Helper()
	return run(t, append(flags, "--", "cat", "/proc/self/status")...).OK(t).Stdout
}

func TestRunCapabilities(t *testing.T) {
	s := status(t)
	equal(t, "effective", field(s, "CapEff"), dockerCaps)
	equal(t, "permitted", field(s, "CapPrm"), dockerCaps)
	equal(t, "bounding", field(s, "CapBnd"), dockerCaps)
	equal(t, "inheritable", field(s, "CapInh"), "0000000000000000") // CVE-2022-29162
	equal(t, "ambient", field(s, "CapAmb"), "0000000000000000")

	equal(t, "drop all", field(status(t, "--cap-drop", "ALL"), "CapBnd"), "0000000000000000")
	equal(t, "drop all, add one", field(status(t, "--cap-drop", "all", "--cap-add", "net_bind_service"), "CapEff"), "0000000000000400")
	equal(t, "prefix", field(status(t, "--cap-drop", "all", "--cap-add", "CAP_CHOWN"), "CapEff"), "0000000000000001")
	equal(t, "drop one", field(status(t, "--cap-drop", "MKNOD"), "CapBnd"), "00000000a00425fb")

	s = status(t, "-u", "alice")
	equal(t, "a user's effective", field(s, "CapEff"), "0000000000000000")
	equal(t, "a user's bounding", field(s, "CapBnd"), dockerCaps)
	refused(t, run(t, "--cap-add", "FLYING", "--", "true"), 125, "FLYING")
	refused(t, run(t, "--cap-drop", "FLYING", "--", "true"), 125, "FLYING")
}

func TestRunSeccomp(t *testing.T) {
	equal(t, "default", field(status(t), "Seccomp"), "2")
	equal(t, "unconfined", field(status(t, "--security-opt", "seccomp=unconfined"), "Seccomp"), "0")
	profile := env.WriteFile(t, filepath.Join(env.TempDir(t), "p.json"),
		`{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"names":["mkdir","mkdirat"],"action":"SCMP_ACT_ERRNO","errnoRet":1}]}`, 0o644)
	r := run(t, "--security-opt", "seccomp="+profile, "--", "mkdir", "/d").Want(t, 1)
	if !strings.Contains(r.Stderr, "not permitted") {
		t.Errorf("a profile that forbids mkdir: %s", r.Stderr)
	}
	refused(t, run(t, "--security-opt", "seccomp=/no/such.json", "--", "true"), 125, "/no/such.json")
	bad := env.WriteFile(t, filepath.Join(env.TempDir(t), "bad.json"), "{", 0o644)
	refused(t, run(t, "--security-opt", "seccomp="+bad, "--", "true"), 125, bad)
}

func TestRunNoNewPrivileges(t *testing.T) {
	equal(t, "default", field(status(t), "NoNewPrivs"), "0")
	for _, v := range []string{"no-new-privileges", "no-new-privileges=true", "no-new-privileges:true"} {
		equal(t, v, field(status(t, "--security-opt", v), "NoNewPrivs"), "1")
	}
	refused(t, run(t, "--security-opt", "nonsense=1", "--", "true"), 125, "nonsense")
}

func TestRunMasksProc(t *testing.T) {
	for _, dir := range []string{"/proc/acpi", "/proc/scsi", "/sys/firmware"} {
		if _, err := os.Stat(dir); err == nil {
			equal(t, dir, run(t, "ls", dir).OK(t).Out(), "")
		}
	}
	for _, f := range []string{"/proc/kcore", "/proc/keys", "/proc/timer_list", "/proc/sched_debug"} {
		if _, err := os.Stat(f); err == nil {
			equal(t, f, run(t, "sh", "-c", "head -c 100 "+f+" | wc -c").OK(t).Out(), "0")
		}
	}
	for _, f := range []string{"/proc/sys/kernel/hostname", "/proc/sysrq-trigger", "/proc/bus/x", "/proc/fs/x", "/proc/irq/x", "/sys/x"} {
		run(t, "sh", "-c", "echo x > "+f).Want(t, 1)
	}
	// A name of an environment's own beats any list: what is read-only must be a mount of its own.
	got := run(t, "cat", "/proc/self/mountinfo").OK(t).Stdout
	for _, m := range []string{" /proc/sys ro", " /proc/bus ro", " /proc/fs ro", " /proc/irq ro", " /proc/sysrq-trigger ro"} {
		if _, err := os.Stat(strings.Fields(m)[0]); err != nil {
			continue // this kernel was built without it
		}
		if !strings.Contains(got, m+",") && !strings.Contains(got, m+" ") {
			t.Errorf("no mount%s in: %s", m, got)
		}
	}
}

func TestRunMountSet(t *testing.T) {
	got := run(t, "cat", "/proc/self/mounts").OK(t).Stdout
	for _, want := range []string{"proc /proc proc ", "tmpfs /dev tmpfs ", "devpts /dev/pts devpts ", "sysfs /sys sysfs ro", "mqueue /dev/mqueue mqueue "} {
		if !strings.Contains("\n"+got, "\n"+want) {
			t.Errorf("no mount %q in: %s", want, got)
		}
	}
	for _, want := range []string{" /dev/shm tmpfs ", " /etc/hosts ", " /etc/resolv.conf ", " /etc/hostname "} {
		if !strings.Contains(got, want) {
			t.Errorf("no mount %q in: %s", want, got)
		}
	}
	got = run(t, "sh", "-c", "for f in null zero full random urandom tty; do test -c /dev/$f || echo $f; done; for f in fd stdin stdout stderr ptmx; do test -L /dev/$f || echo $f; done").OK(t).Out()
	equal(t, "missing in /dev", got, "")
	run(t, "sh", "-c", "echo x > /dev/null; head -c 4 /dev/zero | wc -c; test $(head -c 8 /dev/urandom | wc -c) = 8").OK(t)
}

func TestRunNamespacesAreItsOwn(t *testing.T) {
	for _, ns := range []string{"pid", "mnt", "uts", "ipc", "net", "user", "cgroup"} {
		host, err := os.Readlink("/proc/self/ns/" + ns)
		if err != nil {
			continue // a kernel without it
		}
		if got := run(t, "readlink", "/proc/self/ns/"+ns).OK(t).Out(); got == host {
			t.Errorf("the %s namespace is the host's", ns)
		}
	}
}

func TestRunLeaksNoDescriptor(t *testing.T) {
	// ls itself opens 3, the directory it reads. CVE-2024-21626 was a fourth.
	equal(t, "descriptors", run(t, "ls", "/proc/self/fd").OK(t).Out(), "0\n1\n2\n3")
	name := start(t, env, "sleep", "1000")
	equal(t, "exec's descriptors", env.Proa("exec", name, "ls", "/proc/self/fd").OK(t).Out(), "0\n1\n2\n3")
	equal(t, "pid 1's descriptors", env.Proa("exec", name, "ls", "/proc/1/fd").OK(t).Out(), "0\n1\n2")
}

func TestRunHostFilesAreOutOfReach(t *testing.T) {
	secret := env.WriteFile(t, filepath.Join(env.TempDir(t), "secret"), "secret\n", 0o600)
	run(t, "cat", secret).Want(t, 1)
	run(t, "cat", "/proc/1/root"+secret).Want(t, 1)
	equal(t, "..", run(t, "ls", "/../../bin/busybox").OK(t).Out(), "/../../bin/busybox")
	run(t, "mount", "-t", "tmpfs", "none", "/tmp").Want(t, 1)
	run(t, "mknod", "/tmp/sda", "b", "8", "0").Want(t, 1)
}

func TestRunPrivileged(t *testing.T) {
	s := status(t, "--privileged")
	equal(t, "seccomp", field(s, "Seccomp"), "0")
	if field(s, "CapEff") == dockerCaps {
		t.Error("--privileged has only the default capabilities")
	}
	run(t, "--privileged", "--", "mount", "-t", "tmpfs", "none", "/tmp").OK(t)
	equal(t, "kcore", run(t, "--privileged", "--", "grep", "-c", " /proc/kcore ", "/proc/self/mountinfo").Want(t, 1).Out(), "0")
}

func TestRunSymlinkedTargets(t *testing.T) {
	// Images whose mount targets are links out of the root: the mounts must land inside or be refused (CVE-2019-16884,
	// 2023-27561, 2023-28642).
	dir := env.TempDir(t)
	for target, link := range map[string]string{"proc": "/etc", "sys": "/etc", "dev": "../../../../../etc", "srv": dir} {
		root := filepath.Join(env.TempDir(t), "rootfs")
		tar := env.WriteFile(t, filepath.Join(env.TempDir(t), "l.tar"), string(baseImage(t).Layers[0]), 0o644)
		if err := env.MkdirUser(root, 0o755); err != nil {
			t.Fatal(err)
		}
		env.Command("tar", "-C", root, "--no-same-owner", "-xf", tar).OK(t)
		_ = os.RemoveAll(filepath.Join(root, target))
		if err := os.Symlink(link, filepath.Join(root, target)); err != nil {
			t.Fatal(err)
		}
		args := []string{"run", "--rm", "--network=none", "--rootfs", root}
		if target == "srv" {
			args = append(args, "-v", env.TempDir(t)+":/srv/x")
		}
		r := env.Proa(append(args, "sh", "-c", "cat /proc/self/status | head -1; touch /srv/x/f")...).Run(t)
		if target != "srv" && r.Code == 0 && strings.Contains(r.Stdout, "Name:") {
			t.Errorf("/%s -> %s: the container ran with a /proc, /sys or /dev that is not one: %s", target, link, r.Stdout)
		}
		if left, _ := filepath.Glob(dir + "/*"); len(left) > 0 {
			t.Errorf("/%s -> %s: made %v outside the root", target, link, left)
		}
	}
}
