package driver

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// fake is a runtime that is a shell script; tests that run it need the right to make mount namespaces.
func fake(t *testing.T, script string) Runtime {
	t.Helper()
	dir := t.TempDir()
	path := filepath.Join(dir, "fake")
	if err := os.WriteFile(path, []byte("#!/bin/sh\n"+script), 0o755); err != nil {
		t.Fatal(err)
	}
	return Runtime{Args: []string{path, "--global"}, Env: []string{"PATH=/usr/bin:/bin"}, Bundle: dir, ID: "box"}
}

func needMounts(t *testing.T) {
	t.Helper()
	if err := inMounts(func() error { return nil }, func() error { return nil }); errors.Is(err, unix.EPERM) {
		t.Skip("needs the privilege to make a mount namespace: run as root, or with `proa unshare`")
	}
}

func TestCommandLines(t *testing.T) {
	needMounts(t)
	r := fake(t, `echo "$@" >> "$PWD/args"
while test $# -gt 0; do test "$1" = --pid-file && echo 4711 > "$2"; shift; done`)
	if p, err := r.Create(Place{}, Streams{}); err != nil || p.PID != 4711 || p.Console != nil {
		t.Errorf("Create: %+v, %v", p, err)
	}
	if p, err := r.Exec([]byte("{}"), Place{}, Streams{}); err != nil || p.PID != 4711 {
		t.Errorf("Exec: %+v, %v", p, err)
	}
	if err := r.Start(); err != nil {
		t.Error(err)
	}
	if err := r.Delete(); err != nil { // nothing is known: not called
		t.Error(err)
	}
	if err := os.Mkdir(filepath.Join(r.Bundle, stateDir, "box"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := r.Delete(); err != nil {
		t.Error(err)
	}
	b, err := os.ReadFile(filepath.Join(r.Bundle, "args"))
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, l := range strings.Split(strings.TrimSpace(string(b)), "\n") {
		f := strings.Fields(l)
		if len(f) < 8 || f[0] != "--global" || f[1] != "--root" || f[2] != r.Bundle+"/runtime" || f[3] != "--log" || f[5] != "--log-format" || f[6] != "json" {
			t.Fatalf("global arguments of %q", l)
		}
		for i := range f {
			if strings.Contains(f[i], "/exec-") {
				f[i] = "EXEC/" + filepath.Base(f[i])
			}
		}
		got = append(got, strings.ReplaceAll(strings.Join(f[7:], " "), r.Bundle, "BUNDLE"))
	}
	want := []string{
		"create --bundle BUNDLE --pid-file BUNDLE/runtime.pid box",
		"exec --detach --process EXEC/process.json --pid-file EXEC/pid box",
		"start box",
		"delete --force box",
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("command lines:\n%s\nwant:\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if left, _ := filepath.Glob(filepath.Join(r.Bundle, "exec-*")); len(left) > 0 {
		t.Errorf("Exec left %v", left)
	}
}

func TestStreamsAndErrors(t *testing.T) {
	needMounts(t)
	out, err := os.CreateTemp(t.TempDir(), "out")
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	r := fake(t, `echo told; echo '{"level":"warning","msg":"mind the gap"}
{"level":"error","msg":"fake create failed: exec: \"sh\": permission denied"}' > "$5"; exit 1`)
	_, err = r.Create(Place{}, Streams{Out: out})
	var e *Error
	if !errors.As(err, &e) || e.Silent || e.ExitCode() != 126 || err.Error() != `fake create: exec: "sh": permission denied` {
		t.Errorf("the runtime's word: %v", err)
	}
	if b, _ := os.ReadFile(out.Name()); string(b) != "told\n" {
		t.Errorf("standard output %q", b)
	}
	r = fake(t, "exit 3")
	if _, err = r.Create(Place{}, Streams{}); !errors.As(err, &e) || !e.Silent || e.ExitCode() != 125 || !strings.Contains(err.Error(), "exit status 3") {
		t.Errorf("a silent runtime: %v", err)
	}
	r = fake(t, "exit 0")
	if _, err = r.Create(Place{}, Streams{}); err == nil || errors.As(err, new(*Error)) {
		t.Errorf("a runtime without a pid file: %v", err)
	}
	r.Args[0] = filepath.Join(r.Bundle, "none")
	if _, err = r.Create(Place{}, Streams{}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no runtime: %v", err)
	}
}

// TestMountsAreTheRuntimesOwn mounts in the place of a root and looks from inside and outside.
func TestMountsAreTheRuntimesOwn(t *testing.T) {
	needMounts(t)
	dir := t.TempDir()
	before, err := os.Readlink("/proc/self/ns/mnt")
	if err != nil {
		t.Fatal(err)
	}
	for range 20 { // on whatever thread the runtime of Go picks, the main one included
		err := inMounts(func() error { return unix.Mount("tmpfs", dir, "tmpfs", 0, "") }, func() error {
			var fs unix.Statfs_t
			if err := unix.Statfs(dir, &fs); err != nil || fs.Type != unix.TMPFS_MAGIC {
				return fmt.Errorf("inside: type %#x, %v", fs.Type, err)
			}
			if os.Getpid() == unix.Gettid() {
				return errors.New("the main thread has left its namespace for good")
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if after, _ := os.Readlink("/proc/self/ns/mnt"); after != before {
		t.Errorf("the process is in another mount namespace: %s, was %s", after, before)
	}
	b, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil || strings.Contains(string(b), dir) {
		t.Errorf("the mount is seen outside: %v", err)
	}
}

func TestConsole(t *testing.T) {
	long := filepath.Join(t.TempDir(), strings.Repeat("d", 100)) // longer than a socket's path may be
	if err := os.Mkdir(long, 0o700); err != nil {
		t.Fatal(err)
	}
	send := func(message func(fd int) error) (*os.File, error) {
		c, err := listenConsole(long)
		if err != nil {
			t.Fatal(err)
		}
		defer c.close()
		fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM, 0)
		if err != nil {
			t.Fatal(err)
		}
		err = errors.Join(unix.Connect(fd, &unix.SockaddrUnix{Name: c.path}), message(fd), unix.Close(fd))
		if err != nil {
			t.Fatal(err)
		}
		return c.receive()
	}
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	got, err := send(func(fd int) error { return unix.Sendmsg(fd, []byte("/dev/ptmx"), unix.UnixRights(int(w.Fd())), nil, 0) })
	if err != nil {
		t.Fatal(err)
	}
	w.Close()
	got.WriteString("through")
	got.Close()
	b := make([]byte, 10)
	if n, _ := r.Read(b); string(b[:n]) != "through" {
		t.Errorf("the descriptor is another: read %q", b[:n])
	}
	if f, err := send(func(fd int) error { return unix.Sendmsg(fd, []byte("nothing"), nil, nil, 0) }); err == nil {
		t.Errorf("a message without a descriptor: %v", f)
	}
	if left, _ := os.ReadDir(long); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
}
