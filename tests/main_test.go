// Package tests owns what proa promises: each test drives the built binaries as an unprivileged user and expects what a
// user of Docker or Podman would. One file per verb. Unit tests stay beside the code. It runs as root, which then makes
// a user, or as an ordinary user.
package tests

import (
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/proa-containers/proa/tests/harness"
)

// env is this run's user; TestMain makes it.
var env *harness.Env

func TestMain(m *testing.M) {
	var err error
	if env, err = harness.New(); err != nil {
		fmt.Fprintln(os.Stderr, "set up the tests:", err)
		os.Exit(1)
	}
	// A shell's background job ignores these, and a child would inherit that; what is caught is reset at exec.
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGHUP, syscall.SIGINT)
	go func() {
		<-stop
		_ = env.Close()
		os.Exit(1)
	}()
	code := m.Run()
	if err := env.Close(); err != nil {
		fmt.Fprintln(os.Stderr, "clean up after the tests:", err)
		if code == 0 {
			code = 1
		}
	}
	os.Exit(code)
}

const image = harness.BaseName

// busybox builds the base image once.
var busybox = sync.OnceValues(harness.Busybox)

func baseImage(t testing.TB) harness.Image {
	t.Helper()
	img, err := busybox()
	if err != nil {
		t.Fatal(err)
	}
	return img
}

// loaded tracks which homes hold the base image.
var loaded = struct {
	sync.Mutex
	homes map[string]bool
}{homes: map[string]bool{}}

// withImage makes sure the base image is in the user's store.
func withImage(t testing.TB, e *harness.Env) *harness.Env {
	t.Helper()
	loaded.Lock()
	defer loaded.Unlock()
	if loaded.homes[e.Home] {
		return e
	}
	file := archive(t, e, "base.tar", baseImage(t).DockerArchive(image))
	e.Proa("load", "-i", file).OK(t)
	loaded.homes[e.Home] = true
	return e
}

// archive writes an archive into a directory of the test.
func archive(t testing.TB, e *harness.Env, name string, content []byte) string {
	t.Helper()
	return e.WriteFile(t, filepath.Join(e.TempDir(t), name), string(content), 0o644)
}

// run prepares `proa run --rm --network=none FLAGS IMAGE COMMAND`; "--" ends the flags.
func run(t testing.TB, args ...string) *harness.Cmd {
	t.Helper()
	flags, cmd := split(args)
	line := append([]string{"run", "--rm"}, offline(flags)...)
	return withImage(t, env).Proa(append(append(line, image), cmd...)...)
}

// offline adds --network=none to flags that say nothing of networks.
func offline(flags []string) []string {
	if slices.ContainsFunc(flags, func(f string) bool { return strings.HasPrefix(f, "--network") }) {
		return flags
	}
	return append([]string{"--network=none"}, flags...)
}

func split(args []string) (flags, cmd []string) {
	for i, a := range args {
		if a == "--" {
			return args[:i], args[i+1:]
		}
	}
	return nil, args
}

// start runs a detached container that is removed when the test ends, and returns its name.
func start(t testing.TB, e *harness.Env, args ...string) string {
	t.Helper()
	name := containerName(t)
	flags, cmd := split(args)
	line := append([]string{"run", "-d", "--name", name}, offline(flags)...)
	withImage(t, e).Proa(append(append(line, image), cmd...)...).OK(t)
	removeLater(t, e, name)
	return name
}

// removeLater removes the container when the test ends, if it is still there.
func removeLater(t testing.TB, e *harness.Env, name string) {
	t.Cleanup(func() { e.Proa("rm", "-f", name).Run(t) })
}

var names = struct {
	sync.Mutex
	n int
}{}

func containerName(t testing.TB) string {
	names.Lock()
	defer names.Unlock()
	names.n++
	clean := strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' {
			return r
		}
		return '-'
	}, t.Name())
	return fmt.Sprintf("%.40s-%d", clean, names.n)
}

// ownError stands for 1, which Docker's verbs on containers exit with, and for 125, which Podman's do.
const ownError = -1

// refused wants code, and one sentence on stderr that holds every word of want, no Go trace and nothing on stdout.
func refused(t testing.TB, c *harness.Cmd, code int, want ...string) harness.Result {
	t.Helper()
	r := c.Run(t)
	if r.Code != code && (code != ownError || r.Code != 1 && r.Code != 125) {
		t.Errorf("%s: exit code %d, want %d\nstdout: %s\nstderr: %s", c, r.Code, code, r.Stdout, r.Stderr)
	}
	for _, w := range want {
		if !strings.Contains(r.Stderr, w) {
			t.Errorf("%s: the error does not name %q: %s", c, w, r.Stderr)
		}
	}
	if r.Stderr == "" || strings.Contains(r.Stderr, "goroutine ") || strings.Contains(r.Stderr, "%!") {
		t.Errorf("%s: not an error a user can read: %q", c, r.Stderr)
	}
	return r
}

// equal fails the test when got is not want.
func equal(t testing.TB, what, got, want string) {
	t.Helper()
	if got != want {
		t.Errorf("%s: %q, want %q", what, got, want)
	}
}

// field is the value of a "Key:\tvalue" line, as in /proc/self/status.
func field(text, key string) string {
	for _, l := range strings.Split(text, "\n") {
		if v, ok := strings.CutPrefix(l, key+":"); ok {
			return strings.TrimSpace(v)
		}
	}
	return ""
}
