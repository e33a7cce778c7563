package harness

import (
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/crypto/bcrypt"
)

// Registry is a docker-registry on loopback that ends with the test.
type Registry struct {
	Addr string // host:port

	user, password string
}

// StartRegistry starts a registry that speaks plain HTTP; with a user name it asks for that name and password.
func StartRegistry(t testing.TB, user, password string) *Registry {
	t.Helper()
	Requires(t, "docker-registry")
	dir := t.TempDir()
	r := &Registry{Addr: freeAddr(t), user: user, password: password}
	config := fmt.Sprintf("version: 0.1\nlog: {level: error, accesslog: {disabled: true}}\nstorage: {filesystem: {rootdirectory: %s}}\nhttp: {addr: %s}\n", dir, r.Addr)
	if user != "" {
		hash, err := bcrypt.GenerateFromPassword([]byte(password), bcrypt.MinCost)
		if err != nil {
			t.Fatal(err)
		}
		file := filepath.Join(dir, "htpasswd")
		if err := os.WriteFile(file, []byte(user+":"+string(hash)+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		config += fmt.Sprintf("auth: {htpasswd: {realm: proa, path: %s}}\n", file)
	}
	file := filepath.Join(dir, "config.yml")
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var log bytes.Buffer
	x := exec.CommandContext(ctx, "docker-registry", "serve", file)
	x.Stdout, x.Stderr = &log, &log
	if err := x.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cancel()
		_ = x.Wait()
		if t.Failed() {
			t.Logf("registry: %s", log.String())
		}
	})
	Eventually(t, "the registry answers", func() bool {
		c, err := net.Dial("tcp", r.Addr)
		if err == nil {
			c.Close()
		}
		return err == nil
	})
	return r
}

func freeAddr(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// Ref is the reference of repo:tag in this registry.
func (r *Registry) Ref(name string) string { return r.Addr + "/" + name }

// Push uploads the image as repo:tag, its layers gzipped, and returns the manifest's digest.
func (r *Registry) Push(t testing.TB, name string, i Image) string {
	t.Helper()
	repo, tag, _ := strings.Cut(name, ":")
	manifest, blobs := i.Manifest(DockerTypes, Gzip)
	for _, b := range blobs {
		r.pushBlob(t, repo, b)
	}
	r.PushManifest(t, repo, tag, DockerTypes.manifest, manifest)
	return Digest(manifest)
}

// PushIndex uploads one image per architecture and an index of them as repo:tag.
func (r *Registry) PushIndex(t testing.TB, name string, images ...Image) string {
	t.Helper()
	repo, tag, _ := strings.Cut(name, ":")
	var list []any
	for _, i := range images {
		manifest, blobs := i.Manifest(DockerTypes, Gzip)
		for _, b := range blobs {
			r.pushBlob(t, repo, b)
		}
		r.PushManifest(t, repo, Digest(manifest), DockerTypes.manifest, manifest)
		list = append(list, map[string]any{"mediaType": DockerTypes.manifest, "digest": Digest(manifest), "size": len(manifest),
			"platform": map[string]string{"os": "linux", "architecture": i.Arch}})
	}
	const mt = "application/vnd.docker.distribution.manifest.list.v2+json"
	index := mustJSON(map[string]any{"schemaVersion": 2, "mediaType": mt, "manifests": list})
	r.PushManifest(t, repo, tag, mt, index)
	return Digest(index)
}

// PushManifest uploads a manifest whose blobs are there.
func (r *Registry) PushManifest(t testing.TB, repo, ref, mediaType string, manifest []byte) {
	t.Helper()
	r.do(t, http.MethodPut, "http://"+r.Addr+"/v2/"+repo+"/manifests/"+ref, mediaType, manifest, http.StatusCreated)
}

func (r *Registry) pushBlob(t testing.TB, repo string, b []byte) {
	t.Helper()
	resp := r.do(t, http.MethodPost, "http://"+r.Addr+"/v2/"+repo+"/blobs/uploads/", "", nil, http.StatusAccepted)
	at := resp.Header.Get("Location")
	if strings.HasPrefix(at, "/") {
		at = "http://" + r.Addr + at
	}
	sep := "?"
	if strings.Contains(at, "?") {
		sep = "&"
	}
	r.do(t, http.MethodPut, at+sep+"digest="+Digest(b), "application/octet-stream", b, http.StatusCreated)
}

func (r *Registry) do(t testing.TB, method, url, contentType string, body []byte, want int) *http.Response {
	t.Helper()
	req, err := http.NewRequest(method, url, bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if contentType != "" {
		req.Header.Set("Content-Type", contentType)
	}
	if r.user != "" {
		req.SetBasicAuth(r.user, r.password)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != want {
		b, _ := io.ReadAll(resp.Body)
		t.Fatalf("registry: %s %s: %s: %s", method, url, resp.Status, b)
	}
	return resp
}

// Gzip is b compressed at the fastest level.
func Gzip(b []byte) []byte {
	var buf bytes.Buffer
	w, _ := gzip.NewWriterLevel(&buf, gzip.BestSpeed)
	_, _ = w.Write(b)
	_ = w.Close()
	return buf.Bytes()
}
