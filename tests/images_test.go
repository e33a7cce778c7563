package tests

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/proa-containers/proa/tests/harness"
)

func TestImages(t *testing.T) {
	e := withImage(t, env.Fresh(t))
	id := strings.TrimPrefix(harness.Digest(baseImage(t).ConfigJSON()), "sha256:")
	out := e.Proa("images").OK(t).Out()
	lines := strings.Split(out, "\n")
	if len(lines) != 2 || !strings.HasPrefix(lines[0], "REPOSITORY") || strings.Join(strings.Fields(lines[1])[:3], " ") != "localhost/proa-test/busybox latest "+id[:12] {
		t.Errorf("images: %q", out)
	}
	equal(t, "-q", e.Proa("images", "-q").OK(t).Out(), id[:12])
	equal(t, "-q --no-trunc", e.Proa("images", "-q", "--no-trunc").OK(t).Out(), "sha256:"+id)
	equal(t, "--format", e.Proa("images", "--format", "{{.Repository}}:{{.Tag}}").OK(t).Out(), image)
	if out := e.Proa("images", "--format", "json").OK(t).Out(); !json.Valid([]byte(out)) {
		t.Errorf("--format json: %s", out)
	}
}

func TestRmi(t *testing.T) {
	e := env.Fresh(t)
	file := archive(t, e, "i.tar", baseImage(t).DockerArchive("localhost/a:1", "localhost/b:2"))
	e.Proa("load", "-i", file).OK(t)
	e.Proa("rmi", "localhost/a:1").OK(t)
	equal(t, "only the name goes", e.Proa("images", "--format", "{{.Repository}}:{{.Tag}}").OK(t).Out(), "localhost/b:2")
	name := containerName(t)
	e.Proa("run", "-d", "--network=none", "--name", name, "localhost/b:2", "sleep", "1000").OK(t)
	refused(t, e.Proa("rmi", "localhost/b:2"), ownError, name)
	e.Proa("rm", "-f", name).OK(t)
	e.Proa("rmi", "localhost/b:2").OK(t)
	pullLeftNothing(t, e)
	refused(t, e.Proa("rmi", "localhost/b:2"), ownError, "localhost/b:2")
}
