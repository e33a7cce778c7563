package image

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"

	"github.com/proa-containers/proa/storage"
	"github.com/proa-containers/proa/storage/storagetest"
)

func TestMain(m *testing.M) { storagetest.Main(m) }

func open(t *testing.T) *storage.Store {
	t.Helper()
	s := storagetest.Open(t, "")
	registries := filepath.Join(t.TempDir(), "registries.conf")
	err := os.WriteFile(registries, []byte(`unqualified-search-registries = ["second.example", "third.example:5000"]
[aliases]
nick = "quay.example/some/thing"
hub = "docker.io/hub"
elsewhere = "quay.example/not/here"
`), 0o644)
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("CONTAINERS_REGISTRIES_CONF", registries)
	return s
}

// add makes an image without layers whose history has the steps given.
func add(t *testing.T, s *storage.Store, names []string, steps ...string) string {
	t.Helper()
	doc := document{Architecture: "amd64", OS: "linux", RootFS: RootFS{Type: "layers"}, Comment: strings.Join(names, " ")}
	for _, step := range steps {
		doc.History = append(doc.History, History{CreatedBy: step, EmptyLayer: true})
	}
	config, err := json.Marshal(doc)
	if err != nil {
		t.Fatal(err)
	}
	sum := digest.FromBytes(config)
	manifest := fmt.Sprintf(`{"schemaVersion":2,"config":{"digest":%q}}`, sum)
	rec, err := s.CreateImage(storage.NewImage{ID: sum.Encoded(), Names: names, Manifest: []byte(manifest), Config: config})
	if err != nil {
		t.Fatal(err)
	}
	return rec.ID
}

func TestLookup(t *testing.T) {
	s := open(t)
	ids := map[string]string{}
	for _, names := range []string{
		"docker.io/library/alpine:latest", "localhost/mine:1", "quay.example/some/thing:latest", "third.example:5000/tool:latest",
		"a.example/x/dup:latest", "b.example/y/dup:latest", "second.example/both:latest third.example:5000/other:latest", "docker.io/library/both:latest",
		"hub.example/team/app:v1", "a.example/x/nick:latest", "docker.io/library/hub:latest", "a.example/x/elsewhere:latest",
		"localhost/first:latest", "docker.io/library/first:latest",
	} {
		ids[names] = add(t, s, strings.Fields(names))
	}
	alpine, err := Lookup(s, "alpine")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ ref, want string }{
		{"alpine", "docker.io/library/alpine:latest"},
		{"alpine:latest", "docker.io/library/alpine:latest"},
		{"library/alpine", "docker.io/library/alpine:latest"},
		{"docker.io/alpine", "docker.io/library/alpine:latest"},
		{"docker.io/library/alpine:latest", "docker.io/library/alpine:latest"},
		{"alpine@" + alpine.Digest.String(), "docker.io/library/alpine:latest"},
		{"alpine:old@" + alpine.Digest.String(), "docker.io/library/alpine:latest"},
		{alpine.ID, "docker.io/library/alpine:latest"},
		{"sha256:" + alpine.ID, "docker.io/library/alpine:latest"},
		{alpine.Digest.String(), "docker.io/library/alpine:latest"},
		{alpine.ID[:12], "docker.io/library/alpine:latest"},
		{"mine:1", "localhost/mine:1"},
		{"nick", "quay.example/some/thing:latest"},
		{"hub", "docker.io/library/hub:latest"},
		{"first", "localhost/first:latest"},
		{"tool", "third.example:5000/tool:latest"},
		{"third.example:5000/tool", "third.example:5000/tool:latest"},
		{"both", "docker.io/library/both:latest"},
		{"other", "second.example/both:latest third.example:5000/other:latest"},
		{"app:v1", "hub.example/team/app:v1"},
		{"team/app:v1", "hub.example/team/app:v1"},
	} {
		i, err := Lookup(s, c.ref)
		if err != nil {
			t.Errorf("%s: %v", c.ref, err)
		} else if i.ID != ids[c.want] {
			t.Errorf("%s: found %v, want %s", c.ref, i.Names, c.want)
		}
	}
	for ref, want := range map[string]error{
		"absent": ErrNotFound, "mine": ErrNotFound, "docker.io/library/mine:1": ErrNotFound, "pine": ErrNotFound, "app": ErrNotFound,
		"elsewhere":             ErrNotFound, // an alias is meant, and no image that happens to be called so
		strings.Repeat("0", 64): ErrNotFound, "alpine@sha256:" + strings.Repeat("0", 64): ErrNotFound,
		"dup": ErrAmbiguous, "": ErrName, "UPPER": ErrName, "a b": ErrName, "alpine:": ErrName, "/x": ErrName, "x@sha256:1": ErrName,
	} {
		if i, err := Lookup(s, ref); !errors.Is(err, want) {
			t.Errorf("%q: %v, %v; want %v", ref, i, err, want)
		}
	}
}

// TestLookupReadsConfiguration: the short way around parsing registries.conf finds what parsing finds.
func TestLookupReadsConfiguration(t *testing.T) {
	s := open(t)
	path := os.Getenv("CONTAINERS_REGISTRIES_CONF")
	want := add(t, s, []string{"a.example/x/tool:latest"})
	for conf, found := range map[string]bool{
		"": true,
		"# tool is not 'here'\n[aliases]\n\"tool\" = \"a.example/x/tool\"\n": true,
		"[aliases]\n\"tool\" = \"b.example/tool\"\n":                         false,
		"[aliases]\ntool = \"\"\"\nb.example/tool\"\"\"\n":                   false,
		"[aliases]\n\"to\\u006fl\" = \"b.example/tool\"\n":                   false,
		"[aliases]\n'tool' = 'b.example/tool'\n":                             false,
		"[aliases]\ntoolbox = \"b.example/toolbox\"\n":                       true,
	} {
		if err := os.WriteFile(path, []byte(conf), 0o644); err != nil {
			t.Fatal(err)
		}
		i, err := Lookup(s, "tool")
		if found && (err != nil || i.ID != want) || !found && !errors.Is(err, ErrNotFound) {
			t.Errorf("%q: %v, %v; want found to be %v", conf, i, err, found)
		}
	}
	if err := os.WriteFile(path, []byte("[aliases\ntool ="), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := Lookup(s, "tool"); !errors.Is(err, ErrConfig) || !strings.Contains(err.Error(), path) {
		t.Errorf("broken file: %v, want ErrConfig that names it", err)
	}
	if i, err := Lookup(s, "a.example/x/tool"); err != nil || i.ID != want {
		t.Errorf("the full name, with a broken file: %v, %v", i, err)
	}
}

func TestHello(t *testing.T) {
	s := open(t)
	first, err := EnsureHello(s, []byte("one"))
	if err != nil {
		t.Fatal(err)
	}
	again, err := EnsureHello(s, []byte("one"))
	if err != nil || again.ID != first.ID {
		t.Errorf("second time: %v, %v; want the same image", again, err)
	}
	if err := s.RemoveNames(first.ID, []string{HelloName}); err != nil {
		t.Fatal(err)
	}
	if _, err := EnsureHello(s, []byte("one")); err != nil {
		t.Fatal(err)
	}
	found, err := Lookup(s, "hello")
	if err != nil || found.ID != first.ID || strings.Join(found.Command(), " ") != "/hello hello" {
		t.Errorf("hello: %+v, %v", found, err)
	}
	upper, _, err := s.LayerPaths(found.TopLayer)
	if err != nil {
		t.Fatal(err)
	}
	if data, err := os.ReadFile(filepath.Join(upper, "hello")); err != nil || string(data) != "one" {
		t.Errorf("program in the layer: %q, %v", data, err)
	}
	second, err := EnsureHello(s, []byte("two"))
	if err != nil || second.ID == first.ID {
		t.Fatalf("another program: %v, %v", second, err)
	}
	if _, err := s.Image(first.ID); !errors.Is(err, storage.ErrNotFound) {
		t.Errorf("the old image is still there: %v", err)
	}
	report, err := s.Check(context.Background(), storage.CheckOptions{})
	if err != nil || len(report.Problems) > 0 {
		t.Errorf("check: %v, %v", report, err)
	}
	other := add(t, s, []string{"quay.example/team/hello:latest"})
	if i, err := Lookup(s, "hello"); err != nil || i.ID != other {
		t.Errorf("hello with another image of the name: %v, %v", i, err)
	}
}

func TestRemove(t *testing.T) {
	s := open(t)
	ctx := context.Background()
	parent := add(t, s, nil, "a")
	two := add(t, s, []string{"localhost/x:1", "localhost/x:2"}, "a", "b")
	used := add(t, s, []string{"localhost/used:latest"}, "z")
	if _, err := s.CreateContainer("c", []string{"user"}, used, false); err != nil {
		t.Fatal(err)
	}
	if _, err := Remove(ctx, s, "used", RemoveOptions{}); !errors.Is(err, ErrInUse) || !strings.Contains(err.Error(), "user") {
		t.Errorf("image in use: %v, want ErrInUse that names the container", err)
	}
	if _, err := Remove(ctx, s, used, RemoveOptions{Force: true}); !errors.Is(err, ErrInUse) {
		t.Errorf("image in use by id and force: %v, want ErrInUse", err)
	}
	if r, err := Remove(ctx, s, "used", RemoveOptions{Force: true}); err != nil || len(r.Untagged) != 1 || len(r.Deleted) != 0 {
		t.Errorf("name of an image in use and force: %+v, %v", r, err)
	}
	if _, err := Remove(ctx, s, two[:12], RemoveOptions{}); err == nil {
		t.Error("an id with two names was removed without force")
	}
	list, bad, err := List(ctx, s)
	if err != nil || len(bad) > 0 || len(list) != 3 {
		t.Fatalf("list: %v, %v, %v", list, bad, err)
	}
	for _, l := range list {
		if l.Intermediate != (l.ID == parent) || (l.Containers == 1) != (l.ID == used) || l.Size == 0 {
			t.Errorf("listed wrongly: %+v", l)
		}
	}
	if r, err := Remove(ctx, s, "x:1", RemoveOptions{}); err != nil || strings.Join(r.Untagged, " ") != "localhost/x:1" || len(r.Deleted) != 0 {
		t.Errorf("first name: %+v, %v", r, err)
	}
	r, err := Remove(ctx, s, "x:2", RemoveOptions{})
	if err != nil || len(r.Deleted) != 2 || r.Deleted[0] != two || r.Deleted[1] != parent {
		t.Errorf("last name: %+v, %v; want the image and its parent deleted", r, err)
	}
	if _, err := Remove(ctx, s, "x:2", RemoveOptions{}); !errors.Is(err, ErrNotFound) {
		t.Errorf("removed twice: %v, want ErrNotFound", err)
	}
}

func TestInspect(t *testing.T) {
	s := open(t)
	if _, err := EnsureHello(s, bytes.Repeat([]byte("x"), 1000)); err != nil {
		t.Fatal(err)
	}
	i, err := Inspect(s, "hello")
	if err != nil {
		t.Fatal(err)
	}
	data, err := json.Marshal(i)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`"Id":"sha256:`, `"RepoTags":["localhost/proa/hello:latest"]`, `"RepoDigests":["localhost/proa/hello@sha256:`, `"Entrypoint":["/hello","hello"]`, `"Os":"linux"`, `"Layers":["sha256:`, `"Name":"overlay"`} {
		if !strings.Contains(string(data), want) {
			t.Errorf("no %s in %s", want, data)
		}
	}
	if i.Size < 1000 {
		t.Errorf("size is %d, want at least the program's", i.Size)
	}
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{"a", "a:b", "a/b@sha256:" + strings.Repeat("a", 64), "[::1]:5/x", ":", "@", "a:/b"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		n, err := parse(s)
		if err == nil && (n.repo == "" || n.tag == "" && n.digest == "") {
			t.Errorf("%q is taken apart as %+v", s, n)
		}
	})
}
