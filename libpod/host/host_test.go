package host

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/proa-containers/proa/libpod/config"
	"github.com/proa-containers/proa/libpod/rootless"
	"golang.org/x/sys/unix"
)

// good is a host on which nothing is missing, as files below a directory of the test's.
var good = map[string]string{
	"/etc/os-release":                              "ID=debian\n",
	"/proc/sys/user/max_user_namespaces":           "12345\n",
	"/proc/self/cgroup":                            "0::/user.slice/user-1000.slice/session-2.scope\n",
	"/proc/self/status":                            "Name:\tproa\nSeccomp:\t0\n",
	"/proc/sys/net/ipv4/ping_group_range":          "0\t2147483647\n",
	"/run/systemd/system/x":                        "",
	"/etc/subuid":                                  "ann:100000:65536\nbob:165536:65536\n",
	"/etc/subgid":                                  "ann:100000:65536\nbob:165536:65536\n",
	"/etc/passwd":                                  "root:x:0:0::/root:/bin/sh\nann:x:1000:1000::/home/ann:/bin/sh\nbob:x:1001:1001::/home/bob:/bin/sh\n",
	"/sys/fs/cgroup/cgroup.controllers":            "cpuset cpu io memory pids\n",
	"/dev/net/tun":                                 "",
	"/var/lib/systemd/linger/ann":                  "",
	"/run/user/1000/systemd/private":               "",
	"/etc/containers/storage.conf":                 "[storage]\ndriver = \"overlay\"\n",
	"/etc/containers/policy.json":                  `{"default": [{"type": "insecureAcceptAnything"}]}`,
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
	for _, name := range []string{"/usr/bin/newuidmap", "/usr/bin/newgidmap", "/usr/sbin/usermod"} {
		write(name, "", 0o755)
	}
	for name, text := range change {
		switch text {
		case "-": // removed
			if err := os.RemoveAll(filepath.Join(root, name)); err != nil {
				t.Fatal(err)
			}
		case "program":
			write(name, "", 0o755)
		default:
			write(name, text, 0o644)
		}
	}
	env := map[string]string{"PATH": "/usr/bin", "XDG_RUNTIME_DIR": "/run/user/1000"}
	return Host{
		Root: root, UID: 1000, Rootless: true, User: "ann", Home: "/home/ann", Release: "6.1.0-13-amd64",
		Getenv:     func(k string) string { return env[k] },
		SubIDs:     func(int) (int, int, error) { return 65536, 65536, nil },
		Privileged: func(rootless.Mapper, string) error { return nil },
		Dirs:       func() (string, error) { return "/run/user/1000/proa", nil },
		UserNS:     func(context.Context) error { return nil },
		Overlay:    func(context.Context, string) error { return nil },
		Space:      func(string) (Space, error) { return Space{"ext4", 50 << 30}, nil },
		Owner: func(path string) (int, error) {
			if strings.Contains(path, "/user@1000.service/") || strings.Contains(path, "/mine") && !strings.HasSuffix(path, "/leaf/cgroup.procs") || strings.HasSuffix(path, "/run/user/1000") {
				return 1000, nil
			}
			return 0, nil
		},
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
		{"old kernel", nil, func(h *Host) { h.Release = "5.10.0-9" }, "kernel", Missing, "5.10.0-9", "linux-image-amd64 && sudo reboot"},
		{"kernel 5.11", nil, func(h *Host) { h.Release = "5.11.0" }, "kernel", OK, "5.11.0", ""},
		{"sysctl forbids", map[string]string{"/proc/sys/user/max_user_namespaces": "0"}, noUserNS(unix.ENOSPC),
			"user namespaces", Missing, "user.max_user_namespaces = 0", "user.max_user_namespaces=28633"},
		{"debian's switch", map[string]string{"/proc/sys/kernel/unprivileged_userns_clone": "0"}, noUserNS(unix.EPERM),
			"user namespaces", Missing, "unprivileged_userns_clone = 0", "kernel.unprivileged_userns_clone=1"},
		{"apparmor forbids", map[string]string{"/proc/sys/kernel/apparmor_restrict_unprivileged_userns": "1"}, noUserNS(unix.EACCES),
			"user namespaces", Missing, "restrict_unprivileged_userns = 1", "kernel.apparmor_restrict_unprivileged_userns=0"},
		{"apparmor has a profile for proa", map[string]string{"/proc/sys/kernel/apparmor_restrict_unprivileged_userns": "1"}, nil,
			"user namespaces", OK, "although", ""},
		{"as many namespaces as allowed", nil, noUserNS(unix.ENOSPC), "user namespaces", Missing, "no space left", "user.max_user_namespaces=28633"},
		{"a profile of apparmor's forbids", map[string]string{"/proc/self/attr/apparmor/current": "proa (enforce)\n"}, noUserNS(unix.EACCES),
			"user namespaces", Missing, "permission denied", "AppArmor's profile proa the rule"},
		{"something else forbids", nil, noUserNS(unix.EPERM), "user namespaces", Missing, "operation not permitted", "CLONE_NEWUSER"},
		{"kernel without", map[string]string{"/proc/self/ns/mnt": ""}, noUserNS(unix.EINVAL), "user namespaces", Missing, "invalid argument", "linux-image-amd64"},
		{"root needs none", nil, func(h *Host) { noUserNS(unix.EPERM)(h); h.UID, h.Rootless = 0, false }, "user namespaces", Warning, "not permitted", "CLONE_NEWUSER"},
		{"no subids", nil, subIDs(0, 0), "subuid, subgid", Missing, "no subordinate ids",
			"sudo usermod --add-subuids 231072-296607 --add-subgids 231072-296607 ann"},
		{"no subids, no files", map[string]string{"/etc/subuid": "-", "/etc/subgid": "-"}, subIDs(0, 0), "subuid, subgid", Missing, "no subordinate ids",
			"--add-subuids 100000-165535 --add-subgids 100000-165535 ann"},
		{"no usermod", map[string]string{"/usr/sbin/usermod": "-"}, subIDs(0, 0), "subuid, subgid", Missing, "0 uids", "echo ann:231072:65536 | sudo tee -a /etc/subuid /etc/subgid"},
		{"few subids", nil, subIDs(65536, 100), "subuid, subgid", Warning, "100 gids", "usermod"},
		{"shared subuids", map[string]string{"/etc/subuid": "ann:100000:65536\nbob:165535:65536\n"}, nil, "subuid, subgid", Warning,
			"100000-165535 of /etc/subuid meets 165535-231070 of bob", "sudo sed -i '/^ann:100000:65536$/d' /etc/subuid && sudo usermod --add-subuids 231072-296607"},
		{"subgids of a group", map[string]string{"/etc/group": "staff:x:120000:bob\n"}, nil, "subuid, subgid", Warning,
			"meets 120000-120000 of staff", "sed -i '/^ann:100000:65536$/d' /etc/subgid"},
		{"no newgidmap", map[string]string{"/usr/bin/newgidmap": "-"}, nil, "newuidmap, newgidmap", Missing, "newgidmap is not installed", "sudo apt-get install uidmap"},
		{"fedora", map[string]string{"/usr/bin/newgidmap": "-", "/etc/os-release": "NAME=x\nID=\"rocky\"\nID_LIKE=\"rhel centos fedora\"\n"}, nil,
			"newuidmap, newgidmap", Missing, "newgidmap", "sudo dnf install shadow-utils"},
		{"alpine", map[string]string{"/usr/bin/newgidmap": "-", "/etc/os-release": "ID=alpine\n"}, nil, "newuidmap, newgidmap", Missing, "newgidmap", "sudo apk add shadow-subids"},
		{"arch", map[string]string{"/usr/bin/newgidmap": "-", "/etc/os-release": "ID=arch\n"}, nil, "newuidmap, newgidmap", Missing, "newgidmap", "sudo pacman -S shadow"},
		{"opensuse", map[string]string{"/usr/bin/newgidmap": "-", "/etc/os-release": "ID=\"opensuse-tumbleweed\"\n"}, nil, "newuidmap, newgidmap", Missing, "newgidmap", "sudo zypper install shadow"},
		{"a distribution that is not known", map[string]string{"/usr/bin/newgidmap": "-", "/etc/os-release": "ID=own\n", "/usr/bin/zypper": "program"}, nil,
			"newuidmap, newgidmap", Missing, "newgidmap", "sudo zypper install shadow"},
		{"newuidmap lost its bit", nil, func(h *Host) {
			h.Privileged = func(_ rootless.Mapper, path string) error {
				return fmt.Errorf("%s %w", path, rootless.ErrMapperPrivilege)
			}
		}, "newuidmap, newgidmap", Missing, "/usr/bin/newuidmap has neither", "sudo chown root:root /usr/bin/newuidmap && sudo chmod u+s /usr/bin/newuidmap"},
		{"no run directory", nil, func(h *Host) {
			h.Dirs = func() (string, error) { return "", config.ErrNoRuntimeDir }
			h.Owner = func(string) (int, error) { return 0, fs.ErrNotExist }
		}, "XDG_RUNTIME_DIR", Missing, "no directory", "enable-linger ann && export XDG_RUNTIME_DIR=/run/user/1000"},
		{"run directory of another user", map[string]string{"/run/user/1000/x": ""}, func(h *Host) {
			h.Dirs = func() (string, error) { return "", config.ErrNoRuntimeDir }
			h.Getenv = func(string) string { return "" }
		}, "XDG_RUNTIME_DIR", Missing, "no directory", "export XDG_RUNTIME_DIR=/run/user/1000"},
		{"run directory in /tmp", map[string]string{"/run/systemd": "-"}, func(h *Host) {
			h.Dirs = func() (string, error) { return "/tmp/proa-run-1000/proa", nil }
			h.Getenv = func(string) string { return "" }
			h.Owner = func(string) (int, error) { return 0, fs.ErrNotExist }
		}, "XDG_RUNTIME_DIR", Warning, "/tmp/proa-run-1000", "sudo install -d -m 0700 -o 1000 /run/user/1000"},
		{"no home", nil, func(h *Host) { h.Home = ""; h.Dirs = func() (string, error) { return "", config.ErrNoDataDir } },
			"storage", Missing, "no directory for containers", "export HOME="},
		{"home of root's", nil, func(h *Host) { h.Dirs = func() (string, error) { return "", config.ErrNoDataDir } },
			"storage", Missing, "no directory for containers", "sudo chown 1000 /home/ann"},
		{"store on nfs", nil, onDisk("nfs", 50<<30), "storage", Warning, "on nfs", "graphroot = \"/var/tmp/ann/storage\""},
		{"full disk", nil, onDisk("ext4", 1<<20), "storage", Warning, "0.0 GiB free", "proa rmi"},
		{"store elsewhere", map[string]string{"/etc/containers/storage.conf": "[storage]\ngraphroot = \"/var/lib/containers/storage\"\nrootless_storage_path = \"/big/$USER\"\n"}, nil,
			"storage", OK, "/big/ann on ext4", ""},
		{"a user's store", map[string]string{"/home/ann/.config/containers/storage.conf": "[storage]\ngraphroot = \"$HOME/store\"\n"}, nil, "storage", OK, "/home/ann/store on", ""},
		{"no overlay", nil, func(h *Host) { h.Overlay = func(context.Context, string) error { return unix.EPERM } },
			"overlay", Missing, "not permitted", "graphroot"},
		{"cgroup v1", map[string]string{"/sys/fs/cgroup/cgroup.controllers": "-"}, nil,
			"cgroup v2", Warning, "not a cgroup v2", "systemd.unified_cgroup_hierarchy=1"},
		{"no delegation", map[string]string{"/run/user/1000/systemd/private": "-"}, nil, "cgroup v2", Warning, "no cgroup is delegated to ann", "loginctl enable-linger ann"},
		{"no delegation, no systemd", noSystemd("0::/other\n"), nil, "cgroup v2", Warning, "no cgroup is delegated", "mkdir -p /sys/fs/cgroup/user-1000"},
		{"delegated without systemd", noSystemd("0::/above/mine/shell\n"), nil, "cgroup v2", OK, "/sys/fs/cgroup/above/mine", ""},
		{"controller without systemd", noSystemd("0::/above/mine/shell\n"), nil, "cgroup io", Warning, "not delegated", "echo +io | sudo tee /sys/fs/cgroup/above/cgroup.subtree_control"},
		{"a container's own hierarchy", noSystemd("0::/mine\n"), nil, "cgroup pids", OK, "delegated", ""},
		{"a shell in what is delegated", with(noSystemd("0::/mine\n"), "/sys/fs/cgroup/mine/cgroup.type", "domain\n"), nil, "cgroup pids", Warning, "since this shell is in it",
			"mkdir -p /sys/fs/cgroup/mine/shell && "},
		{"a gap", noSystemd("0::/mine/other/leaf\n"), nil, "cgroup v2", Warning, "no cgroup is delegated", "chown 1000"},
		{"cpuset not delegated", map[string]string{ownControllers: "cpu memory pids\n"}, nil,
			"cgroup cpuset", Warning, "not delegated", "Delegate=cpu cpuset io memory pids"},
		{"cpuset delegated after the scope was made", map[string]string{"/run/user/1000/proa/cgroup": "/sys/fs/cgroup/proa.scope",
			"/sys/fs/cgroup/proa.scope/proa/cgroup.procs": "1\n", "/sys/fs/cgroup/proa.scope/cgroup.controllers": "cpu memory pids\n"}, nil,
			"cgroup cpuset", Warning, "after /sys/fs/cgroup/proa.scope was made", "pkill -u ann -f '^proa-pause '"},
		{"a scope that is gone", map[string]string{"/run/user/1000/proa/cgroup": "/sys/fs/cgroup/proa.scope"}, nil, "cgroup cpuset", OK, "delegated", ""},
		{"memory delegated", map[string]string{ownControllers: "cpu memory pids\n"}, nil, "cgroup memory", OK, "delegated", ""},
		{"no session", map[string]string{"/run/user/1000/systemd/private": "-"}, nil, "systemd user session", Warning, "none", "machinectl"},
		{"no linger", map[string]string{"/var/lib/systemd/linger/ann": "-"}, nil, "linger", Warning, "off", "enable-linger ann"},
		{"no tun", map[string]string{"/dev/net/tun": "-", "/lib/modules/6.1.0-13-amd64/x": ""}, nil, "/dev/net/tun", Warning, "no such file", "modprobe tun"},
		{"no tun in a container", map[string]string{"/dev/net/tun": "-"}, nil, "/dev/net/tun", Warning, "open /dev/net/tun: no such file", "sudo mknod -m 0666 /dev/net/tun c 10 200"},
		{"no ping", map[string]string{"/proc/sys/net/ipv4/ping_group_range": "1\t0\n"}, nil, "ping", Warning, "no group", "'net.ipv4.ping_group_range=0 2147483647'"},
		{"bad storage.conf", map[string]string{"/etc/containers/storage.conf": "[storage\n"}, nil, "storage.conf", Missing, "/etc/containers/storage.conf", "sudo ${EDITOR:-vi} /etc/"},
		{"another driver", map[string]string{"/home/ann/.config/containers/storage.conf": "[storage]\ndriver = \"vfs\"\n"}, nil, "storage.conf", Missing, `driver is "vfs"`, "${EDITOR:-vi} /home/ann"},
		{"another driver in the environment", nil, func(h *Host) {
			h.Getenv = func(k string) string { return map[string]string{"STORAGE_DRIVER": "vfs"}[k] }
		},
			"STORAGE_DRIVER", Missing, "vfs", "unset STORAGE_DRIVER"},
		{"a storage.conf that is not there", nil, func(h *Host) {
			h.Getenv = func(k string) string { return map[string]string{"CONTAINERS_STORAGE_CONF": "/none"}[k] }
		}, "storage.conf", Missing, "/none", "/none"},
		{"bad registries.conf", map[string]string{"/home/ann/.config/containers/registries.conf": "x"}, nil, "registries.conf", Missing, "/home/ann", "${EDITOR:-vi} /home/ann"},
		{"bad drop-in", map[string]string{"/etc/containers/registries.conf.d/50.conf": "unqualified-search-registries = 5"}, nil, "registries.conf", Missing, "50.conf", "50.conf"},
		{"old registries.conf", map[string]string{"/home/ann/.config/containers/registries.conf": "[registries.search]\nregistries = [\"docker.io\"]\n"}, nil,
			"registries.conf", Missing, "old form", "/home/ann"},
		{"short names as they are not", map[string]string{"/home/ann/.config/containers/registries.conf": "short-name-mode = \"strict\"\n"}, nil, "registries.conf", Missing, `"strict"`, "/home/ann"},
		{"a registry of nothing", map[string]string{"/home/ann/.config/containers/registries.conf": "[[registry]]\ninsecure = true\n"}, nil, "registries.conf", Missing, "neither", "/home/ann"},
		{"bad policy.json", map[string]string{"/etc/containers/policy.json": "{"}, nil, "policy.json", Missing, "unexpected end", "policy.json"},
		{"policy without a default", map[string]string{"/etc/containers/policy.json": "{}"}, nil, "policy.json", Missing, `no "default"`, "policy.json"},
		{"no policy.json", map[string]string{"/etc/containers/policy.json": "-"}, nil, "policy.json", OK, "none", ""},
		{"bad seccomp", map[string]string{"/etc/containers/seccomp.json": "{"}, nil, "seccomp profile", Missing, "/etc/containers/seccomp.json", "mv"},
		{"no seccomp", map[string]string{"/proc/self/status": "Name:\tproa\n"}, nil, "seccomp profile", Missing, "CONFIG_SECCOMP", "linux-image"},
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

func noUserNS(errno unix.Errno) func(*Host) {
	return func(h *Host) {
		h.UserNS = func(context.Context) error { return fmt.Errorf("%w: %w", rootless.ErrUserNS, errno) }
	}
}

func subIDs(uids, gids int) func(*Host) {
	return func(h *Host) { h.SubIDs = func(int) (int, int, error) { return uids, gids, nil } }
}

func onDisk(fs string, free uint64) func(*Host) {
	return func(h *Host) { h.Space = func(string) (Space, error) { return Space{fs, free}, nil } }
}

func with(files map[string]string, name, text string) map[string]string {
	files[name] = text
	return files
}

// noSystemd are the files of a host that another init booted, with a shell in the cgroup that own says.
func noSystemd(own string) map[string]string {
	return map[string]string{
		"/proc/self/cgroup": own, "/run/user/1000/systemd/private": "-", "/run/systemd": "-",
		"/sys/fs/cgroup/mine/cgroup.controllers": "pids\n", "/sys/fs/cgroup/above/mine/cgroup.controllers": "memory pids\n",
	}
}

func TestUserNSRemedyNamesEverySwitch(t *testing.T) {
	h := fixture(t, map[string]string{
		"/proc/sys/user/max_user_namespaces":         "0",
		"/proc/sys/kernel/unprivileged_userns_clone": "0\n",
	})
	want := `printf '%s\n' 'user.max_user_namespaces=28633' 'kernel.unprivileged_userns_clone=1' | sudo tee -a /etc/sysctl.d/90-proa.conf && sudo sysctl --system`
	if got := h.allowUserNS(unix.ENOSPC); got != want {
		t.Errorf("got %s", got)
	}
}

func TestRootNeedsNoSudo(t *testing.T) {
	h := fixture(t, map[string]string{"/dev/net/tun": "-", "/proc/sys/net/ipv4/ping_group_range": "1 0", "/etc/containers/policy.json": "{"})
	h.UID, h.Rootless, h.Release = 0, false, "4.19.0"
	for _, c := range h.Checks(context.Background()) {
		if strings.Contains(c.Remedy, "sudo") {
			t.Errorf("%s: %s", c.Name, c.Remedy)
		}
		switch c.Name {
		case "subuid, subgid", "newuidmap, newgidmap", "XDG_RUNTIME_DIR", "linger":
			t.Errorf("root needs no %s", c.Name)
		}
	}
}

// TestExplain wants of an error the very remedy of the check.
func TestExplain(t *testing.T) {
	h := fixture(t, map[string]string{"/etc/subuid": "-", "/proc/sys/user/max_user_namespaces": "0", "/usr/bin/newuidmap": "-"})
	noUserNS(unix.ENOSPC)(&h)
	subIDs(0, 0)(&h)
	h.Dirs = func() (string, error) { return "", config.ErrNoRuntimeDir }
	checks := map[string]Check{}
	for _, c := range h.Checks(context.Background()) {
		checks[c.Name] = c
	}
	for name, err := range map[string]error{
		"subuid, subgid": rootless.ErrNoSubIDs, "newuidmap, newgidmap": rootless.ErrNoMapper, "XDG_RUNTIME_DIR": config.ErrNoRuntimeDir,
		"user namespaces": fmt.Errorf("%w: %w", rootless.ErrUserNS, unix.ENOSPC),
	} {
		if got := h.Explain(err).Error(); checks[name].Remedy == "" || !strings.Contains(got, checks[name].Remedy) || !strings.HasPrefix(got, err.Error()) {
			t.Errorf("%s: %q does not say %q", name, got, checks[name].Remedy)
		}
	}
	if err := errors.New("another"); h.Explain(err) != err {
		t.Errorf("another error became %v", h.Explain(err))
	}
}
