package tests

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/proa-containers/proa/tests/harness"
)

// onlyProcfs wants the command either refused or run with a true procfs at /proc.
func onlyProcfs(t *testing.T, what string, c *harness.Cmd) {
	t.Helper()
	if r := c.Run(t); r.Code == 0 && !strings.Contains(r.Stdout, "proc /proc proc ") {
		t.Errorf("%s: the container ran without procfs at /proc: %s", what, r.Stdout)
	}
}

// TestCVE2019_16884 replaces /proc by what the image or a volume holds, to keep labels from being written.
func TestCVE2019_16884(t *testing.T) {
	volume := env.TempDir(t)
	if err := env.MkdirUser(filepath.Join(volume, "self/attr"), 0o755); err != nil {
		t.Fatal(err)
	}
	refused(t, run(t, "-v", volume+":/proc", "--", "cat", "/proc/self/mounts"), 125, "/proc")
	refused(t, run(t, "--tmpfs", "/proc", "--", "true"), 125, "/proc")
	for _, sub := range []string{"/proc/self/attr", "/proc/sys", "/proc/1", "/proc/self", "/proc/kcore"} {
		r := run(t, "-v", volume+":"+sub, "--", "true").Run(t)
		if r.Code == 0 {
			t.Errorf("a volume covers %s", sub)
		}
	}
	run(t, "-v", volume+":/srv", "--", "test", "-d", "/srv/self/attr").OK(t) // the same volume is fine elsewhere
}

// TestCVE2019_19921 has the image's /proc be a link, which a volume exchanges for another directory.
func TestCVE2019_19921(t *testing.T) {
	root := rootfs(t, func(root string) {
		symlink(t, "/evil/level1/proc", root, "proc")
		if err := os.MkdirAll(filepath.Join(root, "evil/level1/proc/self/attr"), 0o755); err != nil {
			t.Fatal(err)
		}
	})
	r := inRootfs(root, "-v", env.TempDir(t)+":/evil/level1", "--", "/bin/cat", "/evil/level1/proc/self/mounts").Run(t)
	if r.Code == 0 {
		t.Errorf("procfs was mounted through a link: %s", r.Stdout)
	}
	ref := layered(t, "proclink", link("proc", "/etc"))
	equal(t, "the image's /proc", members(t, harness.Layer(link("proc", "/etc")))["proc"], "/etc")
	onlyProcfs(t, "/proc -> /etc in an image", env.Proa("run", "--rm", "--network=none", ref, "cat", "/proc/self/mounts"))
}

// TestCVE2021_30465 exchanges a mount's target with a link to the host while containers start.
func TestCVE2021_30465(t *testing.T) {
	outside, volume := env.TempDir(t), env.TempDir(t)
	env.WriteFile(t, filepath.Join(volume, "marker"), "x", 0o644)
	root := rootfs(t, func(root string) {
		symlink(t, outside, root, "srv/link")
		if err := os.MkdirAll(filepath.Join(root, "srv/dir"), 0o777); err != nil {
			t.Fatal(err)
		}
	})
	ctx, stop := context.WithCancel(context.Background())
	swaps := make(chan int)
	go func() {
		n := 0
		for ctx.Err() == nil {
			if unix.Renameat2(unix.AT_FDCWD, filepath.Join(root, "srv/dir"), unix.AT_FDCWD, filepath.Join(root, "srv/link"), unix.RENAME_EXCHANGE) == nil {
				n++
			}
		}
		swaps <- n
	}()
	ran := 0
	for range 25 {
		r := inRootfs(root, "-v", volume+":/srv/dir/new", "--", "cat", "/proc/self/mountinfo").Run(t)
		if r.Code == 0 {
			ran++
			if !strings.Contains(r.Stdout, "/new ") {
				t.Errorf("the volume is not in the container: %s", r.Stdout)
			}
		}
	}
	stop()
	if n := <-swaps; n < 1000 {
		t.Errorf("the race made only %d exchanges", n)
	}
	if ran == 0 {
		t.Error("no container ran: the race had nothing to win")
	}
	empty(t, "the race", outside)
	for _, m := range env.Mounts(t) {
		t.Errorf("mounted on the host: %s", m)
	}
}

// TestCVE2023_27561 has /proc or /sys of the root filesystem be links (also CVE-2023-28642).
func TestCVE2023_27561(t *testing.T) {
	for _, dir := range []string{"proc", "sys"} {
		for _, to := range []string{"/srv", "srv", "../../../../../../etc", "/" + dir + "2", "/dev"} {
			root := rootfs(t, func(root string) {
				symlink(t, to, root, dir)
				if err := os.MkdirAll(filepath.Join(root, "srv/sys/kernel"), 0o755); err != nil {
					t.Fatal(err)
				}
			})
			if l, err := os.Readlink(filepath.Join(root, dir)); err != nil || l != to {
				t.Fatal(l, err)
			}
			r := inRootfs(root, "/bin/true").Run(t)
			if r.Code == 0 || !strings.Contains(r.Stderr, "/"+dir) {
				t.Errorf("/%s -> %s: exit code %d: %s", dir, to, r.Code, r.Stderr)
			}
		}
	}
}

// TestCVE2024_45310 has the target of a mount lie behind a link, so that creating it would make files on the host.
func TestCVE2024_45310(t *testing.T) {
	outside := env.TempDir(t)
	file := env.WriteFile(t, filepath.Join(env.TempDir(t), "file"), "x", 0o644)
	for _, to := range []string{outside, "../../../../../../../../../.." + outside} {
		root := rootfs(t, func(root string) { symlink(t, to, root, "srv") })
		inRootfs(root, "-v", env.TempDir(t)+":/srv/dir", "--", "test", "-d", "/srv/dir").OK(t)
		inRootfs(root, "-v", file+":/srv/file", "--", "test", "-f", "/srv/file").OK(t)
		inRootfs(root, "--tmpfs", "/srv/tmp/deep", "--", "test", "-d", "/srv/tmp/deep").OK(t)
		inRootfs(root, "-w", "/srv/cwd", "--", "pwd").Run(t)
		if _, err := os.Stat(filepath.Join(root, outside, "dir")); err != nil {
			t.Errorf("srv -> %s: the target is not inside the root either: %v", to, err)
		}
	}
	empty(t, "mount targets", outside)
}

// TestCVE2025_31133 replaces /dev/null, which the runtime masks files with, by a link to something writable.
func TestCVE2025_31133(t *testing.T) {
	for _, to := range []string{"/proc/sys/kernel/core_pattern", "/proc/sysrq-trigger", "/etc/passwd", "nowhere"} {
		// Which masked paths of procfs exist depends on the kernel; a file of our own is masked the same way.
		const mask = "--security-opt=mask=/etc/group"
		root := rootfs(t, func(root string) { symlink(t, to, root, "dev/null") })
		ref := layered(t, "devnull", harness.Entry{Name: "dev/"}, link("dev/null", to))
		script := "stat -c %t,%T /dev/null /etc/group; grep -c core_pattern /proc/self/mountinfo; head -c 10 /etc/group | wc -c"
		for _, c := range []*harness.Cmd{inRootfs(root, mask, "--", "sh", "-c", script),
			env.Proa("run", "--rm", "--network=none", mask, ref, "sh", "-c", script)} {
			equal(t, "/dev/null -> "+to, c.OK(t).Out(), "1,3\n1,3\n0\n0")
		}
		// Without the tmpfs at /dev the link is really there when files are masked.
		volume := env.TempDir(t)
		symlink(t, to, volume, "null")
		r := run(t, mask, "-v", volume+":/dev", "--", "/bin/stat", "-c", "%t,%T", "/etc/group").Run(t)
		if r.Code == 0 && r.Out() != "1,3" {
			t.Errorf("a volume at /dev with null -> %s: /etc/group is %s", to, r.Out())
		}
		if l, err := os.Readlink(filepath.Join(volume, "null")); err != nil || l != to {
			t.Errorf("the link changed to %q: %v", l, err)
		}
	}
}

// TestCVE2025_52565 replaces /dev/console, where the terminal is bound before paths are masked, by a link.
func TestCVE2025_52565(t *testing.T) {
	for _, to := range []string{"/proc/sys/kernel/core_pattern", "/proc/sysrq-trigger", "/etc/passwd"} {
		root := rootfs(t, func(root string) {
			symlink(t, to, root, "dev/console")
			symlink(t, to, root, "dev/pts/0")
		})
		r := inRootfs(root, "-t", "--", "sh", "-c", "tty; stat -c %F /dev/console; grep -c -e core_pattern -e '/etc/passwd ' /proc/self/mountinfo").Run(t)
		if r.Code != 1 || strings.ReplaceAll(r.Stdout, "\r", "") != "/dev/pts/0\ncharacter special file\n0\n" {
			t.Errorf("/dev/console -> %s: exit code %d: %s%s", to, r.Code, r.Stdout, r.Stderr)
		}
		volume := env.TempDir(t)
		symlink(t, to, volume, "console")
		refused(t, run(t, "-t", "-v", volume+":/dev", "--", "true"), 125, "/dev/console")
	}
}

// TestCVE2025_52881 redirects what the runtime writes to procfs into other files.
func TestCVE2025_52881(t *testing.T) {
	for _, at := range []string{"/proc/self", "/proc/thread-self", "/proc/self/attr/exec", "/proc/sys/kernel", "/proc/sys/net"} {
		if r := run(t, "--tmpfs", at, "--", "true").Run(t); r.Code == 0 {
			t.Errorf("a tmpfs covers %s", at)
		}
	}
	root := rootfs(t, func(root string) {
		for _, l := range []string{"self/attr/exec", "sys/net/ipv4/ip_forward", "sys/kernel/msgmax"} {
			symlink(t, "/decoy", root, "proc", l)
		}
		env.WriteFile(t, filepath.Join(root, "decoy"), "untouched", 0o666)
	})
	out := inRootfs(root, "--sysctl", "kernel.msgmax=12345", "--", "cat", "/proc/sys/kernel/msgmax", "/decoy").OK(t).Stdout
	equal(t, "a sysctl over a prepared /proc", out, "12345\nuntouched")
	volume := env.TempDir(t)
	symlink(t, "/proc/sysrq-trigger", volume, "msgmax")
	if r := run(t, "--sysctl", "kernel.msgmax=12345", "-v", volume+":/proc/sys/kernel", "--", "true").Run(t); r.Code == 0 {
		t.Error("a volume covers /proc/sys/kernel while a sysctl is written")
	}
}
