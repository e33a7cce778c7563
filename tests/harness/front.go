package harness

import (
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
	"testing"
)

// Front is a registry as its clients reach it through a proxy, which keeps a list of what was asked of it.
type Front struct {
	Registry

	mu   sync.Mutex
	seen []string // "METHOD path?query"
}

// Front starts a proxy before the registry. answer, unless it is nil, may answer a request itself; it returns whether it
// has.
func (r *Registry) Front(t testing.TB, answer func(w http.ResponseWriter, req *http.Request) bool) *Front {
	t.Helper()
	f := &Front{Registry: *r}
	proxy := httputil.NewSingleHostReverseProxy(&url.URL{Scheme: "http", Host: r.Addr})
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		f.mu.Lock()
		f.seen = append(f.seen, req.Method+" "+req.URL.RequestURI())
		f.mu.Unlock()
		if answer == nil || !answer(w, req) {
			proxy.ServeHTTP(w, req) // with the client's Host, so that the registry sends it back here
		}
	}))
	t.Cleanup(srv.Close)
	f.Addr = strings.TrimPrefix(srv.URL, "http://")
	return f
}

// Asked is what was asked with a method since the last call, of whatever method that was.
func (f *Front) Asked(method string) []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	var out []string
	for _, s := range f.seen {
		if strings.HasPrefix(s, method+" ") {
			out = append(out, s)
		}
	}
	f.seen = nil
	return out
}

// Forget empties the list.
func (f *Front) Forget() { f.Asked("") }
