package transfer

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/proa-containers/proa/image"
)

func TestPull(t *testing.T) {
	s, r := open(t, "16m"), newRegistry(t)
	d := r.push(t, "1", hostArch, archive(t, file("a", "1")), archive(t, file("b", "2")))
	var out bytes.Buffer
	ids, err := r.pull(s, "x:1", PullOptions{Output: Output{Writer: &out}})
	if err != nil {
		t.Fatal(err)
	}
	i, err := image.Lookup(s, r.addr()+"/x:1")
	if err != nil || len(ids) != 1 || i.ID != ids[0] || i.Digest != d {
		t.Fatalf("pulled %v, found %+v, %v", ids, i, err)
	}
	if strings.Count(out.String(), ": done\n") < 2 || strings.ContainsAny(out.String(), "\r\x1b") {
		t.Errorf("progress elsewhere than on a terminal: %q", out.String())
	}
	upper, lower, err := s.LayerPaths(i.TopLayer)
	if err != nil || len(lower) != 1 {
		t.Fatal(lower, err)
	}
	for _, f := range []string{upper + "/b", lower[0] + "/a"} {
		if _, err := os.Stat(f); err != nil {
			t.Error(err)
		}
	}
	if again, err := r.pull(s, "x@"+d.String(), PullOptions{}); err != nil || again[0] != ids[0] {
		t.Errorf("by digest: %v, %v", again, err)
	}
	if newer, err := r.pull(s, "x:1", PullOptions{Policy: Newer}); err != nil || newer[0] != ids[0] {
		t.Errorf("newer: %v, %v", newer, err)
	}
	r.Close() // what follows is to ask no registry
	for _, p := range []Policy{Missing, Never, Newer} {
		if local, err := r.pull(s, "x:1", PullOptions{Policy: p}); err != nil || local[0] != ids[0] {
			t.Errorf("%s: %v, %v", p, local, err)
		}
	}
	if _, err := r.pull(s, "x:2", PullOptions{Policy: Never}); !errors.Is(err, image.ErrNotFound) {
		t.Errorf("never, of what is not there: %v", err)
	}
}

func TestPullAllTags(t *testing.T) {
	s, r := open(t, "16m"), newRegistry(t)
	r.push(t, "1", hostArch, archive(t, file("a", "1")))
	r.push(t, "2", hostArch, archive(t, file("a", "2")))
	r.content["/v2/x/tags/list"] = []byte(`{"name":"x","tags":["1","2"]}`)
	if ids, err := r.pull(s, "x", PullOptions{AllTags: true}); err != nil || len(ids) != 2 || ids[0] == ids[1] {
		t.Errorf("ids %v, %v; want two", ids, err)
	}
	if _, err := r.pull(s, "x:1", PullOptions{AllTags: true}); err == nil {
		t.Error("all tags of a name with a tag were pulled")
	}
}

func TestPullChoosesPlatform(t *testing.T) {
	s, r := open(t, "16m"), newRegistry(t)
	var list []any
	for _, arch := range []string{"s390x", "riscv64", hostArch} {
		d := r.push(t, arch, arch, archive(t, file("arch", arch)))
		list = append(list, map[string]any{
			"mediaType": typeManifest, "digest": d, "size": len(r.content["/v2/x/manifests/"+arch]), "platform": map[string]string{"os": "linux", "architecture": arch},
		})
	}
	r.manifest(t, "multi", typeIndex, map[string]any{"schemaVersion": 2, "mediaType": typeIndex, "manifests": list})
	r.manifest(t, "foreign", typeIndex, map[string]any{"schemaVersion": 2, "mediaType": typeIndex, "manifests": list[:2]})
	for _, ref := range []string{"x:foreign", "x:s390x"} {
		_, err := r.pull(s, ref, PullOptions{})
		if !errors.Is(err, ErrPlatform) || !strings.Contains(err.Error(), "linux/"+hostArch) || !strings.Contains(err.Error(), "linux/s390x") {
			t.Errorf("%s: %v; want ErrPlatform with what is asked for and what there is", ref, err)
		}
		emptyStore(t, s)
	}
	for want, p := range map[string]string{hostArch: "", "s390x": "linux/s390x", "riscv64": "riscv64"} {
		o := PullOptions{}
		if p != "" {
			var err error
			if o.Platform, err = ParsePlatform(p); err != nil {
				t.Fatal(err)
			}
		}
		ids, err := r.pull(s, "x:multi", o)
		if err != nil {
			t.Fatal(err)
		}
		if i, err := image.Lookup(s, ids[0]); err != nil || i.Architecture != want {
			t.Errorf("platform %q: got %+v, %v", p, i, err)
		}
	}
}

func TestPullCredentials(t *testing.T) {
	s, r := open(t, "16m"), newRegistry(t)
	r.push(t, "1", hostArch, archive(t, file("a", "1")))
	r.user, r.password = "mia", "right"
	for _, creds := range []string{"", "mia:wrong", "mia"} {
		_, err := r.pull(s, "x:1", PullOptions{Access: Access{Creds: creds}})
		if !errors.Is(err, ErrUnauthorized) || strings.Contains(err.Error(), "wrong") {
			t.Errorf("credentials %q: %v; want ErrUnauthorized without the password", creds, err)
		}
		emptyStore(t, s)
	}
	if _, err := r.pull(s, "x:1", PullOptions{Access: Access{Creds: "mia:right"}}); err != nil {
		t.Error(err)
	}
}

func TestPullFailures(t *testing.T) {
	random := make([]byte, 4<<20)
	if _, err := rand.Read(random); err != nil {
		t.Fatal(err)
	}
	layers := func(change func([]byte) []byte) func(string, []byte) []byte {
		return func(path string, body []byte) []byte {
			if strings.Contains(path, "/blobs/") && bytes.HasPrefix(body, []byte{0x1f, 0x8b}) {
				return change(body)
			}
			return body
		}
	}
	for name, c := range map[string]struct {
		layer  []byte
		change func(string, []byte) []byte
		ref    string
		size   string
		want   error
	}{
		"no such tag":      {ref: "x:2", want: ErrNotThere},
		"no such image":    {ref: "y:1", want: ErrNotThere},
		"layer digest":     {change: layers(func(b []byte) []byte { c := bytes.Clone(b); c[len(c)/2] ^= 1; return c }), want: ErrCorrupt},
		"layer truncated":  {change: layers(func(b []byte) []byte { return b[:len(b)/2] }), want: ErrCorrupt},
		"layer is no tar":  {layer: []byte("this is no archive at all"), want: ErrCorrupt},
		"hard link escape": {layer: archive(t, entry{tar.Header{Typeflag: tar.TypeLink, Name: "l", Linkname: "../../../../etc/passwd"}, ""}), want: ErrCorrupt},
		"disk full":        {layer: archive(t, file("big", string(random))), size: "3m", want: ErrNoSpace},
		"manifest digest": {ref: "x@sha256:" + strings.Repeat("a", 64), want: ErrCorrupt, change: func(path string, b []byte) []byte {
			return b
		}},
	} {
		t.Run(name, func(t *testing.T) {
			if c.size == "" {
				c.size = "16m"
			}
			if c.layer == nil {
				c.layer = archive(t, file("a", string(random[:1<<16])))
			}
			if c.ref == "" {
				c.ref = "x:1"
			}
			s, r := open(t, c.size), newRegistry(t)
			r.push(t, "1", hostArch, archive(t, file("first", "sound")), c.layer)
			r.content["/v2/x/manifests/sha256:"+strings.Repeat("a", 64)] = r.content["/v2/x/manifests/1"]
			r.types["/v2/x/manifests/sha256:"+strings.Repeat("a", 64)] = typeManifest
			r.change = c.change
			_, err := r.pull(s, c.ref, PullOptions{})
			if err == nil || !errors.Is(err, c.want) || !strings.Contains(err.Error(), r.addr()) {
				t.Errorf("error is %v, want %v that names the image", err, c.want)
			}
			if err != nil && strings.Contains(err.Error(), "\n") {
				t.Errorf("error is not one line: %v", err)
			}
			emptyStore(t, s)
		})
	}
}

func TestPullUnreachable(t *testing.T) {
	s, r := open(t, "16m"), newRegistry(t)
	r.push(t, "1", hostArch)
	if _, err := Pull(context.Background(), s, r.addr()+"/x:1", PullOptions{}); !errors.Is(err, ErrTLS) || !strings.Contains(err.Error(), "--tls-verify=false") {
		t.Errorf("plain HTTP without leave: %v, want ErrTLS with the remedy", err)
	}
	r.Close()
	if _, err := r.pull(s, "x:1", PullOptions{}); !errors.Is(err, ErrUnreachable) {
		t.Errorf("registry down: %v, want ErrUnreachable", err)
	}
	emptyStore(t, s)
}

func TestPullCancelled(t *testing.T) {
	s, r := open(t, "16m"), newRegistry(t)
	r.push(t, "1", hostArch, archive(t, file("a", "1")), archive(t, file("b", "2")))
	ctx, cancel := context.WithCancel(context.Background())
	r.change = func(path string, body []byte) []byte {
		if strings.Contains(path, "/blobs/") && bytes.HasPrefix(body, []byte{0x1f, 0x8b}) {
			cancel()
		}
		return body
	}
	insecure := false
	_, err := Pull(ctx, s, r.addr()+"/x:1", PullOptions{Access: Access{TLSVerify: &insecure}})
	if !errors.Is(err, ErrInterrupted) {
		t.Errorf("error is %v, want ErrInterrupted", err)
	}
	emptyStore(t, s)
}

// TestLayersStayInside: links that lead out of a layer lead nowhere, and a device is not made.
func TestLayersStayInside(t *testing.T) {
	s, r, outside := open(t, "16m"), newRegistry(t), t.TempDir()
	r.push(t, "1", hostArch, archive(t,
		entry{tar.Header{Typeflag: tar.TypeSymlink, Name: "out", Linkname: outside}, ""},
		file("out/evil", "x"),
		entry{tar.Header{Typeflag: tar.TypeSymlink, Name: "up", Linkname: "../../../../../../../.." + outside}, ""},
		file("up/evil", "x"),
		file("../../../../../../../.."+outside+"/evil", "x"),
		file("/../up/../.."+outside+"/evil", "x"),
		entry{tar.Header{Typeflag: tar.TypeBlock, Name: "disk", Mode: 0o666, Devmajor: 8}, ""},
		entry{tar.Header{Typeflag: tar.TypeChar, Name: "mem", Mode: 0o666, Devmajor: 1, Devminor: 1}, ""},
	))
	ids, err := r.pull(s, "x:1", PullOptions{})
	if err != nil {
		emptyStore(t, s)
	} else {
		i, err := image.Lookup(s, ids[0])
		if err != nil {
			t.Fatal(err)
		}
		upper, _, err := s.LayerPaths(i.TopLayer)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{"disk", "mem"} {
			var st unix.Stat_t
			if unix.Lstat(filepath.Join(upper, name), &st) == nil && (st.Mode&unix.S_IFMT == unix.S_IFBLK || st.Mode&unix.S_IFMT == unix.S_IFCHR) {
				t.Errorf("the device %s was made", name)
			}
		}
	}
	if left, _ := os.ReadDir(outside); len(left) != 0 {
		t.Errorf("written outside of the layer: %v", left)
	}
}

func TestParsePlatform(t *testing.T) {
	for in, want := range map[string]string{"linux/amd64": "linux/amd64", "x86_64": "linux/amd64", "linux/aarch64": "linux/arm64", "linux/arm/v7": "linux/arm/v7"} {
		if p, err := ParsePlatform(in); err != nil || p.String() != want {
			t.Errorf("%s: %v, %v; want %s", in, p, err, want)
		}
	}
	for _, in := range []string{"", "linux/", "/amd64", "a/b/c/d"} {
		if p, err := ParsePlatform(in); err == nil {
			t.Errorf("%q is taken as %v", in, p)
		}
	}
}
