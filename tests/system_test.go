package tests

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/proa-containers/proa/tests/harness"
)

func checked(t testing.TB, e *harness.Env, flags ...string) harness.Result {
	t.Helper()
	return e.Proa(append([]string{"system", "check"}, flags...)...).Run(t)
}

// sound wants a check to find nothing.
func sound(t testing.TB, e *harness.Env) {
	t.Helper()
	if r := checked(t, e, "--max", "0s"); r.Code != 0 || r.Stdout != "" {
		t.Errorf("system check: exit code %d\n%s%s", r.Code, r.Stdout, r.Stderr)
	}
}

// damaged wants a check to find what holds every word of want, and nothing to change by it.
func damaged(t testing.TB, e *harness.Env, want ...string) {
	t.Helper()
	for range 2 {
		r := checked(t, e, "--max", "0s")
		if r.Code != 1 || !strings.Contains(r.Stderr, "--repair") {
			t.Errorf("system check: exit code %d, %q", r.Code, r.Stderr)
		}
		for _, w := range want {
			if !strings.Contains(r.Stdout, w) {
				t.Errorf("system check does not find %q:\n%s", w, r.Stdout)
			}
		}
	}
}

func TestSystemCheck(t *testing.T) {
	e := withImage(t, env.Fresh(t))
	start(t, e, "sleep", "1000")
	e.Proa("create", "--network=none", "--name", "c", image, "true").OK(t)
	sound(t, e)
	refused(t, e.Proa("system", "check", "x"), 125, "x")
	refused(t, e.Proa("system", "check", "--force"), 125, "--repair")
	refused(t, e.Proa("system", "check", "--max", "long"), 125, "long")
	refused(t, e.Proa("system", "nothing"), 125, "nothing")
}

// TestSystemCheckLostRecord: containers' layers and directories without a record.
func TestSystemCheckLostRecord(t *testing.T) {
	e := withImage(t, env.Fresh(t))
	e.Proa("run", "--network=none", "--name", "c", image, "echo", "hi").OK(t)
	if err := os.Remove(filepath.Join(e.Home, ".local/share/proa/state.db")); err != nil {
		t.Fatal(err)
	}
	damaged(t, e, "layer ", "data directory ")
	checked(t, e, "--repair")
	sound(t, e)
	e.Proa("rmi", image).OK(t) // no container has it any more
}

// TestSystemCheckLostLayer: a record without its layer is removed only with --force.
func TestSystemCheckLostLayer(t *testing.T) {
	e := withImage(t, env.Fresh(t))
	e.Proa("create", "--network=none", "--name", "c", image, "true").OK(t)
	if err := os.Remove(filepath.Join(e.Home, ".local/share/containers/storage/overlay-containers/containers.json")); err != nil {
		t.Fatal(err)
	}
	damaged(t, e, `"c" has lost its layer`, "layer ")
	refused(t, e.Proa("system", "check", "--max", "0s", "--repair"), 1, "--force")
	equal(t, "ps", e.Proa("ps", "-a", "--format", "{{.Names}}").OK(t).Out(), "c")
	e.Proa("system", "check", "--max", "0s", "--repair", "--force").OK(t)
	sound(t, e)
	equal(t, "ps", e.Proa("ps", "-aq").OK(t).Out(), "")
	equal(t, "run", e.Proa("run", "--rm", "--network=none", image, "echo", "hi").OK(t).Out(), "hi")
}

// TestSystemCheckLostImage: a damaged image is removed and can be had again.
func TestSystemCheckLostImage(t *testing.T) {
	e := env.Fresh(t)
	file := archive(t, e, "base.tar", baseImage(t).DockerArchive(image))
	e.Proa("load", "-i", file).OK(t)
	layers, err := filepath.Glob(filepath.Join(e.Home, ".local/share/containers/storage/overlay/*/diff/bin"))
	if err != nil || len(layers) != 1 {
		t.Fatalf("layers: %v, %v", layers, err)
	}
	if err := os.RemoveAll(layers[0]); err != nil {
		t.Fatal(err)
	}
	damaged(t, e, "layer ", "image ")
	if r := checked(t, e, "--quick"); r.Code != 0 {
		t.Errorf("a quick check reads the layers: %s", r.Stdout)
	}
	e.Proa("system", "check", "--repair").OK(t)
	sound(t, e)
	equal(t, "images", e.Proa("images", "-q").OK(t).Out(), "")
	e.Proa("load", "-i", file).OK(t)
	equal(t, "run", e.Proa("run", "--rm", "--network=none", image, "echo", "hi").OK(t).Out(), "hi")
}
