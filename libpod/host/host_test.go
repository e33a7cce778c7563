package host

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// good is a host on which nothing is missing, as files below a directory of the test's.
var good = map[string]string{
	"/etc/os-release":                              "ID=debian\n",
	"/proc/sys/user/max_user_namespaces":           "12345\n",
	"/proc/self/cgroup":                            "0::/user.slice/user-1000.slice/session-2.scope\n",
	"/sys/fs/cgroup/cgroup.controllers":            "cpuset cpu io memory pids\n",
	"/dev/net/tun":                                 "",
	"/var/lib/systemd/linger/ann":                  "",
	"/run/user/1000/systemd/private":               "",
	"/etc/containers/storage.conf":                 "[storage]\ndriver = \"overlay\"\n",
	"/etc/containers/policy.json":                  "{}",
	"/home/ann/.config/containers/registries.conf": "unqualified-search-registries = []\n",
	"/usr/share/containers/seccomp.json":           `{"defaultAction": "SCMP_ACT_ERRNO"}`,
	"/sys/fs/cgroup/user.slice/user-1000.slice/user@1000.service/cgroup.controllers": "cpuset cpu io memory pids\n",
}

const ownControllers = "/sys/fs/cgroup/user.slice/user-1000.slice/user@1000.service/cgroup.controllers"

func fixture(t *testing.T, change map[string]string) Host {
	t.Helper()
	root := t.TempDir()
	write := func(name, text string, mode os.FileMode) {
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
	}
	for name, text := range good {
		write(name, text, 0o644)
	}
	for _, name := range []string{"/usr/bin/newuidmap", "/usr/bin/newgidmap"} {
		write(name, "", 0o755|os.ModeSetuid)
	}
	for name, text := range change {
		switch text {
		case "-": // removed
			if err := os.Remove(filepath.Join(root, name)); err != nil {
				t.Fatal(err)
			}
		case "no setuid":
			write(name, "", 0o755)
		default:
			write(name, text, 0o644)
		}
	}
	env := map[string]string{"PATH": "/usr/bin", "XDG_RUNTIME_DIR": "/run/user/1000"}
	return Host{
		Root: root, UID: 1000, User: "ann", Home: "/home/ann", Release: "6.1.0-13-amd64",
		TempDir: t.TempDir(),
		Getenv:  func(k string) string { return env[k] },
		SubIDs:  func(int) (int, int, error) { return 65536, 65536, nil },
		RunDir:  func() (string, error) { return "/run/user/1000/proa", nil },
		UserNS:  func(context.Context) error { return nil },
		Overlay: func(context.Context, string) error { return nil },
	}
}

func TestGoodHost(t *testing.T) {
	checks := fixture(t, nil).Checks(context.Background())
	for _, c := range checks {
		if c.Status != OK || c.Remedy != "" || c.Found == "" || c.Needed == "" {
			t.Errorf("%+v", c)
		}
	}
	if Lacking(checks) {
		t.Error("something is said to be lacking")
	}
}

func TestChecks(t *testing.T) {
	for _, tt := range []struct {
		name   string
		files  map[string]string
		edit   func(*Host)
		check  string
		status Status
		found  string
		remedy string
	}{
		{"old kernel", nil, func(h *Host) { h.Release = "5.10.0-9" }, "kernel", Missing, "5.10.0-9", "linux-image"},
		{"kernel 5.11", nil, func(h *Host) { h.Release = "5.11.0" }, "kernel", OK, "5.11.0", ""},
		{"sysctl forbids", map[string]string{"/proc/sys/user/max_user_namespaces": "0"},
			func(h *Host) { h.UserNS = func(context.Context) error { return unix.ENOSPC } },
			"user namespaces", Missing, "user.max_user_namespaces = 0", "user.max_user_namespaces=28633"},
		{"apparmor forbids", map[string]string{"/proc/sys/kernel/apparmor_restrict_unprivileged_userns": "1"},
			func(h *Host) { h.UserNS = func(context.Context) error { return unix.EACCES } },
			"user namespaces", Missing, "restrict_unprivileged_userns = 1", "kernel.apparmor_restrict_unprivileged_userns=0"},
		{"apparmor has a profile for proa", map[string]string{"/proc/sys/kernel/apparmor_restrict_unprivileged_userns": "1"}, nil,
			"user namespaces", OK, "although", ""},
		{"something else forbids", nil, func(h *Host) { h.UserNS = func(context.Context) error { return unix.EPERM } },
			"user namespaces", Missing, "operation not permitted", "CLONE_NEWUSER"},
		{"no subids", nil, func(h *Host) { h.SubIDs = func(int) (int, int, error) { return 0, 0, nil } },
			"subuid, subgid", Missing, "0 uids", "usermod --add-subuids 100000-165535 --add-subgids 100000-165535 ann"},
		{"no subids beside others'", map[string]string{"/etc/subuid": "bob:100000:65536\n", "/etc/subgid": "bob:200000:10\n"}, func(h *Host) { h.SubIDs = func(int) (int, int, error) { return 0, 0, nil } },
			"subuid, subgid", Missing, "0 uids", "usermod --add-subuids 200010-265545 --add-subgids 200010-265545 ann"},
		{"few subids", nil, func(h *Host) { h.SubIDs = func(int) (int, int, error) { return 65536, 100, nil } },
			"subuid, subgid", Warning, "100 gids", "usermod"},
		{"no newgidmap", map[string]string{"/usr/bin/newgidmap": "-"}, nil,
			"newuidmap, newgidmap", Missing, "newgidmap is not installed", "sudo apt-get install uidmap"},
		{"fedora", map[string]string{"/usr/bin/newgidmap": "-", "/etc/os-release": "NAME=x\nID=\"rocky\"\nID_LIKE=\"rhel centos fedora\"\n"}, nil,
			"newuidmap, newgidmap", Missing, "newgidmap", "sudo dnf install shadow-utils"},
		{"newuidmap lost its bit", map[string]string{"/usr/bin/newuidmap": "no setuid"}, nil,
			"newuidmap, newgidmap", Missing, "neither", "sudo setcap cap_setuid=ep /usr/bin/newuidmap"},
		{"no run directory", nil, func(h *Host) { h.RunDir = func() (string, error) { return "", errors.New("nowhere") } },
			"XDG_RUNTIME_DIR", Missing, "nowhere", "enable-linger ann"},
		{"run directory in /tmp", nil, func(h *Host) {
			h.RunDir = func() (string, error) { return "/tmp/proa-run-1000/proa", nil }
			h.Getenv = func(string) string { return "" }
		}, "XDG_RUNTIME_DIR", Warning, "/tmp/proa-run-1000", "enable-linger ann"},
		{"no overlay", nil, func(h *Host) { h.Overlay = func(context.Context, string) error { return unix.EPERM } },
			"overlay", Missing, "not permitted", ""},
		{"cgroup v1", map[string]string{"/sys/fs/cgroup/cgroup.controllers": "-"}, nil,
			"cgroup v2", Warning, "not a cgroup v2", "unified_cgroup_hierarchy=1"},
		{"cpuset not delegated", map[string]string{ownControllers: "cpu memory pids\n"}, nil,
			"cgroup cpuset", Warning, "not delegated", "Delegate=cpu cpuset io memory pids"},
		{"memory delegated", map[string]string{ownControllers: "cpu memory pids\n"}, nil, "cgroup memory", OK, "delegated", ""},
		{"no session", map[string]string{"/run/user/1000/systemd/private": "-"}, nil, "systemd user session", Warning, "none", "machinectl"},
		{"no linger", map[string]string{"/var/lib/systemd/linger/ann": "-"}, nil, "linger", Warning, "off", "enable-linger ann"},
		{"no tun", map[string]string{"/dev/net/tun": "-"}, nil, "/dev/net/tun", Warning, "no such file", "modprobe tun"},
		{"bad storage.conf", map[string]string{"/etc/containers/storage.conf": "[storage\n"}, nil, "storage.conf", Missing, "/etc/containers/storage.conf", "mv"},
		{"bad registries.conf", map[string]string{"/home/ann/.config/containers/registries.conf": "x"}, nil, "registries.conf", Missing, "/home/ann", "mv"},
		{"bad policy.json", map[string]string{"/etc/containers/policy.json": "{"}, nil, "policy.json", Missing, "unexpected end", "mv"},
		{"no policy.json", map[string]string{"/etc/containers/policy.json": "-"}, nil, "policy.json", OK, "none", ""},
		{"bad seccomp", map[string]string{"/etc/containers/seccomp.json": "{"}, nil, "seccomp profile", Missing, "/etc/containers/seccomp.json", "mv"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			h := fixture(t, tt.files)
			if tt.edit != nil {
				tt.edit(&h)
			}
			checks := h.Checks(context.Background())
			if tt.status == Missing && !Lacking(checks) {
				t.Error("nothing is said to be lacking")
			}
			for _, c := range checks {
				if c.Name != tt.check {
					continue
				}
				if c.Status != tt.status || !strings.Contains(c.Found, tt.found) || !strings.Contains(c.Remedy, tt.remedy) || (c.Remedy == "") != (c.Status == OK) {
					t.Errorf("got %+v, want %s, found %q, remedy %q", c, tt.status, tt.found, tt.remedy)
				}
				return
			}
			t.Errorf("no check is named %q", tt.check)
		})
	}
}

func TestUserNSRemedyNamesEverySwitch(t *testing.T) {
	h := fixture(t, map[string]string{
		"/proc/sys/user/max_user_namespaces":         "0",
		"/proc/sys/kernel/unprivileged_userns_clone": "0\n",
	})
	want := `printf '%s\n' user.max_user_namespaces=28633 kernel.unprivileged_userns_clone=1 | sudo tee /etc/sysctl.d/90-proa.conf && sudo sysctl --system`
	if got := UserNSRemedy(h.Root); got != want {
		t.Errorf("got %s", got)
	}
}
