package tests

import (
	"runtime"
	"strings"
	"testing"
)

// TestReplace: the container that has the name goes, running or not, and stays when the new one can't be made.
func TestReplace(t *testing.T) {
	name := start(t, env, "sleep", "1000")
	old := inspect(t, name, "{{.Id}}")
	refused(t, env.Proa("run", "-d", "--network=none", "--replace", "--name", name, "--pull=never", "no-such-image", "true"), 125, "no-such-image")
	equal(t, "the old one", inspect(t, name, "{{.Id}} {{.State.Status}}"), old+" running")
	id := env.Proa("run", "-d", "--network=none", "--replace", "--name", name, image, "sleep", "1000").OK(t).Out()
	equal(t, "the new one", inspect(t, name, "{{.Id}} {{.State.Status}}"), id+" running")
	env.Proa("container", "exists", old).Want(t, 1)
	env.Proa("create", "--network=none", "--replace", "--name", name, image, "true").OK(t)
	equal(t, "create", inspect(t, name, "{{.State.Status}}"), "created")
	refused(t, env.Proa("create", "--network=none", "--replace", image, "true"), 125, "--name")
}

func TestRunUnsetEnv(t *testing.T) {
	e := withImage(t, env)
	img := baseImage(t)
	img.Config.Env = append(img.Config.Env, "IMG_A=1", "IMG_B=2")
	e.Proa("load", "-q", "-i", archive(t, e, "unset.tar", img.DockerArchive("localhost/unset:1"))).OK(t)
	in := func(flags ...string) string {
		c := e.Proa(append(append([]string{"run", "--rm", "--network=none"}, flags...), "localhost/unset:1", "sh", "-c", "env | grep -E '^(IMG|OUT)_' | sort")...)
		c.Env = []string{"OUT_C=3"}
		return strings.Join(strings.Fields(c.OK(t).Out()), " ")
	}
	equal(t, "--unsetenv", in("--unsetenv", "IMG_A", "-e", "OUT_D=4"), "IMG_B=2 OUT_D=4")
	equal(t, "--unsetenv-all", in("--unsetenv-all", "-e", "IMG_A=x"), "IMG_A=x")
	equal(t, "--env-host", in("--env-host", "-e", "IMG_B=y"), "IMG_A=1 IMG_B=y OUT_C=3")
	refused(t, e.Proa("run", "--rm", "--unsetenv", "A=B", "localhost/unset:1", "true"), 125, "--unsetenv")
	equal(t, "--arch", e.Proa("run", "--rm", "--network=none", "--arch", runtime.GOARCH, "--os", "linux", "localhost/unset:1", "echo", "here").OK(t).Out(), "here")
	refused(t, e.Proa("run", "--rm", "--network=none", "--pull=never", "--arch", "s390x", "localhost/unset:1", "true"), 125, "linux/s390x")
	refused(t, e.Proa("run", "--rm", "--arch", "amd64", "--platform", "linux/amd64", "localhost/unset:1", "true"), 125, "--platform")
}
