package rootless

import (
	"errors"
	"fmt"
	"os"
	"os/user"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// me is the name by which subuid(5) knows the user of the test.
func me(t *testing.T) string {
	t.Helper()
	if u, err := user.LookupId(strconv.Itoa(os.Getuid())); err == nil {
		return u.Username
	}
	return strconv.Itoa(os.Getuid())
}

func TestSubIDs(t *testing.T) {
	t.Setenv("PATH", "") // no getsubids
	name, uid := me(t), strconv.Itoa(os.Getuid())
	for text, want := range map[string][]idRange{
		"":                                    nil,
		name + ":100000:65536\n":              {{100000, 65536}},
		name + ":100000:65536":                {{100000, 65536}}, // no line end
		"  " + name + ":7:8 \n":               {{7, 8}},
		uid + ":100000:65536\n":               {{100000, 65536}},
		name + ":5:1\n" + uid + ":9:2\n":      {{5, 1}, {9, 2}},
		"x" + name + ":5:1\n":                 nil,
		"other:1:2\n" + name + ":3:4\n":       {{3, 4}},
		"# " + name + ":100000:65536\n":       nil,
		name + ":100000\n":                    nil,
		name + ":100000:65536:1\n":            nil,
		name + ":x:65536\n":                   nil,
		name + ":100000:\n":                   nil,
		name + ":0:65536\n":                   nil, // the host's root is nobody's subordinate
		name + ":100000:0\n":                  nil,
		name + ":-5:10\n" + name + ":5:-10\n": nil,
		name + ":99999999999999999999:1\n":    nil,
		name + ":4294967295:2\n":              nil, // ends beyond the last uid
	} {
		file := filepath.Join(t.TempDir(), "subuid")
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		got, err := subIDs(file, os.Getuid(), false)
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%q: %v, %v; want %v", text, got, err, want)
		}
	}
	if got, err := subIDs(filepath.Join(t.TempDir(), "none"), os.Getuid(), false); err != nil || got != nil {
		t.Errorf("no file: %v, %v", got, err)
	}
	// What can't be read must not pass for a user without subordinate ids.
	if got, err := subIDs(t.TempDir(), os.Getuid(), false); !errors.Is(err, unix.EISDIR) {
		t.Errorf("a directory in its place: %v, %v", got, err)
	}
}

// TestSubIDsOfNSS has a getsubids that prints what shadow's does where NSS keeps the ids.
func TestSubIDsOfNSS(t *testing.T) {
	dir := t.TempDir()
	script := "#!/bin/sh\nif [ \"$1\" = -g ]; then shift; base=700000; else base=200000; fi\n" +
		"[ \"$1\" = " + me(t) + " ] || exit 1\necho \"0: $1 $base 65536\"\necho \"1: $1 $((base+100000)) 10\"\n"
	if err := os.WriteFile(filepath.Join(dir, "getsubids"), []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", dir+":/bin:/usr/bin")
	none := filepath.Join(dir, "none")
	if got, err := subIDs(none, os.Getuid(), false); err != nil || !reflect.DeepEqual(got, []idRange{{200000, 65536}, {300000, 10}}) {
		t.Errorf("uids: %v, %v", got, err)
	}
	if got, err := subIDs(none, os.Getuid(), true); err != nil || !reflect.DeepEqual(got, []idRange{{700000, 65536}, {800000, 10}}) {
		t.Errorf("gids: %v, %v", got, err)
	}
	// The file has the first word.
	if err := os.WriteFile(none, []byte(me(t)+":5:6\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if got, err := subIDs(none, os.Getuid(), false); err != nil || !reflect.DeepEqual(got, []idRange{{5, 6}}) {
		t.Errorf("with a file: %v, %v", got, err)
	}
}

func FuzzSubIDs(f *testing.F) {
	f.Add("root:100000:65536\nann:1:2")
	f.Add("0:1:9223372036854775807\n0:9223372036854775807:1\n")
	f.Fuzz(func(t *testing.T, text string) {
		file := filepath.Join(t.TempDir(), "subuid")
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		t.Setenv("PATH", "")
		ranges, err := subIDs(file, 0, false)
		if err != nil {
			return
		}
		for _, r := range ranges {
			if r.start <= 0 || r.size <= 0 || r.start+r.size > 1<<32-1 {
				t.Errorf("%q: %+v is no range of uids", text, r)
			}
		}
	})
}

// newNamespace starts a process in a user namespace that nothing maps yet.
func newNamespace(t *testing.T) int {
	t.Helper()
	cmd := helper(t, "wait")
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWUSER}
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); errors.Is(err, unix.EPERM) || errors.Is(err, unix.ENOSPC) {
		t.Skip("needs user namespaces, which this host refuses:", err)
	} else if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { in.Close(); cmd.Wait() })
	return cmd.Process.Pid
}

func readFields(t *testing.T, pid int, file string) []string {
	t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/%s", pid, file))
	if err != nil {
		t.Fatal(err)
	}
	return strings.Fields(string(b))
}

func TestMapOne(t *testing.T) {
	pid := newNamespace(t)
	if err := mapOne(pid, os.Getuid(), os.Getgid()); err != nil {
		t.Fatal(err)
	}
	for file, id := range map[string]int{"uid_map": os.Getuid(), "gid_map": os.Getgid()} {
		if got := readFields(t, pid, file); !slices.Equal(got, []string{"0", strconv.Itoa(id), "1"}) {
			t.Errorf("%s is %v", file, got)
		}
	}
	if got := readFields(t, pid, "setgroups"); got[0] != "deny" {
		t.Errorf("setgroups is %v", got)
	}
	if err := mapOne(pid, os.Getuid(), os.Getgid()); !errors.Is(err, ErrUserNS) {
		t.Errorf("mapped twice: %v", err)
	}
}

// TestMapIDs maps what this user has: its subordinate ids from 1 up, or, said aloud, itself alone.
func TestMapIDs(t *testing.T) {
	uids, gids, err := SubIDs(os.Getuid())
	if err != nil {
		t.Fatal(err)
	}
	pid := newNamespace(t)
	var warned error
	if err := mapIDs(pid, func(err error) { warned = err }); err != nil {
		t.Fatal(err)
	}
	single := uids == 0 || gids == 0
	if errors.Is(warned, ErrNoSubIDs) != single {
		t.Errorf("%d and %d subordinate ids: warned %v", uids, gids, warned)
	}
	for file, n := range map[string]int{"uid_map": uids, "gid_map": gids} {
		f := readFields(t, pid, file)
		total := 0
		for i := 0; i+2 < len(f); i += 3 {
			size, _ := strconv.Atoi(f[i+2])
			total += size
		}
		if want := 1 + n; single && total != 1 || !single && total != want {
			t.Errorf("%s maps %d ids: %v", file, total, f)
		}
		if f[0] != "0" || f[2] != "1" {
			t.Errorf("%s: 0 is not the user alone: %v", file, f)
		}
	}
}

func TestMapperIsMissing(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	if err := Mappers()[0].run(os.Getpid(), os.Getuid(), []idRange{{100000, 1}}); !errors.Is(err, ErrNoMapper) {
		t.Errorf("without newuidmap: %v", err)
	}
}

// TestMapperRefuses: what newuidmap says of a range that is not the user's is passed on.
func TestMapperRefuses(t *testing.T) {
	if os.Getuid() == 0 {
		t.Skip("needs an unprivileged user: newuidmap lets root map anything")
	}
	pid := newNamespace(t)
	err := Mappers()[0].run(pid, os.Getuid(), []idRange{{1, 5}})
	if errors.Is(err, ErrNoMapper) {
		t.Skip("needs newuidmap (the package uidmap)")
	}
	if err == nil || !strings.Contains(err.Error(), "newuidmap") || !strings.Contains(err.Error(), "not allowed") {
		t.Errorf("the host's system users as subordinates: %v", err)
	}
}

// TestOuterUser: the word of the environment on who called counts only for one who is root already.
func TestOuterUser(t *testing.T) {
	if Joined() {
		t.Skip("needs to run outside of proa's user namespace: a pause process of this user's runs, which this program joined")
	}
	t.Setenv(outerUIDEnv, "4242")
	root := os.Geteuid() == 0
	if Inside() != root {
		t.Errorf("euid %d: inside is %v", os.Geteuid(), Inside())
	}
	if got := OuterUID(); root && got != 4242 || !root && got != os.Getuid() {
		t.Errorf("the outer user is %d", got)
	}
	if root {
		env := ChildEnv([]string{"A=1", outerUIDEnv + "=1", "B=2"})
		if !slices.Equal(env, []string{"A=1", "B=2", outerUIDEnv + "=4242"}) {
			t.Errorf("the child's environment: %v", env)
		}
	}
	os.Unsetenv(outerUIDEnv)
	if Inside() {
		t.Error("inside without a word of it")
	}
	if env := ChildEnv([]string{"A=1"}); !slices.Equal(env, []string{"A=1"}) {
		t.Errorf("outside, a child gets %v", env)
	}
}

// TestEnter goes the whole way: no pause process, one is started, the program executes itself and joins; the next
// finds it; when the pause process was killed the next starts another.
func TestEnter(t *testing.T) {
	if os.Getuid() == 0 {
		t.Skip("needs an unprivileged user: root does not enter a user namespace")
	}
	newNamespace(t) // or skip
	xdg := t.TempDir()
	run := filepath.Join(xdg, "proa")
	if err := os.Mkdir(run, 0o700); err != nil {
		t.Fatal(err)
	}
	enter := func() string {
		t.Helper()
		out, err := helper(t, "enter:"+run, "XDG_RUNTIME_DIR="+xdg).Output()
		if err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		return string(out)
	}
	t.Cleanup(func() {
		if pid := Holder(pauseLock(run)); pid != 0 {
			syscall.Kill(pid, syscall.SIGKILL)
		}
	})
	want := fmt.Sprintf("euid 0, outer %d, joined true, rootless true\nmap", os.Getuid())
	uids, gids, err := SubIDs(os.Getuid())
	if err != nil {
		t.Fatal(err)
	}
	if out := enter(); !strings.Contains(out, want) || strings.Contains(out, "warned of single id") != (uids == 0 || gids == 0) {
		t.Errorf("the first says %q, want %q", out, want)
	}
	first := Holder(pauseLock(run))
	if out := enter(); first == 0 || !strings.HasPrefix(out, want) || Holder(pauseLock(run)) != first {
		t.Errorf("the second says %q; the pause process was %d and is %d", out, first, Holder(pauseLock(run)))
	}
	if err := syscall.Kill(first, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	for Holder(pauseLock(run)) == first { // it may take its time to die
	}
	if out := enter(); !strings.Contains(out, want) || Holder(pauseLock(run)) == 0 {
		t.Errorf("the third, after a kill, says %q", out)
	}
}
