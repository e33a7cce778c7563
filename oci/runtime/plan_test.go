package runtime

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"
	"github.com/proa-containers/proa/oci/plan"
	"golang.org/x/sys/unix"
)

var update = flag.Bool("update", false, "write the golden files")

// hostless are options that depend on no host.
func hostless(userNS bool) Options {
	return Options{
		Bundle: "/bundle", UserNS: userNS, MappedGIDs: []plan.IDMap{{Container: 0, Host: 1000, Size: 1}}, UnifiedCgroup: true,
		DeviceNumber: func(path string) (uint32, uint64, error) {
			if path == "/dev/fuse" || path == "/dev/char/10:229" {
				return unix.S_IFCHR | 0o666, unix.Mkdev(10, 229), nil
			}
			return 0, 0, os.ErrNotExist
		},
		CompileSeccomp: func(s *specs.LinuxSeccomp) ([]byte, uint64, error) {
			if len(s.Syscalls) == 0 {
				return nil, 0, nil
			}
			return []byte("12345678"), 2, nil
		},
	}
}

// TestGolden has the plans of the specification that `proa-runtime spec` writes, as root and without.
func TestGolden(t *testing.T) {
	for _, rootless := range []bool{false, true} {
		name := map[bool]string{false: "rootful", true: "rootless"}[rootless]
		p, err := NewPlan(NewSpec(rootless, 1000, 1000), hostless(false))
		if err != nil {
			t.Fatal(err)
		}
		got, err := json.MarshalIndent(p, "", "\t")
		if err != nil {
			t.Fatal(err)
		}
		golden := filepath.Join("testdata", name+".json")
		if *update {
			if err := os.WriteFile(golden, append(got, '\n'), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(golden)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(append(got, '\n'), want) {
			t.Errorf("%s differs from %s (go test -update writes it):\n%s", name, golden, got)
		}
	}
}

// change is a spec that works, with something changed.
func change(fn func(*specs.Spec)) *specs.Spec {
	s := NewSpec(false, 0, 0)
	s.Process.Terminal = false
	fn(s)
	return s
}

func TestRefused(t *testing.T) {
	uts := func(s *specs.Spec) {
		s.Linux.Namespaces = slices.DeleteFunc(s.Linux.Namespaces, func(n specs.LinuxNamespace) bool { return n.Type == specs.UTSNamespace })
	}
	for text, fn := range map[string]func(*specs.Spec){
		"root is missing":                func(s *specs.Spec) { s.Root = nil },
		"linux is missing":               func(s *specs.Spec) { s.Linux = nil },
		"netDevices":                     func(s *specs.Spec) { s.Linux.NetDevices = map[string]specs.LinuxNetDevice{"eth0": {}} },
		"intelRdt":                       func(s *specs.Spec) { s.Linux.IntelRdt = &specs.LinuxIntelRdt{} },
		`unknown namespace type "x"`:     func(s *specs.Spec) { s.Linux.Namespaces = append(s.Linux.Namespaces, specs.LinuxNamespace{Type: "x"}) },
		`"pid" is there twice`:           func(s *specs.Spec) { s.Linux.Namespaces = append(s.Linux.Namespaces, s.Linux.Namespaces[0]) },
		"hostname needs a uts namespace": uts,
		"needs linux.uidMappings": func(s *specs.Spec) {
			s.Linux.Namespaces = append(s.Linux.Namespaces, specs.LinuxNamespace{Type: specs.UserNamespace})
		},
		"needs a user namespace":      func(s *specs.Spec) { s.Linux.UIDMappings = []specs.LinuxIDMapping{{Size: 1}} },
		"needs a time namespace":      func(s *specs.Spec) { s.Linux.TimeOffsets = map[string]specs.LinuxTimeOffset{"monotonic": {Secs: 1}} },
		`rootfsPropagation "x"`:       func(s *specs.Spec) { s.Linux.RootfsPropagation = "x" },
		`rootfsPropagation "ro"`:      func(s *specs.Spec) { s.Linux.RootfsPropagation = "ro" },
		"the destination is empty":    func(s *specs.Spec) { s.Mounts = []specs.Mount{{Type: "tmpfs"}} },
		"a bind mount needs a source": func(s *specs.Spec) { s.Mounts = []specs.Mount{{Destination: "/x", Type: "bind"}} },
		`unknown option "nope"`: func(s *specs.Spec) {
			s.Mounts = []specs.Mount{{Destination: "/x", Type: "bind", Source: "/s", Options: []string{"nope"}}}
		},
		`"remount" is not supported`: func(s *specs.Spec) {
			s.Mounts = []specs.Mount{{Destination: "/x", Type: "bind", Source: "/s", Options: []string{"remount"}}}
		},
		"tmpcopyup is for a tmpfs": func(s *specs.Spec) {
			s.Mounts = []specs.Mount{{Destination: "/x", Type: "proc", Options: []string{"tmpcopyup"}}}
		},
		"id mappings are for bind": func(s *specs.Spec) {
			s.Mounts = []specs.Mount{{Destination: "/x", Type: "tmpfs", UIDMappings: []specs.LinuxIDMapping{{Size: 1}}}}
		},
		"need both": func(s *specs.Spec) {
			s.Mounts = []specs.Mount{{Destination: "/x", Type: "bind", Source: "/s", UIDMappings: []specs.LinuxIDMapping{{Size: 1}}}}
		},
		`device "x": it needs an`:    func(s *specs.Spec) { s.Linux.Devices = []specs.LinuxDevice{{Path: "x", Type: "c"}} },
		`not "z"`:                    func(s *specs.Spec) { s.Linux.Devices = []specs.LinuxDevice{{Path: "/x", Type: "z"}} },
		"process.args is empty":      func(s *specs.Spec) { s.Process.Args = nil },
		`process.cwd "rel"`:          func(s *specs.Spec) { s.Process.Cwd = "rel" },
		`unknown capability "CAP_X"`: func(s *specs.Spec) { s.Process.Capabilities.Effective = []string{"CAP_X"} },
		`unknown resource limit "X"`: func(s *specs.Spec) { s.Process.Rlimits = []specs.POSIXRlimit{{Type: "X"}} },
		`"RLIMIT_CPU" is there twice`: func(s *specs.Spec) {
			s.Process.Rlimits = []specs.POSIXRlimit{{Type: "RLIMIT_CPU"}, {Type: "RLIMIT_CPU"}}
		},
		"does not enforce AppArmor": func(s *specs.Spec) { s.Process.ApparmorProfile = "p" },
		"does not enforce SELinux":  func(s *specs.Spec) { s.Process.SelinuxLabel = "l" },
		`scheduling policy "X"`:     func(s *specs.Spec) { s.Process.Scheduler = &specs.Scheduler{Policy: "X"} },
		`scheduling flag "X"`: func(s *specs.Spec) {
			s.Process.Scheduler = &specs.Scheduler{Policy: specs.SchedOther, Flags: []specs.LinuxSchedulerFlag{"X"}}
		},
		`priority class "X"`:      func(s *specs.Spec) { s.Process.IOPriority = &specs.LinuxIOPriority{Class: "X", Priority: 1} },
		`personality "X"`:         func(s *specs.Spec) { s.Linux.Personality = &specs.LinuxPersonality{Domain: "X"} },
		"listenerPath":            func(s *specs.Spec) { s.Linux.Seccomp = &specs.LinuxSeccomp{ListenerPath: "/x"} },
		"belongs to no namespace": func(s *specs.Spec) { s.Linux.Sysctl = map[string]string{"kernel.panic": "1"} },
	} {
		p, err := NewPlan(change(fn), hostless(false))
		if text == `unknown option "nope"` || text == "a bind mount needs a source" {
			if err == nil || !strings.Contains(err.Error(), `mount at "/x"`) {
				t.Errorf("%s: the mount is not named: %v", text, err)
			}
		}
		if err == nil || !strings.Contains(err.Error(), text) {
			t.Errorf("want %q: %+v, %v", text, p, err)
		}
	}
}

func TestSysctls(t *testing.T) {
	for name, path := range map[string]string{
		"net.ipv4.ip_forward": "net/ipv4/ip_forward", "net/ipv4/conf/eth0.1/forwarding": "net/ipv4/conf/eth0.1/forwarding",
		"net.ipv4.conf.eth0/1.forwarding": "net/ipv4/conf/eth0.1/forwarding", "kernel.shmmax": "kernel/shmmax", "fs.mqueue.msg_max": "fs/mqueue/msg_max",
		"kernel.domainname": "kernel/domainname",
	} {
		p, err := NewPlan(change(func(s *specs.Spec) { s.Linux.Sysctl = map[string]string{name: "1"} }), hostless(false))
		if err != nil || len(p.Sysctls) != 1 || p.Sysctls[0] != (plan.Sysctl{Path: path, Value: "1"}) {
			t.Errorf("%s: %v, %v", name, p, err)
		}
	}
	for name, ns := range map[string]specs.LinuxNamespaceType{
		"net.ipv4.ip_forward": specs.NetworkNamespace, "kernel.shmmax": specs.IPCNamespace, "fs.mqueue.msg_max": specs.IPCNamespace,
	} {
		_, err := NewPlan(change(func(s *specs.Spec) {
			s.Linux.Sysctl = map[string]string{name: "1"}
			s.Linux.Namespaces = slices.DeleteFunc(s.Linux.Namespaces, func(n specs.LinuxNamespace) bool { return n.Type == ns })
		}), hostless(false))
		if err == nil || !strings.Contains(err.Error(), "would change the host") {
			t.Errorf("%s without a %s namespace: %v", name, ns, err)
		}
	}
	// Neither dots nor slashes lead out of the namespace's part of /proc/sys.
	for _, name := range []string{"net/../kernel/panic", "net.//.kernel.panic", "net/ipv4/../../kernel/panic", "fs/mqueue/../file-max", "user/../kernel/panic"} {
		p, err := NewPlan(change(func(s *specs.Spec) { s.Linux.Sysctl = map[string]string{name: "1"} }), hostless(false))
		if err == nil {
			t.Errorf("%s is taken for %+v", name, p.Sysctls)
		}
	}
}

func TestMountFlags(t *testing.T) {
	for _, c := range []struct {
		options []string
		want    plan.Mount
	}{
		{[]string{"bind", "ro"}, plan.Mount{Set: unix.MOUNT_ATTR_RDONLY}},
		{[]string{"rbind", "rro"}, plan.Mount{Recursive: true, RecSet: unix.MOUNT_ATTR_RDONLY}},
		{[]string{"bind", "ro", "rw"}, plan.Mount{Clear: unix.MOUNT_ATTR_RDONLY}},
		{[]string{"bind", "rw", "ro"}, plan.Mount{Set: unix.MOUNT_ATTR_RDONLY}},
		{[]string{"nosuid", "nodev", "noexec", "exec"}, plan.Mount{Set: unix.MOUNT_ATTR_NOSUID | unix.MOUNT_ATTR_NODEV, Clear: unix.MOUNT_ATTR_NOEXEC}},
		{[]string{"bind", "rslave"}, plan.Mount{Propagation: unix.MS_SLAVE, PropagationRec: true}},
		{[]string{"bind", "private"}, plan.Mount{Propagation: unix.MS_PRIVATE}},
		{[]string{"bind", "src-nofollow"}, plan.Mount{NoFollow: true}},
	} {
		s := change(func(s *specs.Spec) {
			s.Mounts = []specs.Mount{{Destination: "x/../y", Type: "bind", Source: "rel", Options: c.options}}
		})
		p, err := NewPlan(s, hostless(false))
		c.want.Kind, c.want.Source, c.want.Dest = plan.MountBind, "/bundle/rel", "/y"
		if err != nil || !reflect.DeepEqual(p.Mounts[0], c.want) {
			t.Errorf("%v: %+v, %v", c.options, p.Mounts, err)
		}
	}
}

// TestInUserNamespace: what only the host's root may do is done otherwise.
func TestInUserNamespace(t *testing.T) {
	fuse := specs.LinuxDevice{Path: "/dev/fuse", Type: "c", Major: 10, Minor: 229}
	elsewhere := specs.LinuxDevice{Path: "/dev/other", Type: "c", Major: 10, Minor: 229}
	adj := -500
	p, err := NewPlan(change(func(s *specs.Spec) {
		s.Linux.Devices = []specs.LinuxDevice{fuse, elsewhere, {Path: "/dev/pipe", Type: "p"}}
		s.Process.OOMScoreAdj = &adj
	}), hostless(true))
	if err != nil {
		t.Fatal(err)
	}
	binds := map[string]string{}
	for _, d := range p.Devices {
		binds[d.Path] = d.Bind
	}
	want := map[string]string{
		"/dev/fuse": "/dev/fuse", "/dev/other": "/dev/char/10:229", "/dev/pipe": "", "/dev/null": "/dev/null", "/dev/zero": "/dev/zero",
		"/dev/full": "/dev/full", "/dev/random": "/dev/random", "/dev/urandom": "/dev/urandom", "/dev/tty": "/dev/tty",
	}
	if !reflect.DeepEqual(binds, want) {
		t.Errorf("devices %v", binds)
	}
	if *p.Process.OOMScoreAdj != 0 {
		t.Errorf("oom_score_adj %d is below the caller's", *p.Process.OOMScoreAdj)
	}
	for _, m := range p.Mounts {
		if m.FSType == "devpts" && slices.ContainsFunc(m.Data, func(o string) bool { return strings.HasPrefix(o, "gid=") }) {
			t.Errorf("devpts with a gid that is not mapped: %v", m.Data)
		}
		if m.FSType == "cgroup2" && m.Fallback != "/sys/fs/cgroup" {
			t.Errorf("cgroup has the fallback %q", m.Fallback)
		}
		if m.Dest == "/sys" && m.Fallback != "" {
			t.Errorf("/sys has the fallback %q though the network is its own", m.Fallback)
		}
	}
	_, err = NewPlan(change(func(s *specs.Spec) {
		s.Linux.Devices = []specs.LinuxDevice{{Path: "/dev/sda", Type: "b", Major: 8}}
	}), hostless(true))
	if err == nil || !strings.Contains(err.Error(), "none with the number 8:0") {
		t.Errorf("a device that the host has not: %v", err)
	}
}

func TestIDMapNumbers(t *testing.T) {
	ids := []specs.LinuxIDMapping{{Size: 1}}
	mapped := specs.Mount{Destination: "/m", Type: "bind", Source: "/s", UIDMappings: ids, GIDMappings: ids}
	plain := specs.Mount{Destination: "/p", Type: "bind", Source: "/s"}
	p, err := NewPlan(change(func(s *specs.Spec) { s.Mounts = []specs.Mount{plain, mapped, plain, mapped} }), hostless(false))
	if err != nil || p.Mounts[0].IDMap != 0 || p.Mounts[1].IDMap != 1 || p.Mounts[2].IDMap != 0 || p.Mounts[3].IDMap != 2 {
		t.Errorf("%+v, %v", p, err)
	}
}

func TestCPUMask(t *testing.T) {
	for list, want := range map[string][]int{"0": {0}, "0-3,8": {0, 1, 2, 3, 8}, " 1 , 9-10": {1, 9, 10}, "1023": {1023}} {
		mask, err := cpuMask(list)
		var got []int
		for i := range len(mask) * 8 {
			if mask[i/8]>>(i%8)&1 == 1 {
				got = append(got, i)
			}
		}
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("%q: %v, %v", list, got, err)
		}
	}
	for _, list := range []string{"", ",", "a", "1-", "-1", "3-1", "1024", "0-9999999999", "1,,2"} {
		if _, err := cpuMask(list); err == nil {
			t.Errorf("%q is taken", list)
		}
	}
}

func TestVersions(t *testing.T) {
	for v, ok := range map[string]bool{"1.0.0": true, "1.2.1": true, "1.0.2-dev": true, "": false, "1": false, "2.0.0": false, "0.9.0": false, "x.y.z": false} {
		if err := checkVersion(v); (err == nil) != ok {
			t.Errorf("%q: %v", v, err)
		}
	}
	if _, err := LoadSpec(t.TempDir()); err == nil || !strings.Contains(err.Error(), "no config.json") {
		t.Errorf("an empty bundle: %v", err)
	}
}

// FuzzPlan makes a plan of any config.json: an error, or a plan that arrives as it was and names nothing relative.
func FuzzPlan(f *testing.F) {
	for _, rootless := range []bool{false, true} {
		b, err := json.Marshal(NewSpec(rootless, 1000, 1000))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Add([]byte(`{"ociVersion":"1.0.0","root":{"path":"r"},"linux":{"namespaces":[{"type":"mount"}],"sysctl":{"net.a/b":"1"}},"mounts":[{"destination":"../x","type":"bind","source":"s"}]}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		s := new(specs.Spec)
		if json.Unmarshal(b, s) != nil {
			return
		}
		for _, userNS := range []bool{false, true} {
			p, err := NewPlan(s, hostless(userNS))
			if err != nil {
				continue
			}
			var buf bytes.Buffer
			if err := p.Encode(&buf); err != nil {
				t.Fatal(err)
			}
			if _, err := plan.Decode(buf.Bytes()); err != nil {
				t.Fatal(err)
			}
			for _, m := range p.Mounts {
				if m.Dest != filepath.Clean(m.Dest) || !filepath.IsAbs(m.Dest) || m.Kind == plan.MountBind && !filepath.IsAbs(m.Source) {
					t.Errorf("mount %+v", m)
				}
			}
			for _, c := range p.Sysctls {
				if filepath.IsAbs(c.Path) || strings.Contains("/"+c.Path+"/", "/../") {
					t.Errorf("sysctl %+v", c)
				}
			}
		}
		if s.Process != nil {
			_, _ = NewProcess(s, s.Process, hostless(true))
		}
	})
}
