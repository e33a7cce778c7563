package tests

import (
	"archive/tar"
	"crypto/rand"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	bolt "go.etcd.io/bbolt"

	"github.com/proa-containers/proa/tests/harness"
)

func TestUnknownImage(t *testing.T) {
	reg, e := harness.StartRegistry(t, "", ""), env.Fresh(t)
	refusedPull(t, e, pull(e, "-q", reg.Ref("no/such:image")), reg.Ref("no/such:image"), "check its name and tag")
	insecure(t, e, reg)
	refused(t, e.Proa("run", "--rm", reg.Ref("no/such:image"), "true"), 125, reg.Ref("no/such:image"))
	refused(t, e.Proa("run", "--rm", "--pull=never", "localhost/no/such", "true"), 125, "localhost/no/such")
	for _, bad := range []string{"UPPER/case", "a:b:c", "@sha256:12", ""} {
		refusedPull(t, e, e.Proa("pull", bad), bad)
	}
}

func TestUnreachableRegistry(t *testing.T) {
	e := env.Fresh(t)
	refusedPull(t, e, pull(e, "-q", "127.0.0.1:1/a:1"), "127.0.0.1:1", "refused", "check that")
	refusedPull(t, e, pull(e, "-q", "registry.invalid/a:1"), "registry.invalid", "check the name")
}

func TestPlainRegistryWithTLS(t *testing.T) {
	reg, e := harness.StartRegistry(t, "", ""), env.Fresh(t)
	reg.Push(t, "b:1", baseImage(t))
	refusedPull(t, e, e.Proa("pull", "-q", reg.Ref("b:1")), reg.Addr, "--tls-verify=false")
}

func TestLyingRegistry(t *testing.T) {
	img := baseImage(t)
	layer := func(change func([]byte) ([]byte, int)) harness.Lie {
		return func(path string, body []byte) ([]byte, int) {
			if img.LayerPath(path) {
				return change(body)
			}
			return body, len(body)
		}
	}
	for name, lie := range map[string]harness.Lie{
		"layer changed": layer(func(b []byte) ([]byte, int) {
			c := append([]byte(nil), b...)
			c[len(c)/2] ^= 0xff
			return c, len(c)
		}),
		"layer of another":           layer(func([]byte) ([]byte, int) { b := harness.Gzip(harness.Layer()); return b, len(b) }),
		"layer cut, length true":     layer(func(b []byte) ([]byte, int) { return b[:len(b)/2], len(b) / 2 }),
		"layer cut, length of whole": layer(func(b []byte) ([]byte, int) { return b[:len(b)/2], len(b) }),
		"config changed": func(path string, b []byte) ([]byte, int) {
			if strings.HasSuffix(path, harness.Digest(img.ConfigJSON())) {
				b = []byte(strings.Replace(string(b), "2024", "2023", 1))
			}
			return b, len(b)
		},
	} {
		t.Run(name, func(t *testing.T) {
			e := env.Fresh(t)
			addr := harness.LyingRegistry(t, img, lie)
			refusedPull(t, e, pull(e, "-q", addr+"/a:1"), addr+"/a:1", "damaged", "try again")
		})
	}
	t.Run("manifest of another digest", func(t *testing.T) {
		e := env.Fresh(t)
		addr := harness.LyingRegistry(t, img, func(_ string, b []byte) ([]byte, int) { return b, len(b) })
		asked := "sha256:" + strings.Repeat("0", 64)
		refusedPull(t, e, pull(e, "-q", addr+"/a@"+asked), asked, "damaged")
	})
}

func TestHostileLayers(t *testing.T) {
	dir := env.TempDir(t)
	up := strings.Repeat("../", 16)
	for name, entries := range map[string][]harness.Entry{
		"parent":            {{Name: up + strings.TrimPrefix(dir, "/") + "/escaped", Content: "x"}},
		"absolute":          {{Name: dir + "/escaped", Content: "x"}},
		"through a symlink": {{Name: "out", Type: tar.TypeSymlink, Link: dir}, {Name: "out/escaped", Content: "x"}},
		"through ..":        {{Name: "out", Type: tar.TypeSymlink, Link: up + strings.TrimPrefix(dir, "/")}, {Name: "out/escaped", Content: "x"}},
		"hard link":         {{Name: "escaped", Type: tar.TypeLink, Link: up + "etc/passwd"}},
		"whiteout":          {{Name: up + strings.TrimPrefix(dir, "/") + "/.wh.keep"}},
	} {
		for _, verb := range []string{"load", "pull"} {
			t.Run(name+", "+verb, func(t *testing.T) {
				e := env.Fresh(t)
				keep := env.WriteFile(t, filepath.Join(dir, "keep"), "kept\n", 0o666)
				img := baseImage(t)
				img.Layers = append(img.Layers, harness.Layer(entries...))
				r, ref := bringIn(t, e, verb, img)
				if r.Code == 0 { // taken as a path inside the root: that is where it must be
					e.Proa("run", "--rm", "--network=none", ref, "true").OK(t)
					if name == "hard link" && strings.Contains(e.Proa("run", "--rm", "--network=none", ref, "cat", "/escaped").Run(t).Stdout, "daemon") {
						t.Error("the host's /etc/passwd is in the image")
					}
				} else if r.Code != 125 || strings.Count(r.Stderr, "\n") != 1 {
					t.Errorf("exit code %d, or not one sentence: %s", r.Code, r.Stderr)
				} else {
					pullLeftNothing(t, e)
				}
				if _, err := os.Lstat(filepath.Join(dir, "escaped")); err == nil {
					t.Error("a layer wrote outside its root")
					_ = os.Remove(filepath.Join(dir, "escaped"))
				}
				if _, err := os.Lstat(keep); err != nil {
					t.Error("a layer removed a file outside its root")
				}
			})
		}
	}
}

// bringIn gives an image to the store by load or by pull, and tells what that said and the image's name.
func bringIn(t *testing.T, e *harness.Env, verb string, img harness.Image) (harness.Result, string) {
	t.Helper()
	if verb == "load" {
		return e.Proa("load", "-q", "-i", archive(t, e, "i.tar", img.DockerArchive("localhost/brought:1"))).Run(t), "localhost/brought:1"
	}
	ref := harness.LyingRegistry(t, img, func(_ string, b []byte) ([]byte, int) { return b, len(b) }) + "/brought:1"
	return pull(e, "-q", ref).Run(t), ref
}

func TestDeviceNodesInLayer(t *testing.T) {
	img := baseImage(t)
	img.Layers = append(img.Layers, harness.Layer(harness.Entry{Name: "srv/sda", Type: tar.TypeBlock, Mode: 0o666, Major: 8},
		harness.Entry{Name: "srv/mem", Type: tar.TypeChar, Mode: 0o666, Major: 1, Minor: 1}))
	for _, verb := range []string{"load", "pull"} {
		t.Run(verb, func(t *testing.T) {
			e := env.Fresh(t)
			r, ref := bringIn(t, e, verb, img)
			if r.Code == 0 { // left out, or made as what opens no device
				e.Proa("run", "--rm", "--network=none", ref, "sh", "-c", "head -c 1 /srv/sda || head -c 1 /srv/mem").Want(t, 1)
				return
			}
			if r.Code != 125 || !strings.Contains(r.Stderr, "srv/") || strings.Count(r.Stderr, "\n") != 1 {
				t.Errorf("exit code %d: %s", r.Code, r.Stderr)
			}
			pullLeftNothing(t, e)
		})
	}
}

func TestCorruptArchives(t *testing.T) {
	good := baseImage(t).DockerArchive("localhost/c:1")
	junk := make([]byte, 4096)
	if _, err := rand.Read(junk); err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string][]byte{
		"empty": {}, "junk": junk, "cut": good[:len(good)/2], "an empty tar": harness.Layer(),
		"no manifest":   harness.Layer(harness.Entry{Name: "x", Content: "y"}),
		"bad manifest":  harness.Layer(harness.Entry{Name: "manifest.json", Content: "{"}),
		"missing layer": harness.Layer(harness.Entry{Name: "manifest.json", Content: `[{"Config":"c.json","RepoTags":["localhost/c:1"],"Layers":["l.tar"]}]`}, harness.Entry{Name: "c.json", Content: string(baseImage(t).ConfigJSON())}),
	} {
		t.Run(name, func(t *testing.T) {
			e := env.Fresh(t)
			file := archive(t, e, "bad.tar", content)
			refusedPull(t, e, e.Proa("load", "-q", "-i", file), file)
		})
	}
	refused(t, env.Proa("load", "-i", "/no/such/file"), 125, "/no/such/file")
}

func TestImageOfOtherArchitecture(t *testing.T) {
	e, img := env.Fresh(t), baseImage(t)
	img.Arch = "s390x"
	img.Layers = [][]byte{harness.Layer(harness.Entry{Name: "bin/"}, harness.Entry{Name: "bin/sh", Content: "\x7fELF\x02\x02\x01" + strings.Repeat("\x00", 57)})}
	e.Proa("load", "-i", archive(t, e, "i.tar", img.DockerArchive("localhost/foreign:1"))).OK(t)
	refused(t, e.Proa("run", "--rm", "--network=none", "localhost/foreign:1", "/bin/sh"), 126, "architecture")
	equal(t, "ps -aq", e.Proa("ps", "-aq").OK(t).Out(), "")
}

// TestDiskFull fills the user's disk in a pull: with the download of a layer, or with what is unpacked from a small one.
func TestDiskFull(t *testing.T) {
	harness.Requires(t, "root", "unshare", "setpriv")
	random := make([]byte, 24<<20)
	if _, err := rand.Read(random); err != nil {
		t.Fatal(err)
	}
	reg := harness.StartRegistry(t, "", "")
	for name, content := range map[string]string{"download": string(random), "unpack": strings.Repeat("0", 64<<20)} {
		t.Run(name, func(t *testing.T) {
			e, img := env.Fresh(t), baseImage(t)
			img.Layers = append(img.Layers, harness.Layer(harness.Entry{Name: "srv/big", Content: content}))
			reg.Push(t, name+":1", img)
			script := "mount -t tmpfs -o size=16m,mode=700,uid=$0 none " + e.Home
			proa, store := filepath.Join(e.Prefix, "bin/proa"), filepath.Join(e.Home, ".local/share/containers/storage")
			c := e.CommandIn(script, "sh", "-c", proa+" pull -q --tls-verify=false "+reg.Ref(name+":1")+"; echo code=$?; "+proa+
				" images -q; echo images=$?; find "+e.Home+" -size +64k | grep -v 'proa/\\|\\.db$'; ls "+store+"/proa-transfer "+store+
				"/overlay/l; ls "+store+"/overlay | grep -E '^[0-9a-f]{64}$'; true")
			r := c.Run(t)
			equal(t, "what is left", r.Stdout, "code=125\nimages=0\n"+store+"/overlay/l:\n\n"+store+"/proa-transfer:\nlock\n")
			if !strings.Contains(strings.ToLower(r.Stderr), "no space left") || !strings.Contains(r.Stderr, "free space in "+e.Home) || strings.Count(r.Stderr, "\n") != 1 {
				t.Errorf("the error is not one sentence that says that the disk is full: %s", r.Stderr)
			}
		})
	}
}

func TestBadFlags(t *testing.T) {
	e := withImage(t, env.Fresh(t))
	e.Proa("run", "--rm", "--network=none", image, "true").OK(t) // makes the databases
	before := storeFiles(t, e)
	file := e.WriteFile(t, filepath.Join(e.TempDir(t), "f"), "x", 0o644)
	for _, c := range []struct {
		flags []string
		names string
	}{
		{[]string{"-e", "=x"}, "=x"},
		{[]string{"-e", ""}, "environment"},
		{[]string{"--env-file", "/no/such/file"}, "/no/such/file"},
		{[]string{"-u", "nobody-here"}, "nobody-here"},
		{[]string{"-u", "-1"}, "-1"},
		{[]string{"-u", "4294967296"}, "4294967296"},
		{[]string{"-v", "/no/such/source:/srv"}, "/no/such/source"},
		{[]string{"-v", file + ":relative"}, "relative"},
		{[]string{"-v", file + ":/srv/f:nonsense"}, "nonsense"},
		{[]string{"-v", file + ":/"}, "/"},
		{[]string{"-v", "a:b:c:d"}, "a:b:c:d"},
		{[]string{"--mount", "type=nonsense,src=" + file + ",dst=/srv/f"}, "nonsense"},
		{[]string{"--mount", "type=bind,src=" + file}, "target"},
		{[]string{"--mount", "type=bind,dst=/srv/f"}, "source"},
		{[]string{"--mount", "type=bind,src=" + file + ",dst=/srv/f,flavour=sweet"}, "flavour"},
		{[]string{"--mount", "type=bind,src=/no/such/source,dst=/srv/f"}, "/no/such/source"},
		{[]string{"--tmpfs", "relative"}, "relative"},
		{[]string{"--cap-add", "FLYING"}, "FLYING"},
		{[]string{"--security-opt", "nonsense"}, "nonsense"},
		{[]string{"--hostname", strings.Repeat("x", 65)}, "name"},
		{[]string{"--stop-signal", "NOSUCH"}, "NOSUCH"},
		{[]string{"--pid", "nonsense"}, "nonsense"},
		{[]string{"--network", "nonsense"}, "nonsense"},
		{[]string{"--platform", "a/b/c/d/e"}, "a/b/c/d/e"},
		{[]string{"--pull", "nonsense"}, "nonsense"},
		{[]string{"--name", "-bad"}, "-bad"},
		{[]string{"-p", "80:80"}, "publish"},
	} {
		t.Run(strings.Join(c.flags, " "), func(t *testing.T) {
			line := append([]string{"run", "--rm", "--network=none"}, c.flags...) // netd leaves its log
			r := refused(t, e.Proa(append(line, image, "true")...), 125, c.names)
			if n := strings.Count(strings.TrimSpace(r.Stderr), "\n"); n > 1 {
				t.Errorf("not one sentence: %s", r.Stderr)
			}
		})
	}
	refused(t, e.Proa("run"), 125, "image")
	refused(t, e.Proa("no-such-verb"), 125, "no-such-verb")
	sameFiles(t, e, before)
	equal(t, "ps -aq", e.Proa("ps", "-aq").OK(t).Out(), "")
}

func TestNoSubIDs(t *testing.T) {
	harness.Requires(t, "root", "unshare", "setpriv")
	e := env.Fresh(t)
	file := archive(t, e, "i.tar", harness.Image{Layers: [][]byte{harness.Layer(
		harness.Entry{Name: "bin/"}, harness.Entry{Name: "bin/sh", Content: busyboxBinary(t)})}}.DockerArchive("localhost/one:1"))
	proa := filepath.Join(e.Prefix, "bin/proa")
	r := e.CommandIn(noSubIDs, "sh", "-c", proa+" load -q -i "+file+" && "+proa+" run --rm --network=none localhost/one:1 sh -c 'echo $(cat /proc/self/uid_map)'").OK(t)
	if f := strings.Fields(r.Out()); len(f) < 3 || f[len(f)-1] != "1" {
		t.Errorf("without subordinate ids, the container's map is %q, want one uid", r.Stdout)
	}
	if !strings.Contains(r.Stderr, "usermod --add-subuids") && !strings.Contains(r.Stderr, "subuid") {
		t.Errorf("no warning that there are no subordinate ids: %s", r.Stderr)
	}
}

func busyboxBinary(t testing.TB) string {
	t.Helper()
	b, err := os.ReadFile("/bin/busybox")
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestNoRuntimeDir(t *testing.T) {
	e := env.Fresh(t)
	c := e.Proa("ps")
	c.Env = []string{"XDG_RUNTIME_DIR=/no/such/dir"}
	refused(t, c, 125, "XDG_RUNTIME_DIR")
}

func TestDatabaseOfNewerProa(t *testing.T) {
	e := withImage(t, env.Fresh(t))
	e.Proa("run", "--network=none", image, "true").OK(t)
	path := filepath.Join(e.Home, ".local/share/proa/state.db")
	db, err := bolt.Open(path, 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	err = db.Update(func(tx *bolt.Tx) error { return tx.Bucket([]byte("meta")).Put([]byte("version"), []byte("1000")) })
	if err := errors.Join(err, db.Close()); err != nil {
		t.Fatal(err)
	}
	before, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	refused(t, e.Proa("ps", "-a"), ownError, path, "newer")
	refused(t, e.Proa("run", "--network=none", image, "true"), 125, path, "newer")
	if after, err := os.ReadFile(path); err != nil || string(after) != string(before) {
		t.Errorf("a database of a newer proa was changed: %v", err)
	}
}
