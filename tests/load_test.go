package tests

import (
	"bytes"
	"strings"
	"testing"
)

func TestLoad(t *testing.T) {
	for name, content := range map[string][]byte{
		"docker-archive":        baseImage(t).DockerArchive("localhost/loaded:1"),
		"oci-archive":           baseImage(t).OCIArchive("localhost/loaded:1"),
		"docker-archive, a.tag": baseImage(t).DockerArchive("localhost/loaded:1", "localhost/loaded:2"),
	} {
		t.Run(name, func(t *testing.T) {
			e := env.Fresh(t)
			out := e.Proa("load", "-i", archive(t, e, "i.tar", content)).OK(t).Stdout
			if !strings.Contains(out, "Loaded image") || !strings.Contains(out, "localhost/loaded:1") {
				t.Errorf("load prints %q", out)
			}
			equal(t, "run", e.Proa("run", "--rm", "--network=none", "localhost/loaded:1", "echo", "hi").OK(t).Out(), "hi")
		})
	}
}

func TestLoadFromStdin(t *testing.T) {
	e := env.Fresh(t)
	c := e.Proa("load")
	c.Stdin = bytes.NewReader(baseImage(t).DockerArchive("localhost/loaded:1"))
	c.OK(t)
	equal(t, "images", e.Proa("images", "--format", listFormat).OK(t).Out(), "localhost/loaded:1")
}
