package tests

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"

	"github.com/proa-containers/proa/tests/harness"
)

func TestImport(t *testing.T) {
	e := env.Fresh(t)
	layer := baseImage(t).Layers[0]
	file := archive(t, e, "root.tar.gz", harness.Gzip(layer))
	id := e.Proa("import", "-m", "from a tar", "-c", `CMD ["echo","from the image"]`, "--change", "ENV A=1", file, "imported:1").OK(t).Out()
	equal(t, "id", id, e.Proa("inspect", "-f", "{{.ID}}", "localhost/imported:1").OK(t).Out())
	equal(t, "run", e.Proa("run", "--rm", "--network=none", "imported:1").OK(t).Out(), "from the image")
	equal(t, "message", e.Proa("history", "--format", "{{.Comment}}", "imported:1").OK(t).Out(), "from a tar")
	c := e.Proa("image", "import", "--platform", "linux/s390x", "-")
	c.Stdin = bytes.NewReader(layer)
	id = c.OK(t).Out()
	equal(t, "from standard input", e.Proa("inspect", "-f", "{{.Architecture}} {{.RepoTags}}", id).OK(t).Out(), "s390x []")

	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/root.tar" {
			http.NotFound(w, r)
			return
		}
		_, _ = w.Write(layer)
	}))
	defer srv.Close()
	e.Proa("import", srv.URL+"/root.tar", "by/url").OK(t)
	equal(t, "run", e.Proa("run", "--rm", "--network=none", "by/url", "echo", "hi").OK(t).Out(), "hi")
	before := tagsOf(t, e)
	broken := archive(t, e, "broken.tar", layer[:len(layer)/2])
	noTar := archive(t, e, "no.tar", bytes.Repeat([]byte("no archive "), 1000))
	for line, want := range map[string]string{
		"": "takes an archive", "a b c": "takes an archive", "/absent.tar": "/absent.tar", broken: "ends too early", noTar: noTar, e.Home: "directory",
		srv.URL + "/absent": "404", "http://127.0.0.1:1/x": "can't be reached", file + " UPPER": "UPPER", "-c NONSENSE=1 " + file: "NONSENSE",
		"--platform a/b/c/d " + file: "a/b/c/d", "--arch x --platform linux/amd64 " + file: "--platform",
	} {
		refused(t, e.Proa(append([]string{"import"}, strings.Fields(line)...)...), 125, want)
	}
	equal(t, "images", tagsOf(t, e), before)
	left, _ := filepath.Glob(filepath.Join(e.Home, ".local/share/containers/storage/proa-draft/*"))
	equal(t, "left", strings.Join(left, " "), "")
}
