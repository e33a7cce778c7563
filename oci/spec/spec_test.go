package spec

import (
	"encoding/json"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "rewrite the golden files")

func testEnv() Env {
	return Env{
		ID: strings.Repeat("0123456789abcdef", 4), Rootless: true, Root: "rootfs", User: User{Home: "/root"},
		Files: map[string]string{"/etc/hosts": "/run/c/hosts", "/etc/hostname": "/run/c/hostname", "/etc/resolv.conf": "/run/c/resolv.conf"},
		Namespace: func(container, kind string) (string, error) {
			if container != "other" {
				return "", errors.New("no such container")
			}
			return "/proc/42/ns/" + kind, nil
		},
	}
}

func TestNew(t *testing.T) {
	score := -500
	for name, c := range map[string]struct {
		cfg Config
		env func(*Env)
	}{
		"default":  {cfg: Config{Process: Process{Args: []string{"sh"}}}},
		"readonly": {cfg: Config{Process: Process{Args: []string{"sh"}}, Mounts: Mounts{ReadonlyRoot: true}}},
		"process": {
			cfg: Config{Process: Process{
				Args: []string{"a", "b c"}, Env: []string{"PATH=/bin", "A=x=y", "A=z", "B=1", "B"}, Cwd: "/srv", Terminal: true,
				Rlimits: []Rlimit{{"nofile", 10, 20}, {"core", -1, -1}}, OOMScore: &score, Sysctls: map[string]string{"net.ipv4.ip_forward": "1"},
			}},
			env: func(e *Env) {
				e.User = User{UID: 1000, GID: 100, Groups: []uint32{100, 29}, Home: "/home/u"}
				e.Annotations = map[string]string{"k": "v"}
			},
		},
		"host":       {cfg: Config{Namespaces: Namespaces{PID: "host", Network: "host", IPC: "host", UTS: "host", Cgroup: "host"}}, env: func(e *Env) { e.HostMqueue = true }},
		"namespaces": {cfg: Config{Namespaces: Namespaces{PID: "container:other", Network: "container:other", UTS: "ns:/run/uts", Hostname: "box", Domainname: "lan"}}},
		"privileged": {cfg: Config{Security: Security{Privileged: true}}, env: func(e *Env) {
			e.Devices = []Device{{"/dev/fuse", "/dev/fuse", "rwm"}}
		}},
		"security": {cfg: Config{Security: Security{CapDrop: []string{"ALL"}, CapAdd: []string{"CAP_KILL"}, NoNewPrivileges: true, AppArmor: "p",
			Mask: []string{"/etc/secret"}, Unmask: []string{"/proc/*", "/sys/firmware"}}}},
		"mounts": {cfg: Config{Mounts: Mounts{ShmSize: 1 << 20, Devices: []Device{{"/dev/kvm", "/dev/vm", "r"}}, List: []Mount{
			{Type: "bind", Source: "/a", Target: "/srv/a/b", Options: []string{"ro"}}, {Type: "tmpfs", Target: "/srv", Options: []string{"exec", "size=1m"}},
			{Type: "bind", Source: "/h", Target: "/etc/hosts", Options: []string{"bind", "rslave"}},
		}}}},
		"resources": {cfg: Config{Resources: Resources{Memory: 64 << 20, CPUs: 1.5, CPUShares: 512, CPUSet: "0-1", PidsLimit: 100, Reserved: 32 << 20, CPUSetMems: "0"}},
			env: func(e *Env) { e.CgroupPath = "/proa/c" }},
	} {
		t.Run(name, func(t *testing.T) {
			env := testEnv()
			if c.env != nil {
				c.env(&env)
			}
			s, err := New(c.cfg, env)
			if err != nil {
				t.Fatal(err)
			}
			if c.cfg.Security.Privileged { // which capabilities there are depends on the kernel
				if caps := s.Process.Capabilities.Bounding; !slices.Contains(caps, "CAP_SYS_ADMIN") || len(caps) < 38 {
					t.Errorf("a privileged container has the capabilities %q", caps)
				}
				s.Process.Capabilities = nil
			}
			got, err := json.MarshalIndent(s, "", "\t")
			if err != nil {
				t.Fatal(err)
			}
			golden(t, name+".json", append(got, '\n'))
		})
	}
}

func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != string(want) {
		t.Errorf("differs from %s (go test -update rewrites it):\n%s", path, got)
	}
}

func TestNewRefuses(t *testing.T) {
	for want, cfg := range map[string]Config{
		"nonsense":              {Namespaces: Namespaces{PID: "nonsense"}},
		`"none"`:                {Namespaces: Namespaces{IPC: "none"}},
		"no such container":     {Namespaces: Namespaces{UTS: "container:gone"}},
		"duplicate mount point": {Mounts: Mounts{List: []Mount{{Type: "tmpfs", Target: "/a/"}, {Type: "tmpfs", Target: "/a"}}}},
		"relative":              {Mounts: Mounts{List: []Mount{{Type: "tmpfs", Target: "relative"}}}},
		`target "/.."`:          {Mounts: Mounts{List: []Mount{{Type: "tmpfs", Target: "/.."}}}},
		"unknown mount type":    {Mounts: Mounts{List: []Mount{{Type: "floppy", Target: "/a"}}}},
	} {
		if _, err := New(cfg, testEnv()); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("New(%+v) = %v, want an error with %q", cfg, err, want)
		}
	}
}

func TestCapabilities(t *testing.T) {
	docker := Security{}.Capabilities()
	if len(docker) != 14 || !slices.IsSorted(docker) {
		t.Errorf("the default is %q", docker)
	}
	for _, c := range []struct {
		s    Security
		n    int // -1: all that there are
		has  string
		lack string
	}{
		{Security{CapAdd: []string{"CAP_SYS_ADMIN"}}, 15, "CAP_SYS_ADMIN", ""},
		{Security{CapDrop: []string{"CAP_CHOWN"}}, 13, "CAP_KILL", "CAP_CHOWN"},
		{Security{CapDrop: []string{"ALL"}}, 0, "", "CAP_CHOWN"},
		{Security{CapDrop: []string{"ALL"}, CapAdd: []string{"CAP_CHOWN"}}, 1, "CAP_CHOWN", "CAP_KILL"},
		{Security{CapAdd: []string{"ALL"}, CapDrop: []string{"CAP_SYS_ADMIN"}}, -1, "CAP_SYS_PTRACE", "CAP_SYS_ADMIN"},
		{Security{CapAdd: []string{"CAP_CHOWN"}, CapDrop: []string{"CAP_CHOWN"}}, 14, "CAP_CHOWN", ""},
	} {
		got := c.s.Capabilities()
		if c.n >= 0 && len(got) != c.n || c.has != "" && !slices.Contains(got, c.has) || c.lack != "" && slices.Contains(got, c.lack) {
			t.Errorf("%+v has %q", c.s, got)
		}
	}
}

func TestParseCapability(t *testing.T) {
	for in, want := range map[string]string{"kill": "CAP_KILL", "CAP_KILL": "CAP_KILL", "cap_kill": "CAP_KILL", "all": "ALL", "FLYING": "", "": ""} {
		got, err := ParseCapability(in)
		if got != want || (err == nil) != (want != "") {
			t.Errorf("ParseCapability(%q) = %q, %v", in, got, err)
		}
	}
}

func TestExecIsNotPrivilegedByItself(t *testing.T) {
	s, err := New(Config{Process: Process{Args: []string{"sh"}, Env: []string{"A=1"}}}, testEnv())
	if err != nil {
		t.Fatal(err)
	}
	p := Exec(s.Process, Security{}, User{UID: 5, Home: "/home/five"}, []string{"A=2"}, true)
	if len(p.Capabilities.Effective) != 0 || len(p.Capabilities.Inheritable) != 0 || len(p.Capabilities.Ambient) != 0 || len(p.Capabilities.Bounding) != 14 {
		t.Errorf("capabilities of an exec as a user: %+v", p.Capabilities)
	}
	for _, want := range []string{"A=2", "TERM=xterm", "HOME=/home/five"} {
		if !slices.Contains(p.Env, want) {
			t.Errorf("the environment %q lacks %s", p.Env, want)
		}
	}
	if slices.Contains(s.Process.Env, "A=2") {
		t.Error("the container's own environment was changed")
	}
}
