package depcheck

import (
	"bytes"
	"encoding/json"
	"errors"
	"go/parser"
	"go/token"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

const tags = "urfave_cli_no_docs,containers_image_openpgp,exclude_graphdriver_btrfs,netgo,osusergo"

type goPackage struct {
	ImportPath   string
	Dir          string
	Name         string
	GoFiles      []string
	CgoFiles     []string
	Imports      []string
	TestImports  []string
	XTestImports []string
}

// list is `go list` with the build's tags; what is only missing is reported by the build, not here.
func list(t *testing.T, cgo string, args ...string) []goPackage {
	t.Helper()
	cmd := exec.Command("go", append([]string{"list", "-e", "-json", "-tags", tags}, args...)...)
	cmd.Dir = filepath.Join("..", "..")
	cmd.Env = append(os.Environ(), "CGO_ENABLED="+cgo)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v: %v: %s", cmd.Args, err, stderr.String())
	}
	var pkgs []goPackage
	for dec := json.NewDecoder(bytes.NewReader(out)); ; {
		var p goPackage
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		pkgs = append(pkgs, p)
	}
	if len(pkgs) == 0 {
		t.Fatalf("%v lists no package", cmd.Args)
	}
	return pkgs
}

func TestEdges(t *testing.T) {
	for _, p := range list(t, "1", "./...") {
		from := strings.TrimPrefix(p.ImportPath, Module+"/")
		for _, imp := range append(append(p.Imports, p.TestImports...), p.XTestImports...) {
			to, ours := strings.CutPrefix(imp, Module+"/")
			if !ours {
				continue
			}
			if ok, layer := allowed(from, to); !ok {
				t.Errorf("%s imports %s: %s may import of this module only itself and %v: %s", from, to, layer.Path, layer.May, layer.Reason)
			}
		}
	}
}

func TestBans(t *testing.T) {
	graphs := map[string]map[string][]string{}
	for _, b := range bans {
		if graphs[b.Program] == nil {
			cgo := "1"
			if b.Program == "cmd/proa-init" {
				cgo = "0"
			}
			imports := map[string][]string{}
			for _, p := range list(t, cgo, "-deps", "./"+b.Program) {
				imports[p.ImportPath] = p.Imports
			}
			if len(imports[Module+"/"+b.Program]) == 0 {
				t.Fatalf("%s imports nothing: it was not found", b.Program)
			}
			graphs[b.Program] = imports
		}
		path := chain(graphs[b.Program], Module+"/"+b.Program, func(pkg string) bool { return within(pkg, b.Import) })
		if path != nil {
			t.Errorf("%s must not reach %s: %s\n\t%s", b.Program, b.Import, b.Reason, strings.Join(path, "\n\t-> "))
		}
	}
}

// TestPackageComments wants one comment per package that says what it owns and where it runs, not only its name.
func TestPackageComments(t *testing.T) {
	for _, p := range list(t, "1", "./...") {
		files := append(p.GoFiles, p.CgoFiles...)
		if len(files) == 0 {
			continue
		}
		var doc []string
		for _, f := range files {
			parsed, err := parser.ParseFile(token.NewFileSet(), filepath.Join(p.Dir, f), nil, parser.ParseComments|parser.PackageClauseOnly)
			if err != nil {
				t.Error(err)
				continue
			}
			if parsed.Doc != nil && strings.TrimSpace(parsed.Doc.Text()) != "" {
				doc = append(doc, parsed.Doc.Text())
			}
		}
		switch {
		case len(doc) == 0:
			t.Errorf("%s has no package comment: say what it owns, what it leaves to others, in which process and with which privilege it runs", p.ImportPath)
		case len(doc) > 1:
			t.Errorf("%s has %d package comments: keep one", p.ImportPath, len(doc))
		case len(strings.Fields(doc[0])) < 15:
			t.Errorf("%s: its package comment only says %q: say what it owns and in which process and with which privilege it runs", p.ImportPath, strings.TrimSpace(doc[0]))
		}
	}
}

func TestPackageNames(t *testing.T) {
	for _, p := range list(t, "1", "./...") {
		switch filepath.Base(p.ImportPath) {
		case "util", "utils", "common", "helper", "helpers", "shared", "misc", "types":
			t.Errorf("%s: a package is a noun that owns something", p.ImportPath)
		}
	}
}

func TestAllowed(t *testing.T) {
	for _, c := range []struct {
		from, to string
		want     bool
	}{
		{"cmd/proa", "libpod/state", true},
		{"libpod", "storage", true},
		{"libpod/initbin", "storage", false},
		{"storage", "libpod", false},
		{"image/transfer", "storage/overlay", true},
		{"image", "oci", false},
		{"oci/launch", "libpod/initbin", true},
		{"oci/launch", "libpod/state", false},
		{"tests", "tests/harness", true},
		{"tests", "libpod", false},
		{"elsewhere", "libpod", false},
	} {
		if got, _ := allowed(c.from, c.to); got != c.want {
			t.Errorf("allowed(%s, %s) = %v, want %v", c.from, c.to, got, c.want)
		}
	}
}

func TestChain(t *testing.T) {
	imports := map[string][]string{"a": {"b", "c"}, "b": {"d"}, "c": {"bad/x"}, "d": {"bad"}}
	got := chain(imports, "a", func(p string) bool { return within(p, "bad") })
	if strings.Join(got, " ") != "a c bad/x" {
		t.Errorf("chain = %v", got)
	}
	if got := chain(imports, "b", func(p string) bool { return p == "c" }); got != nil {
		t.Errorf("chain = %v, want none", got)
	}
}
