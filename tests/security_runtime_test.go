package tests

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"

	"github.com/proa-containers/proa/tests/harness"
)

// bundle prepares `proa-runtime run` of a root filesystem with a config.json that change may make hostile.
func bundle(t testing.TB, root string, change func(s *specs.Spec), args ...string) *harness.Cmd {
	t.Helper()
	dir := filepath.Dir(root)
	spec := env.Command("proa-runtime", "spec", "--rootless")
	spec.Dir = env.TempDir(t)
	spec.OK(t)
	b, err := os.ReadFile(filepath.Join(spec.Dir, "config.json"))
	if err != nil {
		t.Fatal(err)
	}
	s := &specs.Spec{}
	if err := json.Unmarshal(b, s); err != nil {
		t.Fatal(err)
	}
	s.Process.Terminal = false
	s.Process.Args = args
	s.Root.Readonly = false
	if change != nil {
		change(s)
	}
	if b, err = json.Marshal(s); err != nil {
		t.Fatal(err)
	}
	env.WriteFile(t, filepath.Join(dir, "config.json"), string(b), 0o644)
	id := containerName(t)
	t.Cleanup(func() { env.Command("proa-runtime", "delete", "--force", id).Run(t) })
	return env.Command("proa-runtime", "run", "--bundle", dir, id)
}

func without(s *specs.Spec, destinations ...string) {
	s.Mounts = slices.DeleteFunc(s.Mounts, func(m specs.Mount) bool {
		return slices.ContainsFunc(destinations, func(d string) bool { return m.Destination == d || strings.HasPrefix(m.Destination, d+"/") })
	})
}

// TestRuntimeCVE2025_31133 has no tmpfs at /dev, so that the image's /dev/null is there when paths are masked.
func TestRuntimeCVE2025_31133(t *testing.T) {
	for _, to := range []string{"/proc/sys/kernel/core_pattern", "/etc/passwd", "/nowhere"} {
		root := rootfs(t, func(root string) { symlink(t, to, root, "dev/null") })
		c := bundle(t, root, func(s *specs.Spec) {
			without(s, "/dev")
			s.Linux.MaskedPaths = append(s.Linux.MaskedPaths, "/etc/group")
		}, "/bin/true")
		refused(t, c, ownError, "/dev/null")
		if l, err := os.Readlink(filepath.Join(root, "dev/null")); err != nil || l != to {
			t.Errorf("/dev/null -> %s became %q: %v", to, l, err)
		}
	}
}

// TestRuntimeCVE2024_21626 has a config.json with a descriptor as the working directory.
func TestRuntimeCVE2024_21626(t *testing.T) {
	root := rootfs(t, nil)
	equal(t, "an ordinary directory", bundle(t, root, func(s *specs.Spec) { s.Process.Cwd = "/etc" }, "pwd").OK(t).Out(), "/etc")
	for n := 3; n <= 20; n++ {
		c := bundle(t, root, func(s *specs.Spec) { s.Process.Cwd = "/proc/self/fd/" + strconv.Itoa(n) }, "ls", "..")
		if r := c.Run(t); r.Code == 0 {
			t.Errorf("/proc/self/fd/%d is the working directory: %s", n, r.Stdout)
		}
	}
	equal(t, "descriptors", bundle(t, root, nil, "ls", "/proc/self/fd").OK(t).Out(), "0\n1\n2\n3")
}

// TestRuntimeCVE2023_27561 mounts procfs and sysfs at links (also CVE-2019-19921 and CVE-2023-28642).
func TestRuntimeCVE2023_27561(t *testing.T) {
	for _, dir := range []string{"proc", "sys"} {
		root := rootfs(t, func(root string) { symlink(t, "/srv", root, dir) })
		refused(t, bundle(t, root, nil, "/bin/true"), ownError, "/"+dir)
		root = rootfs(t, func(root string) { symlink(t, "/tmp", root, "deep") })
		c := bundle(t, root, func(s *specs.Spec) {
			for i := range s.Mounts {
				if s.Mounts[i].Destination == "/"+dir {
					s.Mounts[i].Destination = "/deep/" + dir
				}
			}
			without(s, "/sys")
		}, "/bin/true")
		refused(t, c, ownError, "/deep/"+dir)
	}
}

// TestRuntimeCVE2025_52881 prepares a /proc of a tmpfs, whose files lead what is written to labels elsewhere.
func TestRuntimeCVE2025_52881(t *testing.T) {
	tmpfs := func(at string) func(s *specs.Spec) {
		return func(s *specs.Spec) {
			s.Mounts = append(s.Mounts, specs.Mount{Destination: at, Type: "tmpfs", Source: "tmpfs"})
			s.Linux.Sysctl = map[string]string{"kernel.msgmax": "12345"}
		}
	}
	root := rootfs(t, nil)
	equal(t, "a tmpfs elsewhere", bundle(t, root, tmpfs("/srv"), "cat", "/proc/sys/kernel/msgmax").OK(t).Out(), "12345")
	for _, at := range []string{"/proc", "/proc/self", "/proc/self/attr", "/proc/sys", "/proc/sys/kernel", "/srv/../proc/sys"} {
		if r := bundle(t, root, tmpfs(at), "/bin/true").Run(t); r.Code == 0 {
			t.Errorf("a tmpfs covers %s", at)
		}
	}
	root = rootfs(t, func(root string) { symlink(t, "/proc/sys", root, "way") })
	if r := bundle(t, root, tmpfs("/way/kernel"), "/bin/true").Run(t); r.Code == 0 {
		t.Error("a tmpfs covers /proc/sys/kernel by way of a link")
	}
}

// TestRuntimeCVE2019_5736 has the command be the runtime, and overwrites it from inside by the runtime's own exec.
func TestRuntimeCVE2019_5736(t *testing.T) {
	before, root := installed(t), rootfs(t, func(root string) {
		env.WriteFile(t, filepath.Join(root, "script"), "#!/proc/self/exe\n", 0o755)
	})
	for _, cmd := range []string{"/proc/self/exe", "/script"} {
		bundle(t, root, nil, cmd).Run(t)
	}
	out := bundle(t, root, nil, "sh", "-c", "/attack exe /proc/1/exe; /attack exe /proc/self/exe").OK(t).Stdout
	equal(t, "the attack reaches an executable", word(out, "open"), "succeeded")
	if string(before) != string(installed(t)) {
		t.Fatal("the container changed bin/proa")
	}
}
