package overlay

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// inNamespace runs the calling test again as uid 0 of a user and mount namespace of its own, and reports whether this
// process is that run.
func inNamespace(t *testing.T) bool {
	t.Helper()
	if os.Getenv("OVERLAY_TEST_INSIDE") != "" {
		return true
	}
	cmd := exec.Command("/proc/self/exe", "-test.run=^"+t.Name()+"$", "-test.v")
	cmd.Env = append(os.Environ(), "OVERLAY_TEST_INSIDE=1")
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWUSER | syscall.CLONE_NEWNS,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}},
	}
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("inside the namespace: %v\n%s", err, out)
	}
	return false
}

func mkdirs(t *testing.T, dirs ...string) {
	t.Helper()
	for _, d := range dirs {
		if err := os.MkdirAll(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
}

func TestMount(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	for name, lowers := range map[string]func(int, []string, *handles) error{"append": appendLowers, "join": joinLowers} {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), `with\backslash:colon`, strings.Repeat("n", 200))
			o := Options{Lower: []string{dir + "/b", dir + "/a"}, Upper: dir + "/u", Work: dir + "/w", UserXattr: true, Volatile: true, Extra: []string{"nodev"}}
			mkdirs(t, dir+"/a", dir+"/b", o.Upper, o.Work)
			for f, text := range map[string]string{"a/same": "a", "b/same": "b", "a/only": "a"} {
				if err := os.WriteFile(filepath.Join(dir, f), []byte(text), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			f, err := o.mount(lowers)
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			read := func(name string) string {
				fd, err := unix.Openat(int(f.Fd()), name, unix.O_RDONLY, 0)
				if err != nil {
					t.Fatalf("%s: %v", name, err)
				}
				file := os.NewFile(uintptr(fd), name)
				defer file.Close()
				buf := make([]byte, 16)
				n, _ := file.Read(buf)
				return string(buf[:n])
			}
			if got := read("same") + read("only"); got != "ba" {
				t.Errorf("content through the mount is %q, want the upper layer's and then the lower one's", got)
			}
			fd, err := unix.Openat(int(f.Fd()), "new", unix.O_WRONLY|unix.O_CREAT, 0o600)
			if err != nil {
				t.Fatal(err)
			}
			unix.Close(fd)
			if _, err := os.Stat(o.Upper + "/new"); err != nil {
				t.Error("a new file is not in the upper directory:", err)
			}
			mounts, err := os.ReadFile("/proc/self/mountinfo")
			if err != nil {
				t.Fatal(err)
			}
			if strings.Contains(string(mounts), filepath.Base(dir)) {
				t.Error("the mount is attached:", string(mounts))
			}
		})
	}
}

func TestMountErrors(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	dir := t.TempDir()
	mkdirs(t, dir+"/a", dir+"/u", dir+"/w")
	for name, c := range map[string]struct {
		o    Options
		want string
	}{
		"none":    {Options{}, "no lower directory"},
		"missing": {Options{Lower: []string{dir + "/absent"}}, "absent"},
		"option":  {Options{Lower: []string{dir + "/a"}, Upper: dir + "/u", Work: dir + "/w", Extra: []string{"nonsense"}}, "nonsense"},
	} {
		f, err := c.o.Mount()
		if err == nil {
			f.Close()
			t.Errorf("%s: mounted", name)
		} else if !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %q does not say %q", name, err, c.want)
		}
	}
}

func TestJSON(t *testing.T) {
	in := Options{Lower: []string{"/a", "/b"}, Upper: "/u", Work: "/w", UserXattr: true, Volatile: true, Label: "l", Extra: []string{"x=y"}}
	data, err := json.Marshal(in)
	if err != nil {
		t.Fatal(err)
	}
	var out Options
	if err := json.Unmarshal(data, &out); err != nil || !reflect.DeepEqual(in, out) {
		t.Errorf("%+v came back as %+v, %v", in, out, err)
	}
}
