package transfer

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"

	"github.com/proa-containers/proa/storage"
	"github.com/proa-containers/proa/storage/storagetest"
)

func TestMain(m *testing.M) { storagetest.Main(m) }

// open makes a store on a disk of a size, which can be full.
func open(t *testing.T, size string) *storage.Store { return storagetest.Open(t, size) }

// emptyStore checks that neither image nor layer nor download is left.
func emptyStore(t *testing.T, s *storage.Store) {
	t.Helper()
	images, err := s.Images()
	if err != nil || len(images) != 0 {
		t.Errorf("images left: %v, %v", images, err)
	}
	layers, err := s.Layers()
	if err != nil || len(layers) != 0 {
		t.Errorf("layers left: %v, %v", layers, err)
	}
	for pattern, want := range map[string]int{"proa-transfer/*": 1, "overlay/*": 3, "overlay/*/*": 0} { // the lock; the library's own "l", "tempdirs", ".has-mount-program"
		left, err := filepath.Glob(filepath.Join(s.GraphRoot(), pattern))
		if err != nil || len(left) > want {
			t.Errorf("files left: %v, %v", left, err)
		}
	}
}

// entry is a file in a layer.
type entry struct {
	tar.Header
	body string
}

func file(name, body string) entry {
	return entry{tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o644, Size: int64(len(body))}, body}
}

func archive(t *testing.T, entries ...entry) []byte {
	t.Helper()
	var buf bytes.Buffer
	w := tar.NewWriter(&buf)
	for _, e := range entries {
		if err := w.WriteHeader(&e.Header); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte(e.body)); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

func compress(t *testing.T, data []byte) []byte {
	t.Helper()
	var buf bytes.Buffer
	w := gzip.NewWriter(&buf)
	if _, err := w.Write(data); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

// registry serves what is put into it, and what a test makes of it.
type registry struct {
	*httptest.Server
	user, password string
	content        map[string][]byte // by path
	types          map[string]string
	change         func(path string, body []byte) []byte // may cut: the length told stays that of the whole
}

func newRegistry(t *testing.T) *registry {
	r := &registry{content: map[string][]byte{}, types: map[string]string{}}
	r.Server = httptest.NewServer(r)
	t.Cleanup(r.Close)
	return r
}

func (r *registry) addr() string { return strings.TrimPrefix(r.URL, "http://") }

func (r *registry) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	if user, password, _ := req.BasicAuth(); user != r.user || password != r.password {
		w.Header().Set("WWW-Authenticate", `Basic realm="test"`)
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	if req.URL.Path == "/v2/" {
		return
	}
	body, ok := r.content[req.URL.Path]
	if !ok {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusNotFound)
		fmt.Fprint(w, `{"errors":[{"code":"MANIFEST_UNKNOWN","message":"manifest unknown"}]}`)
		return
	}
	w.Header().Set("Content-Type", r.types[req.URL.Path])
	w.Header().Set("Content-Length", fmt.Sprint(len(body)))
	if r.change != nil {
		body = r.change(req.URL.Path, body)
	}
	_, _ = w.Write(body)
}

const (
	typeManifest = "application/vnd.oci.image.manifest.v1+json"
	typeIndex    = "application/vnd.oci.image.index.v1+json"
)

func (r *registry) blob(data []byte) map[string]any {
	d := digest.FromBytes(data)
	r.content["/v2/x/blobs/"+d.String()] = data
	return map[string]any{"digest": d.String(), "size": len(data)}
}

func (r *registry) manifest(t *testing.T, tag, mime string, doc any) digest.Digest {
	t.Helper()
	data, err := json.Marshal(doc)
	if err != nil {
		t.Fatal(err)
	}
	d := digest.FromBytes(data)
	for _, ref := range []string{tag, d.String()} {
		r.content["/v2/x/manifests/"+ref], r.types["/v2/x/manifests/"+ref] = data, mime
	}
	return d
}

// push puts an image of layers into the registry, as x:tag, and returns its manifest's digest.
func (r *registry) push(t *testing.T, tag, arch string, layers ...[]byte) digest.Digest {
	t.Helper()
	var blobs []any
	diffIDs := []digest.Digest{}
	for _, l := range layers {
		b := r.blob(compress(t, l))
		b["mediaType"] = "application/vnd.oci.image.layer.v1.tar+gzip"
		blobs = append(blobs, b)
		diffIDs = append(diffIDs, digest.FromBytes(l))
	}
	config, err := json.Marshal(map[string]any{
		"architecture": arch, "os": "linux", "config": map[string]any{"Cmd": []string{"/x"}},
		"rootfs": map[string]any{"type": "layers", "diff_ids": diffIDs},
	})
	if err != nil {
		t.Fatal(err)
	}
	c := r.blob(config)
	c["mediaType"] = "application/vnd.oci.image.config.v1+json"
	return r.manifest(t, tag, typeManifest, map[string]any{"schemaVersion": 2, "mediaType": typeManifest, "config": c, "layers": blobs})
}

func (r *registry) pull(s *storage.Store, ref string, o PullOptions) ([]string, error) {
	insecure := false
	o.TLSVerify = &insecure
	return Pull(context.Background(), s, r.addr()+"/"+ref, o)
}

// hostArch is the architecture that is chosen when none is given.
const hostArch = runtime.GOARCH
