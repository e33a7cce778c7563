package tests

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/proa-containers/proa/tests/harness"
)

type check struct{ Name, Status, Found, Needed, Remedy string }

// diagnose is what `doctor --json` says, and its exit status, which must fit it.
func diagnose(t *testing.T, c *harness.Cmd) map[string]check {
	t.Helper()
	c.Args = append(c.Args, "--json")
	r := c.Run(t)
	var list []check
	if err := json.Unmarshal([]byte(r.Stdout), &list); err != nil {
		t.Fatalf("%s: %v\n%s%s", c, err, r.Stdout, r.Stderr)
	}
	code, out := 0, map[string]check{}
	for _, c := range list {
		out[c.Name] = c
		if c.Status == "missing" {
			code = 1
		}
		if c.Found == "" || c.Needed == "" || (c.Remedy == "") != (c.Status == "ok") {
			t.Errorf("%+v does not say what was found, what for, or what to do", c)
		}
	}
	if r.Code != code {
		t.Errorf("%s: exit status %d, want %d\n%s", c, r.Code, code, r.Stdout)
	}
	return out
}

func TestDoctor(t *testing.T) {
	r := env.Proa("doctor").Run(t)
	for _, what := range []string{"kernel", "user namespace", "subuid", "newuidmap", "XDG_RUNTIME_DIR", "storage", "overlay", "cgroup", "systemd", "linger", "/dev/net/tun", "ping", "registries"} {
		if !strings.Contains(r.Stdout, what) {
			t.Errorf("doctor does not check %s: %s", what, r.Stdout)
		}
	}
	diagnose(t, env.Proa("doctor"))
	refused(t, env.Proa("doctor", "feet"), 125, "feet")
}

func TestDoctorLeavesNothingBehind(t *testing.T) {
	e := env.Fresh(t)
	e.Command("mkdir", "-p", e.Home+"/.local/share/proa", e.Home+"/.local/share/containers/storage").OK(t)
	tree := func() string { return e.Command("find", e.Home, e.Runtime).OK(t).Stdout }
	e.Proa("doctor").Run(t)
	before := tree()
	e.Proa("doctor").Run(t)
	if after := tree(); after != before {
		t.Errorf("doctor left something: %s, before: %s", after, before)
	}
	if strings.Contains(before, "doctor") {
		t.Errorf("doctor left something: %s", before)
	}
}

const noSubIDs = "mount -t tmpfs none /mnt && : > /mnt/e && mount --bind /mnt/e /etc/subuid && mount --bind /mnt/e /etc/subgid"

// brokenHost is a way in which a host lacks something.
type brokenHost struct {
	name   string
	script string   // makes it so, as root in a mount namespace of its own
	env    []string // or the user's environment does
	check  string
	status string
	found  string
	remedy string
	run    int // the exit status of `proa run` there, which then says the same
}

func brokenHosts(e *harness.Env) []brokenHost {
	uid := e.UID
	plain := "mount -t tmpfs none /mnt && cp /usr/bin/%[1]s /mnt/n && chmod 755 /mnt/n && mount --bind /mnt/n /usr/bin/%[1]s"
	return []brokenHost{
		{name: "no subids", script: noSubIDs, check: "subuid, subgid", status: "missing", found: "no subordinate ids", remedy: "sudo usermod --add-subuids 100000-165535 --add-subgids 100000-165535 " + e.Name},
		{name: "shared subids", script: `mount -t tmpfs none /mnt && sed 'p;s/^` + e.Name + `:/somebody-else:/' /etc/subuid > /mnt/e && mount --bind /mnt/e /etc/subuid`,
			check: "subuid, subgid", status: "warning", found: "of somebody-else", remedy: "sudo sed -i '/^" + e.Name + ":"},
		{name: "no newuidmap", script: "mount --bind /dev/null /usr/bin/newuidmap", check: "newuidmap, newgidmap", status: "missing", found: "newuidmap is not installed", remedy: " install ", run: 125},
		{name: "newuidmap without setuid", script: fmt.Sprintf(plain, "newuidmap"), check: "newuidmap, newgidmap", status: "missing",
			found: "/usr/bin/newuidmap has neither the setuid bit", remedy: "sudo chmod u+s /usr/bin/newuidmap", run: 125},
		{name: "newgidmap without setuid", script: fmt.Sprintf(plain, "newgidmap"), check: "newuidmap, newgidmap", status: "missing",
			found: "/usr/bin/newgidmap has neither the setuid bit", remedy: "sudo chmod u+s /usr/bin/newgidmap", run: 125},
		{name: "newuidmap of an ordinary user", script: fmt.Sprintf(plain, "newuidmap") + fmt.Sprintf(" && chown %d /mnt/n && chmod u+s /mnt/n", uid), check: "newuidmap, newgidmap",
			status: "missing", found: "/usr/bin/newuidmap has neither", remedy: "sudo chown root:root /usr/bin/newuidmap", run: 125},
		{name: "newuidmap on nosuid", script: "mount -t tmpfs -o nosuid none /mnt && cp -p /usr/bin/newuidmap /mnt/n && mount --bind /mnt/n /usr/bin/newuidmap", check: "newuidmap, newgidmap",
			status: "missing", found: "nosuid", remedy: "mount -o remount,suid", run: 125},
		{name: "a run directory that is not there", env: []string{"XDG_RUNTIME_DIR=/no/such/dir"}, check: "XDG_RUNTIME_DIR", status: "missing", found: "/no/such/dir", remedy: fmt.Sprintf("/run/user/%d", uid), run: 125},
		{name: "a run directory of root's", env: []string{"XDG_RUNTIME_DIR=/root"}, check: "XDG_RUNTIME_DIR", status: "missing", found: `XDG_RUNTIME_DIR is "/root", which belongs to user 0`, remedy: "export XDG_RUNTIME_DIR=", run: 125},
		{name: "a run directory for all", env: []string{"XDG_RUNTIME_DIR=" + e.Runtime}, script: "chmod 0777 " + e.Runtime, check: "XDG_RUNTIME_DIR", status: "missing", found: "can be written by others", remedy: "XDG_RUNTIME_DIR=", run: 125},
		{name: "no run directory at all", env: []string{"XDG_RUNTIME_DIR="}, script: "mount -t tmpfs -o mode=755 none /run/user", check: "XDG_RUNTIME_DIR", status: "warning", found: fmt.Sprintf("/tmp/proa-run-%d", uid), remedy: fmt.Sprintf("/run/user/%d", uid)},
		{name: "no home", env: []string{"HOME="}, check: "storage", status: "missing", found: "HOME is not set", remedy: "export HOME=", run: 125},
		{name: "a home that can't be written to", script: "mount -t tmpfs -o mode=555 none " + e.Home, check: "storage", status: "missing", found: "permission denied", remedy: fmt.Sprintf("sudo chown %d %s", uid, e.Home), run: 125},
		{name: "a full disk", script: fmt.Sprintf("mount -t tmpfs -o size=20m,uid=%d none %s", uid, e.Home), check: "storage", status: "warning", found: "tmpfs, 0.0 GiB free", remedy: "proa rmi"},
		{name: "no /dev/net/tun", script: "mkdir -p /dev/net && mount -t tmpfs none /dev/net", check: "/dev/net/tun", status: "warning", found: "no such file", remedy: "tun"},
	}
}

func TestDoctorOnBrokenHosts(t *testing.T) {
	harness.Requires(t, "root", "unshare")
	for _, tt := range brokenHosts(env) {
		t.Run(tt.name, func(t *testing.T) {
			e := env.Fresh(t)
			for _, b := range brokenHosts(e) { // the same with this home
				if b.name == tt.name {
					tt = b
				}
			}
			in := func(args ...string) *harness.Cmd {
				c := e.CommandIn("true", args...)
				if tt.script != "" {
					c = e.CommandIn(tt.script, args...)
				}
				c.Env, c.Dir = tt.env, "/"
				return c
			}
			c := diagnose(t, in("proa", "doctor"))[tt.check]
			if c.Status != tt.status || !strings.Contains(c.Found, tt.found) || !strings.Contains(c.Remedy, tt.remedy) {
				t.Errorf("got %+v, want %s, found %q, remedy %q", c, tt.status, tt.found, tt.remedy)
			}
			if tt.run != 0 {
				refused(t, in("proa", "run", "--rm", "hello"), tt.run, tt.found, c.Remedy)
				refused(t, in("proa", "pull", "localhost/none"), tt.run, tt.found, c.Remedy)
			}
		})
	}
}

func TestRunWarnsOfNoSubIDs(t *testing.T) {
	harness.Requires(t, "root", "unshare")
	e := env.Fresh(t)
	remedy := diagnose(t, e.CommandIn(noSubIDs, "proa", "doctor"))["subuid, subgid"].Remedy
	r := e.CommandIn(noSubIDs, "proa", "run", "--rm", "hello").OK(t)
	if remedy == "" || !strings.Contains(r.Stderr, "warning: no subordinate ids") || !strings.Contains(r.Stderr, remedy) {
		t.Errorf("run does not say %q: %s", remedy, r.Stderr)
	}
}

func TestDoctorWithoutUserNamespaces(t *testing.T) {
	harness.Requires(t, "root", "unshare")
	const none = "echo 0 > /proc/sys/user/max_user_namespaces"
	e := env.Fresh(t)
	checks := diagnose(t, e.CommandInUserNS(none, "proa", "doctor"))
	c := checks["user namespaces"]
	if c.Status != "missing" || !strings.Contains(c.Found, "user.max_user_namespaces = 0") || !strings.Contains(c.Remedy, "user.max_user_namespaces=28633") {
		t.Errorf("got %+v", c)
	}
	if o := checks["overlay"]; o.Status != "missing" || o.Remedy != c.Remedy {
		t.Errorf("got %+v", o)
	}
	refused(t, e.CommandInUserNS(none, "proa", "run", "--rm", "hello"), 125, "the kernel refused a user namespace", c.Remedy)
	refused(t, e.CommandInUserNS(none, "proa", "pull", "localhost/none"), 125, "the kernel refused a user namespace", c.Remedy)
	// Where one more is allowed, one can be made.
	if c := diagnose(t, e.CommandInUserNS("true", "proa", "doctor"))["user namespaces"]; c.Status != "ok" {
		t.Errorf("in a user namespace that allows others: %+v", c)
	}
}

func TestDoctorReadsConfiguration(t *testing.T) {
	for _, tt := range []struct{ name, text, check, found string }{
		{"policy.json", "{", "policy.json", "unexpected end"},
		{"storage.conf", "[storage", "storage.conf", "storage.conf: toml"},
		{"storage.conf", "[storage]\ndriver = \"vfs\"\n", "storage.conf", `driver is "vfs"`},
		{"registries.conf", "unqualified-search-registries = \"docker.io\"\n", "registries.conf", "unqualified-search-registries"},
		{"registries.conf.d/50-mine.conf", "x", "registries.conf", "50-mine.conf"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			e := env.Fresh(t)
			e.Command("mkdir", "-p", e.Home+"/.config/containers").OK(t)
			file := e.WriteFile(t, e.Home+"/.config/containers/"+tt.name, tt.text, 0o644)
			c := diagnose(t, e.Proa("doctor"))[tt.check]
			if c.Status != "missing" || !strings.Contains(c.Found, tt.found) || c.Remedy != "${EDITOR:-vi} "+file {
				t.Errorf("got %+v, want found %q", c, tt.found)
			}
		})
	}
}

// TestStorageConfOfADistribution has the file that Fedora ships, which names root's directories for everybody.
func TestStorageConfOfADistribution(t *testing.T) {
	harness.Requires(t, "root", "unshare")
	const fedora = `mkdir -p /usr/share/containers && mount -t tmpfs -o mode=755 none /usr/share/containers && printf '[storage]\ndriver = "overlay"\nrunroot = "/run/containers/storage"\ngraphroot = "/var/lib/containers/storage"\n' > /usr/share/containers/storage.conf`
	e := env.Fresh(t)
	want := e.Home + "/.local/share/containers/storage"
	equal(t, "graphroot", e.CommandIn(fedora, "proa", "info", "--format", "{{.DockerRootDir}}").OK(t).Out(), want)
	if c := diagnose(t, e.CommandIn(fedora, "proa", "doctor"))["storage"]; c.Status == "missing" || !strings.HasPrefix(c.Found, want+" on ") {
		t.Errorf("got %+v", c)
	}
	e.CommandIn(fedora, "proa", "run", "--rm", "hello").OK(t)
}

// TestDoctorRemedies breaks a machine, does what doctor says, and wants it whole.
func TestDoctorRemedies(t *testing.T) {
	harness.Requires(t, "root", "vm")
	e := env.Fresh(t)
	for _, tt := range []struct{ check, damage, status string }{
		{"subuid, subgid", "cp /etc/subuid /etc/subgid /root && sed -i /^" + e.Name + ":/d /etc/subuid /etc/subgid", "missing"},
		{"subuid, subgid", "sed -i 'p;s/^" + e.Name + ":/other:/' /etc/subuid", "warning"},
		{"newuidmap, newgidmap", "chmod u-s /usr/bin/newuidmap", "missing"},
		{"newuidmap, newgidmap", "chown 1 /usr/bin/newgidmap && chmod u+s /usr/bin/newgidmap", "missing"},
		{"user namespaces", "sysctl -q kernel.unprivileged_userns_clone=0", "missing"},
		{"user namespaces", "sysctl -q user.max_user_namespaces=0", "missing"},
		{"ping", "sysctl -q 'net.ipv4.ping_group_range=1 0'", "warning"},
		{"/dev/net/tun", "chmod 0600 /dev/net/tun", "warning"},
		{"linger", "rm -f /var/lib/systemd/linger/" + e.Name, "warning"},
		{"cgroup v2", "true", ""},
		{"cgroup cpuset", "true", "warning"},
	} {
		t.Run(tt.check, func(t *testing.T) {
			e.RootCommand("sh", "-c", tt.damage).OK(t)
			before := diagnose(t, doctorInSession(e))[tt.check]
			if before.Status != tt.status && tt.status != "" {
				t.Fatalf("after the damage it is %+v", before)
			}
			mend(t, e, before.Remedy)
			// The systemd of a user starts behind loginctl's back.
			harness.Eventually(t, fmt.Sprintf("%q mends %+v", before.Remedy, before), func() bool { return diagnose(t, doctorInSession(e))[tt.check].Status == "ok" })
		})
	}
}

// doctorInSession calls doctor where a login would.
func doctorInSession(e *harness.Env) *harness.Cmd {
	c := e.Proa("doctor")
	c.Env = []string{fmt.Sprintf("XDG_RUNTIME_DIR=/run/user/%d", e.UID)}
	return c
}
