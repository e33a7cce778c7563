package libpod

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/proa-containers/proa/oci/monitor"
	"github.com/proa-containers/proa/oci/spec"
)

var update = flag.Bool("update", false, "write the golden files")

// TestInspect compares the JSON of a container that uses what there is, and of one that uses nothing, with testdata.
func TestInspect(t *testing.T) {
	day := time.Date(2030, 1, 2, 3, 4, 5, 6, time.UTC)
	minimal := &Container{ID: strings.Repeat("0a", 32), Name: "minimal", Created: day, Rootfs: "/srv/root", Log: monitor.Log{Driver: "none"}}
	minimal.Config.Process.Args = []string{"true"}
	full := &Container{
		ID: strings.Repeat("0b", 32), Name: "full", Image: "docker.io/library/alpine:3", ImageID: strings.Repeat("c", 64), Created: day,
		Rootfs: "/srv/root", Stdin: true, Terminal: true, Log: monitor.Log{Driver: "json-file", Path: "/log", MaxSize: 1 << 20, MaxFiles: 3, Options: map[string]string{"max-size": "1048576"}},
		StopSignal: "SIGQUIT", StopTimeout: new(7), Labels: map[string]string{"a": "1"}, Annotations: map[string]string{"b": "2"}, Runtime: "crun",
		Last: &Run{StartedAt: day, FinishedAt: day.Add(time.Minute), ExitCode: 137, OOMKilled: true, Error: "why"},
		Config: spec.Config{
			Process: spec.Process{
				Args: []string{"/entry", "cmd", "arg"}, Entrypoint: []string{"/entry"}, Cmd: []string{"cmd", "arg"}, Env: []string{"A=1"}, Cwd: "/work",
				User: "ann:users", Groups: []string{"video"}, Init: true, Sysctls: map[string]string{"net.ipv4.ip_forward": "1"},
			},
			Namespaces: spec.Namespaces{PID: "host", Network: "none", IPC: "private", UTS: "host", Cgroup: "private", Hostname: "box", Domainname: "example", ExtraHosts: []string{"db:10.0.0.1"}},
			Security:   spec.Security{CapAdd: []string{"CAP_SYS_PTRACE"}, CapDrop: []string{"CAP_MKNOD"}, NoNewPrivileges: true, Seccomp: "/profile.json", AppArmor: "p"},
			Mounts: spec.Mounts{ReadonlyRoot: true, ShmSize: 1 << 20, List: []spec.Mount{
				{Type: "bind", Source: "/src", Target: "/dst", Options: []string{"rbind", "ro"}}, {Type: "bind", Source: "/a", Target: "/b"}, {Type: "tmpfs", Target: "/tmp"},
			}},
			Resources: spec.Resources{Memory: 1 << 28, MemorySwap: 1 << 29, CPUs: 1.5, PidsLimit: 100},
			Health:    &spec.Health{Test: []string{"CMD", "true"}, Interval: time.Second},
		},
	}
	e := newEngine(t)
	for _, c := range []*Container{minimal, full} {
		r, err := c.record()
		if err != nil {
			t.Fatal(err)
		}
		if err := e.state.Add(r); err != nil {
			t.Fatal(err)
		}
		stored, err := e.Lookup(c.Name) // as a command has it
		if err != nil {
			t.Fatal(err)
		}
		got, err := e.Inspect(stored)
		if err != nil {
			t.Fatal(err)
		}
		b, err := json.MarshalIndent(got, "", "    ")
		if err != nil {
			t.Fatal(err)
		}
		b = append(b, '\n')
		golden := filepath.Join("testdata", "inspect-"+c.Name+".json")
		if *update {
			if err := os.WriteFile(golden, b, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(golden)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(b, want) {
			t.Errorf("%s differs from %s (go test -update writes it):\n%s", c.Name, golden, b)
		}
	}
}

// TestInspectRunning has what changes from run to run.
func TestInspectRunning(t *testing.T) {
	e := newEngine(t)
	c := newContainer(t, e, "web")
	_, init := sleeper(t)
	leave(t, e, c, monitor.InitFile, init)
	pid, _ := monitorOf(t, e, c)
	got, err := e.Inspect(c)
	if err != nil {
		t.Fatal(err)
	}
	s := got.State
	if s.Status != "running" || !s.Running || s.Paused || s.Pid != init.PID || s.MonitorPid != pid || !s.StartedAt.Equal(init.StartedAt) {
		t.Errorf("%+v", s)
	}
	if got.HostsPath != filepath.Join(e.runDir(c.ID), "hosts") || got.Config.Hostname != c.ID[:12] {
		t.Errorf("hosts %q, host name %q", got.HostsPath, got.Config.Hostname)
	}
}
