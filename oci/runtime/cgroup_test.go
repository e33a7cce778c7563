package runtime

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	devices "github.com/opencontainers/cgroups/devices/config"
	"github.com/opencontainers/runtime-spec/specs-go"
)

func TestSharedMounts(t *testing.T) {
	s := command()
	p, err := NewPlan(s, Options{})
	if err != nil || !p.OwnMounts() || p.SharedMounts() {
		t.Errorf("a new mount namespace: own %v, shared %v, %v", p.OwnMounts(), p.SharedMounts(), err)
	}
	s.Linux.Namespaces = nil
	s.Hostname = ""
	if p, err = NewPlan(s, Options{}); err != nil || p.OwnMounts() || !p.SharedMounts() || len(p.Devices) == 0 {
		t.Errorf("an inherited one: own %v, shared %v, devices %v, %v", p.OwnMounts(), p.SharedMounts(), p.Devices, err)
	}
	s.Mounts, s.Linux.MaskedPaths, s.Linux.ReadonlyPaths, s.Root.Readonly, s.Process.Terminal = nil, nil, nil, false, false
	if p, err = NewPlan(s, Options{}); err != nil || p.SharedMounts() || len(p.Devices) > 0 {
		t.Errorf("nothing to mount: shared %v, devices %v, %v", p.SharedMounts(), p.Devices, err)
	}
}

func TestConfigLoads(t *testing.T) {
	dir := t.TempDir()
	for config, fails := range map[string]string{
		`{"ociVersion":"1.3.0","root":{"path":"r"},"unknown":{"a":[1]},"windows":{"layerFolders":["x"]}}`: "",
		`{"ociVersion":"2.0.0"}`:            `"2.0.0" is not supported`,
		`{"ociVersion":"invalid"}`:          "is not a version",
		`{"ociVersion":"1.0.2","root":"r"}`: "config.json",
		`{`:                                 "config.json",
	} {
		if err := os.WriteFile(filepath.Join(dir, "config.json"), []byte(config), 0o600); err != nil {
			t.Fatal(err)
		}
		s, err := LoadSpec(dir)
		switch {
		case fails == "" && (err != nil || s.Root.Path != "r"):
			t.Errorf("%s: %+v, %v", config, s, err)
		case fails != "" && (err == nil || !strings.Contains(err.Error(), fails)):
			t.Errorf("%s: error %v, want %q", config, err, fails)
		}
	}
}

func TestApplyInOrder(t *testing.T) {
	minor := int64(3)
	rules := func(d ...specs.LinuxDeviceCgroup) []*devices.Rule {
		r, err := Resources(&specs.LinuxResources{Devices: d})
		if err != nil {
			t.Fatal(err)
		}
		return r.Devices
	}
	deny, one := specs.LinuxDeviceCgroup{Access: "rwm"}, specs.LinuxDeviceCgroup{Allow: true, Type: "c", Major: &minor, Minor: &minor, Access: "r"}
	back := one
	back.Allow = false
	for name, c := range map[string]struct {
		rules []*devices.Rule
		want  bool
	}{
		"the defaults":                 {rules(), true},
		"one device more":              {rules(deny, one), true},
		"no denial first":              {rules(one), false},
		"a denial of what was allowed": {rules(deny, one, back), false},
		"everything after the denial":  {rules(deny, specs.LinuxDeviceCgroup{Allow: true, Access: "rwm"}), false},
	} {
		if got := canApplyInOrder(c.rules); got != c.want {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
	dir := t.TempDir()
	if limited("9223372036854771712\n", 4096) || !limited("4096\n", 5000) || !limited("9223372036854771712", -1) || limited(dir, 1) {
		t.Error("a limit that was taken over is not told from one that was not")
	}
}

func TestLimits(t *testing.T) {
	n, cpus := int64(1), "0"
	r := &specs.LinuxResources{
		Memory: &specs.LinuxMemory{Limit: &n}, CPU: &specs.LinuxCPU{Cpus: cpus}, Pids: &specs.LinuxPids{Limit: &n}, BlockIO: &specs.LinuxBlockIO{},
	}
	if got := strings.Join(Limits(r), " "); got != "memory cpuset pids block I/O" {
		t.Errorf("limits %q", got)
	}
	if got := Limits(nil); got != nil {
		t.Errorf("limits %q of nothing", got)
	}
}

// command is a spec that can be planned.
func command() *specs.Spec {
	s := NewSpec(false, 0, 0)
	s.Process.Args = []string{"true"}
	return s
}
