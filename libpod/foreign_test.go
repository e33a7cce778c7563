package libpod

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"
	"github.com/proa-containers/proa/oci/plan"
)

func TestAdaptMounts(t *testing.T) {
	spec := func(own ...specs.LinuxNamespaceType) *specs.Spec {
		s := &specs.Spec{Linux: &specs.Linux{}, Mounts: []specs.Mount{
			{Destination: "/proc", Type: "proc", Source: "proc", Options: []string{"nosuid"}},
			{Destination: "/sys", Type: "sysfs", Source: "sysfs", Options: []string{"ro"}},
			{Destination: "/dev/pts", Type: "devpts", Source: "devpts", Options: []string{"newinstance", "gid=5"}},
		}}
		for _, kind := range own {
			s.Linux.Namespaces = append(s.Linux.Namespaces, specs.LinuxNamespace{Type: kind})
		}
		return s
	}
	shown := func(s *specs.Spec) string {
		var out []string
		for _, m := range s.Mounts {
			out = append(out, m.Type+" "+m.Source+" "+strings.Join(m.Options, ","))
		}
		return strings.Join(out, "; ")
	}
	all, one := []plan.IDMap{{Container: 0, Host: 1000, Size: 1}, {Container: 1, Host: 100000, Size: 65536}}, []plan.IDMap{{Container: 0, Host: 1000, Size: 1}}
	for _, c := range []struct {
		name string
		spec *specs.Spec
		gids []plan.IDMap
		want string
	}{
		{"its own namespaces", spec(specs.PIDNamespace, specs.NetworkNamespace), all, "proc proc nosuid; sysfs sysfs ro; devpts devpts newinstance,gid=5"},
		{"one gid", spec(specs.PIDNamespace, specs.NetworkNamespace), one, "proc proc nosuid; sysfs sysfs ro; devpts devpts newinstance"},
		{"--pid host", spec(specs.NetworkNamespace), all, "bind /proc rbind,rprivate,nosuid; sysfs sysfs ro; devpts devpts newinstance,gid=5"},
		{"--network host", spec(specs.PIDNamespace), all, "proc proc nosuid; bind /sys rbind,rprivate,ro; devpts devpts newinstance,gid=5"},
	} {
		if adaptMounts(c.spec, c.gids); shown(c.spec) != c.want {
			t.Errorf("%s: %s, want %s", c.name, shown(c.spec), c.want)
		}
	}
}

func TestDropFileOptions(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	s := &specs.Spec{Mounts: []specs.Mount{
		{Type: "bind", Source: file, Options: []string{"rbind", "ro", "rro"}},
		{Type: "bind", Source: dir, Options: []string{"rbind", "ro", "rro"}},
	}}
	dropFileOptions(s)
	if slices.Contains(s.Mounts[0].Options, "rro") || !slices.Contains(s.Mounts[0].Options, "ro") || !slices.Contains(s.Mounts[1].Options, "rro") {
		t.Errorf("file %v, directory %v", s.Mounts[0].Options, s.Mounts[1].Options)
	}
}

func TestRuntimeEnv(t *testing.T) {
	got := runtimeEnv([]string{"PATH=/bin", "NOTIFY_SOCKET=/run/x", "LISTEN_FDS=1", "HOME=/root", "PATHS=/x", "XDG_RUNTIME_DIR=/run/user/1"})
	if want := []string{"PATH=/bin", "HOME=/root", "XDG_RUNTIME_DIR=/run/user/1"}; !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
}

func TestStartErrorNamesTheCommand(t *testing.T) {
	for _, c := range []struct {
		e    StartError
		want string
	}{
		{StartError{"crun create: open executable: Permission denied", 126}, `execute "tool": crun create: open executable: Permission denied`},
		{StartError{`runc create: exec: "tool": not found`, 127}, `runc create: exec: "tool": not found`},
		{StartError{"crun create: no space left", 125}, "crun create: no space left"},
	} {
		if c.e.name([]string{"tool", "x"}); c.e.Message != c.want {
			t.Errorf("%q, want %q", c.e.Message, c.want)
		}
	}
}

// TestBoundCapabilities expects what this process may have to stay, and nothing to stay where it may have nothing.
func TestBoundCapabilities(t *testing.T) {
	shared := []string{"CAP_CHOWN", "CAP_KILL"}
	c := &specs.LinuxCapabilities{Bounding: shared, Permitted: shared, Effective: shared}
	boundCapabilities(c)
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(status), "CapBnd:\t0000000000000000") {
		if len(c.Bounding)+len(c.Permitted)+len(c.Effective) != 0 {
			t.Errorf("kept %v of an empty bounding set", c)
		}
	} else if len(c.Bounding) != 2 || len(c.Permitted) != 2 || len(c.Effective) != 2 {
		t.Errorf("lost some of %v: %+v", shared, c)
	}
}
