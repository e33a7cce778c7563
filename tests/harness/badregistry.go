package harness

import (
	"encoding/pem"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
)

// Lie changes what a LyingRegistry answers: it receives the path asked for and the honest body, and returns the body
// to send and the length to announce.
type Lie func(path string, body []byte) (sent []byte, length int)

// LyingRegistry serves one image for every name and tag, through lie. It returns its host:port.
func LyingRegistry(t testing.TB, i Image, lie Lie) string {
	t.Helper()
	return serveImage(t, i, func(w http.ResponseWriter, r *http.Request, body []byte) {
		sent, length := lie(r.URL.Path, body)
		w.Header().Set("Content-Length", strconv.Itoa(length))
		if r.Method != http.MethodHead {
			_, _ = w.Write(sent)
		}
	})
}

// StallingRegistry serves one image for every name and tag, but half of what stalls tells of, and then nothing more. Each
// path that it stalled at is sent to reached.
func StallingRegistry(t testing.TB, i Image, stalls func(path string) bool) (addr string, reached <-chan string) {
	t.Helper()
	paths, end := make(chan string, 64), make(chan struct{})
	addr = serveImage(t, i, func(w http.ResponseWriter, r *http.Request, body []byte) {
		w.Header().Set("Content-Length", strconv.Itoa(len(body)))
		if !stalls(r.URL.Path) {
			_, _ = w.Write(body)
			return
		}
		_, _ = w.Write(body[:len(body)/2])
		_ = http.NewResponseController(w).Flush()
		paths <- r.URL.Path
		select {
		case <-r.Context().Done():
		case <-end:
		}
	})
	t.Cleanup(func() { close(end) }) // before the server's, which waits for its requests
	return addr, paths
}

// TLSRegistry serves one image for every name and tag over TLS, and returns the certificate that signed its own, in PEM.
func TLSRegistry(t testing.TB, i Image) (addr string, ca []byte) {
	t.Helper()
	srv := httptest.NewTLSServer(imageHandler(i, func(w http.ResponseWriter, _ *http.Request, body []byte) { _, _ = w.Write(body) }))
	srv.Config.ErrorLog = log.New(io.Discard, "", 0) // it tells of each client that does not trust it
	t.Cleanup(srv.Close)
	return strings.TrimPrefix(srv.URL, "https://"), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: srv.Certificate().Raw})
}

// serveImage starts a registry that has one image under every name and tag and leaves the answers to answer.
func serveImage(t testing.TB, i Image, answer func(w http.ResponseWriter, r *http.Request, body []byte)) string {
	t.Helper()
	srv := httptest.NewServer(imageHandler(i, answer))
	t.Cleanup(srv.Close)
	return strings.TrimPrefix(srv.URL, "http://")
}

func imageHandler(i Image, answer func(w http.ResponseWriter, r *http.Request, body []byte)) http.Handler {
	manifest, blobs := i.Manifest(DockerTypes, Gzip)
	byDigest := map[string][]byte{}
	for _, b := range blobs {
		byDigest[Digest(b)] = b
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Docker-Distribution-API-Version", "registry/2.0")
		var body []byte
		switch {
		case r.URL.Path == "/v2/":
			body = []byte("{}")
		case strings.Contains(r.URL.Path, "/manifests/"):
			w.Header().Set("Content-Type", DockerTypes.manifest)
			body = manifest
		case strings.Contains(r.URL.Path, "/blobs/"):
			body = byDigest[r.URL.Path[strings.LastIndex(r.URL.Path, "/")+1:]]
			w.Header().Set("Content-Type", "application/octet-stream")
		}
		if body == nil {
			http.NotFound(w, r)
			return
		}
		answer(w, r, body)
	})
}

// LayerPath tells whether path asks for one of the image's layers.
func (i Image) LayerPath(path string) bool {
	for _, l := range i.Layers {
		if strings.HasSuffix(path, Digest(Gzip(l))) {
			return true
		}
	}
	return false
}
