package tests

import (
	"strings"
	"testing"
)

func TestContainerExists(t *testing.T) {
	e := withImage(t, env.Fresh(t))
	id := e.Proa("create", "--network=none", "--name", "a", image).OK(t).Out()
	for _, ref := range []string{"a", id, id[:7]} {
		equal(t, "prints nothing", e.Proa("container", "exists", ref).OK(t).Stdout, "")
	}
	r := e.Proa("container", "exists", "no-such").Want(t, 1)
	equal(t, "stdout and stderr", r.Stdout+r.Stderr, "")
	refused(t, e.Proa("container", "exists"), 125, "one container")
}

func TestContainerPrune(t *testing.T) {
	e := withImage(t, env.Fresh(t))
	equal(t, "of none", e.Proa("container", "prune", "-f").OK(t).Out(), "Total reclaimed space: 0B")
	sleeper(t, e, "up")
	e.Proa("run", "--network=none", "--name", "one", "-l", "k=1", image, "sh", "-c", "head -c 2000 /dev/zero > /f").OK(t)
	e.Proa("run", "--network=none", "--name", "two", "-l", "k=2", image, "true").OK(t)
	made := e.Proa("create", "--network=none", "--name", "made", image).OK(t).Out()

	ask := e.Proa("container", "prune")
	ask.Stdin = strings.NewReader("n\n")
	if r := ask.Want(t, 1); !strings.Contains(r.Stdout, "[y/N]") || !strings.Contains(r.Stderr, "nothing was removed") {
		t.Errorf("prune asks %q, and says %q", r.Stdout, r.Stderr)
	}
	e.Proa("container", "prune").Want(t, 1) // no input is no consent
	equal(t, "exited", namesIn(t, e, "exited"), "one two")

	one := inspectField(t, e, "one", "{{.Id}}")
	equal(t, "--filter until", e.Proa("container", "prune", "-f", "--filter", "until=24h").OK(t).Out(), "Total reclaimed space: 0B")
	equal(t, "--filter label", e.Proa("container", "prune", "-f", "--filter", "label=k=1").OK(t).Out(),
		"Deleted Containers:\n"+one+"\n\nTotal reclaimed space: 2kB")
	equal(t, "--filter label!", e.Proa("container", "prune", "-f", "--filter", "label!=k").OK(t).Out(),
		"Deleted Containers:\n"+made+"\n\nTotal reclaimed space: 0B")
	yes := e.Proa("container", "prune", "--filter", "until=2099-01-01T00:00:00")
	yes.Stdin = strings.NewReader("Y\n")
	if out := yes.OK(t).Out(); !strings.Contains(out, "Deleted Containers:\n") {
		t.Errorf("prune: %s", out)
	}
	equal(t, "what is left", e.Proa("ps", "-a", "--format", "{{.Names}}").OK(t).Out(), "up")
}

func TestContainerClone(t *testing.T) {
	e := withImage(t, env.Fresh(t))
	dir := e.TempDir(t)
	e.Proa("run", "--network=none", "--name", "a", "-e", "A=1", "-l", "k=v", "-v", dir+":/mnt", "-w", "/tmp", image, "sh", "-c", "touch /f; echo $A in $PWD; ls /").OK(t)
	id := e.Proa("container", "clone", "a").OK(t).Out()
	equal(t, "the name", inspectField(t, e, id, "{{.Name}} {{.State.Status}} {{.Config.Labels}} {{.HostConfig.Binds}}"),
		"/a-clone created map[k:v] ["+dir+":/mnt]")
	out := e.Proa("start", "-a", "a-clone").OK(t).Out()
	if !strings.HasPrefix(out, "1 in /tmp\n") || !strings.Contains(out, "mnt") {
		t.Errorf("the clone printed %q", out)
	}
	equal(t, "its log", e.Proa("logs", "a-clone").OK(t).Out(), out)
	equal(t, "the next name", inspectField(t, e, e.Proa("container", "clone", "a").OK(t).Out(), "{{.Name}}"), "/a-clone1")

	img := baseImage(t)
	e.Proa("load", "-q", "-i", archive(t, e, "other.tar", img.DockerArchive("localhost/other:1"))).OK(t)
	e.Proa("container", "clone", "a", "b", "localhost/other:1").OK(t)
	equal(t, "another image", inspectField(t, e, "b", "{{.Config.Image}}"), "localhost/other:1")
	refused(t, e.Proa("container", "clone", "a", "b"), 1, `"b"`, "in use")
	refused(t, e.Proa("container", "clone", "a", "c", "localhost/no/such"), 1, "localhost/no/such")
	refused(t, e.Proa("container", "clone", "--name", "x", "a", "y"), 1, "--name")

	sleeper(t, e, "up")
	refused(t, e.Proa("container", "clone", "--destroy", "up", "up2"), 1, `"up"`, "running")
	e.Proa("container", "clone", "--destroy", "-f", "--run", "up", "up2").OK(t)
	removeLater(t, e, "up2")
	equal(t, "running", namesIn(t, e, "running"), "up2")
	e.Proa("container", "exists", "up").Want(t, 1)
}
