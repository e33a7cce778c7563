package tests

import (
	"archive/tar"
	"bytes"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/proa-containers/proa/tests/harness"
)

// attacker builds the program of tests/attack once, static, for the containers.
var attacker = sync.OnceValues(func() ([]byte, error) {
	dir, err := os.MkdirTemp("", "attack-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	bin := filepath.Join(dir, "attack")
	build := exec.Command("go", "build", "-o", bin, "./attack")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return out, err
	}
	return os.ReadFile(bin)
})

// rootfs unpacks the base image with /attack in it, as the test's user, and lets the caller change it.
func rootfs(t testing.TB, change func(root string)) string {
	t.Helper()
	bin, err := attacker()
	if err != nil {
		t.Fatalf("build tests/attack: %v: %s", err, bin)
	}
	root := filepath.Join(env.TempDir(t), "rootfs")
	file := env.WriteFile(t, filepath.Join(env.TempDir(t), "l.tar"), string(baseImage(t).Layers[0]), 0o644)
	if err := env.MkdirUser(root, 0o755); err != nil {
		t.Fatal(err)
	}
	env.Command("tar", "-C", root, "--no-same-owner", "-xf", file).OK(t)
	env.WriteFile(t, filepath.Join(root, "attack"), string(bin), 0o755)
	if change != nil {
		change(root)
	}
	return root
}

// inRootfs prepares `proa run --rm --rootfs FLAGS ROOT COMMAND`.
func inRootfs(root string, args ...string) *harness.Cmd {
	flags, cmd := split(args)
	line := append([]string{"run", "--rm", "--network=none", "--rootfs"}, flags...)
	return env.Proa(append(append(line, root), cmd...)...)
}

func symlink(t testing.TB, to string, path ...string) {
	t.Helper()
	p := filepath.Join(path...)
	if err := os.RemoveAll(p); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(to, p); err != nil {
		t.Fatal(err)
	}
}

// word is the value the attacker reports for a key.
func word(out, key string) string {
	for _, l := range strings.Split(out, "\n") {
		if v, ok := strings.CutPrefix(strings.TrimSpace(l), key+" "); ok {
			return v
		}
	}
	return ""
}

func installed(t testing.TB) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(env.Prefix, "bin/proa"))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// empty fails the test when there is anything in dir, which lies outside of the container.
func empty(t testing.TB, what, dir string) {
	t.Helper()
	if left, _ := filepath.Glob(filepath.Join(dir, "*")); len(left) > 0 {
		t.Errorf("%s: made %v outside of the root", what, left)
	}
}

// TestCVE2019_5736Start overwrites proa-init, which --init leaves as the container's first process.
func TestCVE2019_5736Start(t *testing.T) {
	before, root := installed(t), rootfs(t, nil)
	out := inRootfs(root, "--init", "--", "/attack", "exe", "/proc/1/exe").OK(t).Stdout
	equal(t, "the attack reaches the executable", word(out, "open"), "succeeded")
	if !strings.HasPrefix(word(out, "is"), "/memfd:proa-init") {
		t.Errorf("pid 1 runs %q, want a memfd", word(out, "is"))
	}
	const seals = 0x1 | 0x2 | 0x4 | 0x8 // F_SEAL_SEAL, SHRINK, GROW, WRITE
	if n, _ := strconv.Atoi(word(out, "seals")); n&seals != seals || n < 0 {
		t.Errorf("seals %s, want all of %#x", word(out, "seals"), seals)
	}
	for _, k := range []string{"write-rdonly", "write", "mmap", "truncate"} {
		if v := word(out, k); v == "succeeded" || v == "" {
			t.Errorf("%s of the runtime's executable: %q", k, v)
		}
	}
	// The image's command is the runtime itself.
	r := inRootfs(root, "/proc/self/exe", "--version").Run(t)
	if strings.Contains(r.Stdout+r.Stderr, "panic") {
		t.Errorf("/proc/self/exe as the command: %s", r.Stderr)
	}
	if !bytes.Equal(before, installed(t)) {
		t.Fatal("the container changed bin/proa")
	}
}

// TestCVE2019_5736Exec waits in the container for the processes that enter it.
func TestCVE2019_5736Exec(t *testing.T) {
	before, name := installed(t), containerName(t)
	root := rootfs(t, func(root string) {
		env.WriteFile(t, filepath.Join(root, "script"), "#!/proc/self/exe\n", 0o755)
	})
	env.Proa("run", "-d", "--network=none", "--name", name, "--rootfs", root, "/attack", "hunt").OK(t)
	removeLater(t, env, name)
	harness.Eventually(t, "the attacker is ready", func() bool {
		return strings.Contains(env.Proa("logs", name).Run(t).Stdout, "ready")
	})
	for _, cmd := range [][]string{{"/proc/self/exe", "init"}, {"/script"}, {"sleep", "0.1"}, {"/proc/self/exe"}, {"sleep", "0.1"}} {
		env.Proa(append([]string{"exec", name}, cmd...)...).Run(t)
	}
	env.Proa("exec", name, "touch", "/tmp/stop").OK(t)
	env.Proa("wait", name).OK(t)
	out := env.Proa("logs", name).OK(t).Stdout
	if n, _ := strconv.Atoi(word(out, "opened")); n == 0 {
		t.Errorf("the attacker never saw the executable of a process of exec: %s", out)
	}
	equal(t, "writes", word(out, "written"), "0")
	if !bytes.Equal(before, installed(t)) {
		t.Fatal("the container changed bin/proa")
	}
}

// TestCVE2022_29162 wants no inheritable capability, which any file with inheritable ones would have given back.
func TestCVE2022_29162(t *testing.T) {
	for _, flags := range [][]string{nil, {"-u", "alice"}, {"--cap-add", "NET_ADMIN"}, {"--privileged"}} {
		equal(t, "inheritable in run "+strings.Join(flags, " "), field(status(t, flags...), "CapInh"), "0000000000000000")
	}
	name := start(t, env, "sleep", "1000")
	for _, flags := range [][]string{{}, {"-u", "alice"}, {"--privileged"}} {
		s := env.Proa(append(append([]string{"exec"}, flags...), name, "cat", "/proc/self/status")...).OK(t).Stdout
		equal(t, "inheritable in exec "+strings.Join(flags, " "), field(s, "CapInh"), "0000000000000000")
	}
}

// TestCVE2024_21626 wants no way to the host through a descriptor that the runtime left open.
func TestCVE2024_21626(t *testing.T) {
	name := start(t, env, "sleep", "1000")
	root := rootfs(t, func(root string) { symlink(t, "/proc/self/fd/7", root, "link") })
	for n := 3; n <= 20; n++ {
		dir := "/proc/self/fd/" + strconv.Itoa(n)
		for _, c := range []*harness.Cmd{run(t, "-w", dir, "--", "ls", ".."), env.Proa("exec", "-w", dir, name, "ls", "..")} {
			if r := c.Run(t); r.Code == 0 {
				t.Errorf("%s: the working directory is a descriptor of the runtime's: %s", c, r.Stdout)
			}
		}
	}
	if r := inRootfs(root, "-w", "/link", "--", "ls", "..").Run(t); r.Code == 0 {
		t.Errorf("-w through a link to /proc/self/fd: %s", r.Stdout)
	}
	for _, out := range []string{run(t, "ls", "-l", "/proc/self/fd").OK(t).Stdout,
		env.Proa("exec", name, "ls", "-l", "/proc/self/fd").OK(t).Stdout} {
		if n := strings.Count(out, "\nl"); n != 4 { // 0, 1, 2, and the directory that ls reads
			t.Errorf("%d descriptors are open, want 4: %s", n, out)
		}
	}
}

// layered loads an image of the base's layer and one more, and returns its name.
func layered(t testing.TB, name string, entries ...harness.Entry) string {
	t.Helper()
	img := baseImage(t)
	img.Layers = append(append([][]byte{}, img.Layers...), harness.Layer(entries...))
	ref := "localhost/proa-test/" + name + ":latest"
	env.Proa("load", "-i", archive(t, env, name+".tar", img.DockerArchive(ref))).OK(t)
	return ref
}

func link(name, to string) harness.Entry {
	return harness.Entry{Name: name, Type: tar.TypeSymlink, Link: to}
}

// members lists a tar, to show what an attack really consists of.
func members(t testing.TB, b []byte) map[string]string {
	t.Helper()
	out := map[string]string{}
	for r := tar.NewReader(bytes.NewReader(b)); ; {
		h, err := r.Next()
		if err == io.EOF {
			return out
		}
		if err != nil {
			t.Fatal(err)
		}
		out[h.Name] = h.Linkname
	}
}
