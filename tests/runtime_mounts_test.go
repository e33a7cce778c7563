package tests

import (
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"

	"github.com/proa-containers/proa/tests/harness"
)

// TestRuntimeInheritedMounts: without a mount namespace of its own, a container has its mounts and its root, an exec in it
// too, and the host has none of them when it is deleted.
func TestRuntimeInheritedMounts(t *testing.T) {
	harness.Requires(t, "root")
	r := newRuntime(t, true)
	c := r.container(t, func(s *specs.Spec) {
		s.Linux.Namespaces = slices.DeleteFunc(s.Linux.Namespaces, func(n specs.LinuxNamespace) bool { return n.Type == specs.MountNamespace })
	}, "sleep", "1000")
	c.create()
	c.do("start").OK(t)
	if mounts, err := os.ReadFile("/proc/self/mounts"); err != nil || !strings.Contains(string(mounts), c.dir+"/rootfs/proc proc") {
		t.Errorf("the container's mounts are not in the namespace it inherits: %s %v", mounts, err)
	}
	out := r.command(c.dir, r.path, "exec", c.id, "sh", "-c", "echo /* && echo /proc/self/stat").OK(t).Out()
	equal(t, "the root of an exec", out, "/bin /dev /proc /sys\n/proc/self/stat")
	c.do("delete", "--force").OK(t)
	if mounts, err := os.ReadFile("/proc/self/mounts"); err != nil || strings.Contains(string(mounts), c.dir) {
		t.Errorf("mounts are left: %s %v", mounts, err)
	}
}
