package plan

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// full sets every field, or the test that says so fails: what is forgotten in a tag is lost on the way to the init.
func full() *Plan {
	u32, u64, i := uint32(7), uint64(8), 3
	return &Plan{
		Process: Process{
			Args: []string{"a", "b\x00c", "ü"}, Env: []string{"A=1"}, Cwd: "/w", UID: 1, GID: 2, Groups: []uint32{3, 4}, KeepGroups: true,
			Umask: &u32, Caps: &Caps{1 << 63, 2, 3, 4, 5}, NoNewPrivileges: true, Seccomp: &Seccomp{[]byte{0, 255, 1}, 9},
			Rlimits: []Rlimit{{1, 2, 1<<64 - 1}}, OOMScoreAdj: &i, Terminal: true, ConsoleRows: 24, ConsoleCols: 80, AppArmor: "aa",
			SELinux: "se", Personality: &u64, Scheduler: &Scheduler{1, 2, -3, 4, 5, 6, 7}, IOPriority: &i, CPUs: []byte{1, 128},
		},
		Root:       Root{"/root", true, 1 << 20, true, true},
		Namespaces: []Namespace{{unix.CLONE_NEWNS, "/ns"}},
		UIDMaps:    []IDMap{{1, 2, 3}}, GIDMaps: []IDMap{{4, 5, 1<<32 - 1}}, Hostname: "h", Domainname: "d", Sysctls: []Sysctl{{"k", "v"}},
		Mounts: []Mount{{
			MountBind, "fs", "s", "/d", []string{"x=y"}, 1, 2, 3, 4, 5, true, true, true, true, "/fb", 6, true, []IDMap{{1, 1, 1}}, []IDMap{{2, 2, 2}}, "sub",
		}},
		Devices: []Device{{"/dev/x", 1, 2, 3, 4, "/dev/y"}}, DevLinks: []Link{{"/a", "b"}}, Masked: []string{"/m"}, Readonly: []string{"/r"},
		Hooks: Hooks{true, []Hook{{"/h", []string{"h"}, []string{"E=1"}, 5}}, []Hook{{Path: "/s"}}},
		Time:  []TimeOffset{{"monotonic", -1, 2}}, CgroupDirs: []string{"/cg"}, Prepare: true, Limit: true, JoinFlags: 1, JoinCgroup: true, Late: true, SameMounts: true, Init: true, Lifeline: true,
		FDs: FDs{1, 2, 3, 4, []int{5}},
	}
}

// zeroField is the path of the first field of v that is zero, "" for none.
func zeroField(v reflect.Value, path string) string {
	switch v.Kind() {
	case reflect.Pointer:
		if v.IsNil() {
			return path
		}
		return zeroField(v.Elem(), path)
	case reflect.Struct:
		for i := range v.NumField() {
			if z := zeroField(v.Field(i), path+"."+v.Type().Field(i).Name); z != "" {
				return z
			}
		}
		return ""
	case reflect.Slice:
		if v.Len() == 0 {
			return path
		}
		if v.Index(0).Kind() == reflect.Struct && path != ".Hooks.StartContainer" {
			return zeroField(v.Index(0), path)
		}
		return ""
	}
	if v.IsZero() {
		return path
	}
	return ""
}

func TestEverythingArrives(t *testing.T) {
	in := full()
	if z := zeroField(reflect.ValueOf(in), ""); z != "" {
		t.Fatalf("this test does not set %s", z)
	}
	var b bytes.Buffer
	if err := in.Encode(&b); err != nil {
		t.Fatal(err)
	}
	out, err := Decode(b.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(in, out) {
		t.Errorf("sent  %+v\narrived %+v", in, out)
	}
	o, err := Outline(b.Bytes())
	want := &Plan{Namespaces: in.Namespaces, UIDMaps: in.UIDMaps, GIDMaps: in.GIDMaps, CgroupDirs: in.CgroupDirs, Late: true}
	if err != nil || !reflect.DeepEqual(o, want) {
		t.Errorf("outline %+v, want %+v: %v", o, want, err)
	}
}

// TestNilOrZero: for these a zero is not the same as nothing.
func TestNilOrZero(t *testing.T) {
	zero32, zero, zero64 := uint32(0), 0, uint64(0)
	in := &Plan{Process: Process{Umask: &zero32, OOMScoreAdj: &zero, IOPriority: &zero, Personality: &zero64, Caps: &Caps{}}}
	var b bytes.Buffer
	if err := in.Encode(&b); err != nil {
		t.Fatal(err)
	}
	out, err := Decode(b.Bytes())
	if err != nil || !reflect.DeepEqual(in, out) {
		t.Errorf("arrived as %+v, %v", out, err)
	}
}

func TestDecodeRefuses(t *testing.T) {
	for _, text := range []string{"", "{", "null x", `{"process":{"uid":-1}}`, `{"process":{"uid":4294967296}}`, `{"mounts":{}}`} {
		if p, err := Decode([]byte(text)); err == nil || !strings.Contains(err.Error(), "decode the container's plan") {
			t.Errorf("%q: %+v, %v", text, p, err)
		}
	}
}

func FuzzDecode(f *testing.F) {
	var b bytes.Buffer
	if err := full().Encode(&b); err != nil {
		f.Fatal(err)
	}
	f.Add(b.Bytes())
	f.Add([]byte(`{"process":{"args":[]},"fds":{}}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := Decode(b)
		if err != nil {
			return
		}
		var one, two bytes.Buffer
		if err := p.Encode(&one); err != nil {
			t.Fatalf("what was decoded can't be encoded: %v", err)
		}
		q, err := Decode(one.Bytes())
		if err != nil {
			t.Fatalf("what was encoded can't be decoded: %v", err)
		}
		if err := q.Encode(&two); err != nil || !bytes.Equal(one.Bytes(), two.Bytes()) {
			t.Errorf("%s became %s (%v)", one.Bytes(), two.Bytes(), err)
		}
	})
}

func TestError(t *testing.T) {
	for _, c := range []struct {
		err  Error
		text string
		code int
	}{
		{Error{Step: "mount", Errno: unix.EPERM}, "mount: operation not permitted", 125},
		{Error{Step: "mount", Errno: unix.EPERM, Text: "why"}, "mount: why", 125},
		{Error{Text: "why"}, "why", 125},
		{Error{Step: "mount"}, "mount", 125},
		{Error{Step: "x", Errno: unix.ENOENT, Kind: KindNotFound}, "x: no such file or directory", 127},
		{Error{Step: "x", Errno: unix.EACCES, Kind: KindNotInvokable}, "x: permission denied", 126},
	} {
		if got := c.err.Error(); got != c.text {
			t.Errorf("%+v says %q, want %q", c.err, got, c.text)
		}
		if got := c.err.ExitCode(); got != c.code {
			t.Errorf("%+v has the code %d", c.err, got)
		}
	}
	if !errors.Is(&Error{Errno: unix.ENOENT}, fs.ErrNotExist) || errors.Is(&Error{}, fs.ErrNotExist) {
		t.Error("the errno is not what is unwrapped")
	}
}

func TestHook(t *testing.T) {
	dir := t.TempDir()
	out := filepath.Join(dir, "out")
	sh := func(script string, args ...string) Hook {
		return Hook{Path: "/bin/sh", Args: append([]string{"sh", "-c", script, "hook"}, args...), Env: []string{"OUT=" + out, "PATH=/bin:/usr/bin"}}
	}
	h := sh(`cat > "$OUT"; echo " $1 $HOME" >> "$OUT"`, "arg")
	t.Setenv("HOME", "/not-for-hooks")
	if err := h.Run([]byte(`{"id":"c"}`)); err != nil {
		t.Fatal(err)
	}
	if b, err := os.ReadFile(out); err != nil || string(b) != "{\"id\":\"c\"} arg \n" {
		t.Errorf("the hook was given %q, %v", b, err)
	}
	h = sh("echo out; echo err >&2; exit 3")
	if err := h.Run(nil); err == nil || !strings.Contains(err.Error(), "exit status 3") || !strings.Contains(err.Error(), "out\nerr") {
		t.Errorf("a hook that fails: %v", err)
	}
	h = Hook{Path: "/bin/true"} // neither arguments nor environment
	if err := h.Run(nil); err != nil {
		t.Errorf("without arguments: %v", err)
	}
	h = Hook{Path: filepath.Join(dir, "none")}
	if err := h.Run(nil); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no such program: %v", err)
	}
	// It reads nothing of a state that no pipe holds.
	h = Hook{Path: "/bin/true"}
	if err := h.Run(make([]byte, 1<<20)); err != nil && !errors.Is(err, unix.EPIPE) {
		t.Errorf("a hook that does not read: %v", err)
	}
}

func TestHookTimeout(t *testing.T) {
	h := Hook{Path: "/bin/sleep", Args: []string{"sleep", "600"}, Timeout: 1}
	start := time.Now()
	if err := h.Run(nil); err == nil || !strings.Contains(err.Error(), "killed") {
		t.Errorf("a hook that goes on: %v after %v", err, time.Since(start))
	}
}
