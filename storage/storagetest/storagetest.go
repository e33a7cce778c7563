// Package storagetest owns what the tests of the store and of what stands on it share: a process that is uid 0 of
// namespaces of its own, so that they pass as an ordinary user, and an empty store in it. It runs in tests only.
package storagetest

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/proa-containers/proa/storage"
)

const inside = "PROA_STORAGETEST_INSIDE"

// Main is the TestMain of a package: it runs the tests as uid 0 of a new user and mount namespace. The tests may also
// start /proc/self/exe again, which finds itself inside already.
func Main(m *testing.M) {
	if storage.Reexec() {
		return
	}
	if os.Getenv(inside) != "" {
		os.Exit(m.Run())
	}
	cmd := exec.Command("/proc/self/exe", os.Args[1:]...)
	cmd.Env = append(os.Environ(), inside+"=1")
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWUSER | syscall.CLONE_NEWNS,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}},
	}
	if err := cmd.Run(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// Open makes an empty store that ends with the test, and hides the user's configuration. A size (of tmpfs, such as "16m")
// puts it onto a disk that can be full.
func Open(t testing.TB, size string) *storage.Store {
	t.Helper()
	home, run, graph := t.TempDir(), t.TempDir(), t.TempDir()
	for key, value := range map[string]string{
		"HOME": home, "XDG_RUNTIME_DIR": home, "XDG_CONFIG_HOME": "", "XDG_CACHE_HOME": "", "REGISTRY_AUTH_FILE": "", "DOCKER_CONFIG": "",
		"CONTAINERS_STORAGE_CONF": "/dev/null", "CONTAINERS_REGISTRIES_CONF": "/dev/null",
	} {
		t.Setenv(key, value)
	}
	// The run root is on tmpfs, as XDG_RUNTIME_DIR is.
	mount(t, run, "")
	if size != "" {
		mount(t, graph, "size="+size)
	}
	// A colon, which separates directories in what the driver tells of a layer.
	s, err := storage.Open(context.Background(), storage.Options{GraphRoot: filepath.Join(graph, "root:1"), RunRoot: run, Rootless: true, OuterUID: 4711})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

func mount(t testing.TB, dir, options string) {
	t.Helper()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, options); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
}
