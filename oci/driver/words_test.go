package driver

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestExitCode(t *testing.T) {
	for text, want := range map[string]int{
		"executable file `nosuch` not found in $PATH: No such file or directory":                      127,
		`unable to start container process: exec: "nosuch": executable file not found in $PATH`:       127,
		`unable to start container process: exec: "/nosuch": stat /nosuch: no such file or directory`: 127,
		`execute "/nosuch": no such file or directory`:                                                127,
		"open executable: Permission denied":                                                          126,
		"open executable: Operation not permitted":                                                    126,
		`unable to start container process: exec: "/etc": permission denied`:                          126,
		`exec: "/etc": is a directory`:                                                                126,
		"mount `/no/such` to `/vol`: No such file or directory":                                       125,
		`error mounting "/x" to rootfs at "/y": mount /x:/y: permission denied`:                       125,
		"write to /proc/self/oom_score_adj: Permission denied":                                        125,
		"error during container init: open /dev/ptmx: no such file or directory":                      125,
		"it ended without a word: exit status 1":                                                      125,
	} {
		for _, verb := range []string{"create", "start", "exec"} {
			if got := (&Error{"runc", verb, text, false}).ExitCode(); got != want {
				t.Errorf("%s: %q is %d, want %d", verb, text, got, want)
			}
		}
		if got := (&Error{"runc", "delete", text, false}).ExitCode(); got != 125 {
			t.Errorf("delete: %q is %d", text, got)
		}
	}
}

func TestLogged(t *testing.T) {
	for text, want := range map[string]string{
		"":                                   "",
		`{"level":"warning","msg":"w"}`:      "",
		`{"level":"error","msg":"e"}` + "\n": "e",
		"{\"level\":\"error\",\"msg\":\"one\"}\n{\"level\":\"error\",\"msg\":\"two\"}\n{\"level\":\"info\",\"msg\":\"i\"}\n": "two",
		"{\"level\":\"fatal\",\"msg\":\"f\"}":                       "f",
		"plain words\nand the last line\n":                          "and the last line",
		"{\"level\":\"error\",\"msg\":\"e\"}\ntime=now level=error": "time=now level=error",
	} {
		if got := logged(text); got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}

func TestFind(t *testing.T) {
	dir := t.TempDir()
	write := func(name string, mode os.FileMode) string {
		p := filepath.Join(dir, name)
		if err := os.WriteFile(p, nil, mode); err != nil {
			t.Fatal(err)
		}
		return p
	}
	exe, plain := write("some-runtime", 0o755), write("plain", 0o644)
	path := "relative:" + filepath.Join(dir, "none") + ":" + dir
	for name, want := range map[string]string{"some-runtime": exe, exe: exe, "env": "/usr/bin/env"} {
		if got, err := Find(name, path); err != nil || got != want {
			t.Errorf("Find(%q) = %q, %v", name, got, err)
		}
	}
	for name, words := range map[string]string{
		"": "neither a name nor", "./rel": "neither a name nor", "no-such-runtime": "is not installed: name an installed one",
		dir: "not a file", plain: "permission denied", dir + "/gone": "no such file", "plain": "is not installed",
	} {
		_, err := Find(name, path)
		var e *NotInstalledError
		if !errors.As(err, &e) || !strings.Contains(err.Error(), words) {
			t.Errorf("Find(%q): %v, want %q", name, err, words)
		}
	}
	if s := (&NotInstalledError{"crun", "is not installed"}).Error(); !strings.Contains(s, "apt-get install crun") || !strings.Contains(s, "dnf install crun") {
		t.Error(s)
	}
}

func TestConfigure(t *testing.T) {
	for _, c := range []struct {
		path  string
		birth bool
		args  string
		born  bool
	}{
		{"/usr/bin/crun", true, "/usr/bin/crun --cgroup-manager=disabled", true},
		{"/usr/bin/crun", false, "/usr/bin/crun --cgroup-manager=cgroupfs", false},
		{"/usr/sbin/runc", true, "/usr/sbin/runc", false},
		{"/opt/crun/bin/youki", true, "/opt/crun/bin/youki", false},
	} {
		r := Runtime{Args: []string{c.path}}
		r.Configure(c.birth)
		if got := strings.Join(r.Args, " "); got != c.args || r.Born != c.born {
			t.Errorf("%s, %v: %q, %v", c.path, c.birth, got, r.Born)
		}
	}
}
