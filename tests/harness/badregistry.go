package harness

import (
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
	manifest, blobs := i.Manifest(DockerTypes, Gzip)
	byDigest := map[string][]byte{}
	for _, b := range blobs {
		byDigest[Digest(b)] = b
	}
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Docker-Distribution-API-Version", "registry/2.0")
		var body []byte
		switch {
		case r.URL.Path == "/v2/":
			return
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
		sent, length := lie(r.URL.Path, body)
		w.Header().Set("Content-Length", strconv.Itoa(length))
		if r.Method != http.MethodHead {
			_, _ = w.Write(sent)
		}
	}))
	t.Cleanup(srv.Close)
	return strings.TrimPrefix(srv.URL, "http://")
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
