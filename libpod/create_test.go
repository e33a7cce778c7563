package libpod

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/proa-containers/proa/image"
	"github.com/proa-containers/proa/oci/spec"
	"golang.org/x/sys/unix"
)

func TestNames(t *testing.T) {
	for name, ok := range map[string]bool{
		"a": true, "A9_.-": true, "9": true, "": false, "-a": false, ".a": false, "_a": false, "a b": false, "a/b": false, "ä": false, "a\n": false, "..": false, "aä": false,
	} {
		if validName(name) != ok {
			t.Errorf("%q: %v", name, !ok)
		}
	}
	seen := map[string]bool{}
	for range 500 {
		n := randomName()
		if !validName(n) {
			t.Errorf("%q is no valid name", n)
		}
		seen[n] = true
	}
	if len(seen) < 490 {
		t.Errorf("of 500 random names %d differ", len(seen))
	}
}

// TestFromImage: what the user gave wins; a new entrypoint drops the image's command.
func TestFromImage(t *testing.T) {
	ten := 10
	img := &image.Image{ID: "id"}
	img.Config.Entrypoint, img.Config.Cmd = []string{"/entry"}, []string{"default"}
	img.Config.Env, img.Config.WorkingDir, img.Config.User = []string{"A=image", "B=image"}, "/image", "image"
	img.Config.StopSignal, img.Config.StopTimeout, img.Config.Labels = "SIGINT", &ten, map[string]string{"k": "image", "l": "image"}
	for _, c := range []struct {
		entry, cmd, want []string
	}{
		{nil, nil, []string{"/entry", "default"}},
		{nil, []string{"mine"}, []string{"/entry", "mine"}},
		{[]string{"/other"}, nil, []string{"/other"}},
		{[]string{"/other"}, []string{"mine"}, []string{"/other", "mine"}},
		{[]string{""}, []string{"mine"}, []string{"mine"}}, // --entrypoint "" takes it away
		{[]string{}, []string{"mine"}, []string{"mine"}},
	} {
		e := newEngine(t)
		x := &Container{}
		x.Config.Process.Entrypoint, x.Config.Process.Cmd = c.entry, c.cmd
		if err := e.complete(x, img); err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(x.Config.Process.Args, c.want) {
			t.Errorf("%q and %q run %q, want %q", c.entry, c.cmd, x.Config.Process.Args, c.want)
		}
	}
	x := &Container{StopSignal: "SIGHUP", StopTimeout: new(3), Labels: map[string]string{"k": "mine"}}
	x.Config.Process = spec.Process{Env: []string{"A=mine"}, Cwd: "/mine", User: "mine"}
	fromImage(x, img)
	p := x.Config.Process
	if strings.Join(p.Env, " ") != "A=image B=image A=mine" || p.Cwd != "/mine" || p.User != "mine" || x.StopSignal != "SIGHUP" || *x.StopTimeout != 3 ||
		x.Labels["k"] != "mine" || x.Labels["l"] != "image" {
		t.Errorf("%+v %+v", x, p)
	}
	y := &Container{}
	fromImage(y, img)
	if y.Config.Process.Cwd != "/image" || y.Config.Process.User != "image" || y.StopSignal != "SIGINT" || *y.StopTimeout != 10 {
		t.Errorf("%+v", y)
	}
	if img.Config.Labels["k"] != "image" {
		t.Error("the image's labels were changed")
	}
}

func TestIncomplete(t *testing.T) {
	e := newEngine(t)
	mustContain(t, e.complete(&Container{Image: "i"}, nil), "no command", `"i"`)
	c := &Container{Name: "a b"}
	mustContain(t, e.complete(c, nil), "invalid container name", `"a b"`)
	c = &Container{}
	c.Config.Process.Cmd, c.Config.Process.Cwd = []string{"x"}, "rel"
	mustContain(t, e.complete(c, nil), `"rel"`, "absolute")
	c.Config.Process.Cwd = ""
	if err := e.complete(c, nil); err != nil {
		t.Fatal(err)
	}
	if c.Log.Driver != "k8s-file" || filepath.Dir(c.Log.Path) != e.dataDir(c.ID) || c.StopTimeout != nil || len(c.ID) != 64 || time.Since(c.Created) > time.Hour {
		t.Errorf("%+v", c)
	}
}

func TestSignals(t *testing.T) {
	for s, want := range map[string]unix.Signal{"SIGTERM": 15, "term": 15, "9": 9, "sigkill": 9, "64": 64, "RTMIN+3": 37, "SIGRTMAX": 64, "SIGPOLL": 29} {
		if got, err := Signal(s); err != nil || got != want {
			t.Errorf("%q: %d, %v", s, got, err)
		}
	}
	for _, s := range []string{"", "0", "-1", "65", "99999", "NOPE", "SIG", "9 ", "SIG9"} {
		got, err := Signal(s)
		if err == nil {
			t.Errorf("%q is taken for %d", s, got)
			continue
		}
		mustContain(t, err, "invalid signal", `"`+s+`"`)
	}
}

func TestEtcFiles(t *testing.T) {
	e := newEngine(t)
	c := newContainer(t, e, "web")
	if err := os.MkdirAll(e.runDir(c.ID), 0o700); err != nil {
		t.Fatal(err)
	}
	c.Config.Namespaces.ExtraHosts = []string{"db:10.0.0.1", "six:2001:db8::1"}
	c.Config.Namespaces.Hostname = "box"
	files, err := e.etcFiles(c, nil)
	if err != nil {
		t.Fatal(err)
	}
	for target, want := range map[string]string{
		"/etc/hosts":    "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n10.0.0.1\tdb\n2001:db8::1\tsix\n127.0.1.1\tbox\n",
		"/etc/hostname": "box\n", "/etc/resolv.conf": "",
	} {
		if b, err := os.ReadFile(files[target]); err != nil || string(b) != want {
			t.Errorf("%s: %q, %v", target, b, err)
		}
	}
	c.Config.Namespaces.Network = "host"
	if files, err = e.etcFiles(c, nil); err != nil {
		t.Fatal(err)
	}
	host, err := os.ReadFile("/etc/resolv.conf")
	if err != nil {
		t.Skip("needs an /etc/resolv.conf:", err)
	}
	if b, err := os.ReadFile(files["/etc/resolv.conf"]); err != nil || string(b) != string(host) {
		t.Errorf("with the host's network resolv.conf is %q, %v", b, err)
	}
}
