package tests

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/proa-containers/proa/tests/harness"
)

const listFormat = "{{.Repository}}:{{.Tag}}"

// TestInterop moves images between proa and the tools that share its store, each way.
func TestInterop(t *testing.T) {
	harness.Requires(t, "podman", "skopeo", "buildah", "newuidmap")
	reg, e := harness.StartRegistry(t, "", ""), env.Fresh(t)
	// Without it Debian 12's Podman takes the vfs driver where fuse-overlayfs is not installed: a store of its own.
	conf := e.WriteFile(t, filepath.Join(e.TempDir(t), "storage.conf"), fmt.Sprintf(
		"[storage]\ndriver = \"overlay\"\nrunroot = %q\ngraphroot = %q\n", e.Runtime+"/containers", filepath.Join(e.Home, ".local/share/containers/storage")), 0o644)
	e.Extra = append(slices.Clone(e.Extra), "CONTAINERS_STORAGE_CONF="+conf)
	podman := func(args ...string) *harness.Cmd {
		return e.Command(append([]string{"podman", "--cgroup-manager=cgroupfs", "--events-backend=file"}, args...)...)
	}
	for _, name := range []string{"proa", "podman", "skopeo"} {
		img := baseImage(t)
		img.Config.Labels = map[string]string{"by": name}
		reg.Push(t, name+":1", img)
	}
	pull(e, reg.Ref("proa:1")).OK(t)
	podman("pull", "--tls-verify=false", reg.Ref("podman:1")).OK(t)
	e.Command("skopeo", "copy", "--src-tls-verify=false", "docker://"+reg.Ref("skopeo:1"), "containers-storage:"+reg.Ref("skopeo:1")).OK(t)

	for tool, out := range map[string]string{
		"proa":    e.Proa("images", "--format", listFormat).OK(t).Out(),
		"podman":  podman("images", "--format", listFormat).OK(t).Out(),
		"buildah": e.Command("buildah", "images", "--format", "{{.Name}}:{{.Tag}}").OK(t).Out(),
	} {
		for _, name := range []string{"proa", "podman", "skopeo"} {
			if !strings.Contains("\n"+out+"\n", "\n"+reg.Ref(name+":1")+"\n") {
				t.Errorf("%s does not list what %s pulled: %s", tool, name, out)
			}
		}
	}
	for _, name := range []string{"proa", "podman", "skopeo"} {
		equal(t, "proa runs what "+name+" pulled",
			e.Proa("run", "--rm", "--network=none", reg.Ref(name+":1"), "echo", "hi").OK(t).Out(), "hi")
		equal(t, "owners in what "+name+" pulled",
			e.Proa("run", "--rm", "--network=none", reg.Ref(name+":1"), "stat", "-c", "%u", "/home/alice").OK(t).Out(), "1000")
	}
	got := podman("inspect", "--type", "image", "--format", "{{.Config.Labels.by}}", reg.Ref("proa:1")).OK(t).Out()
	equal(t, "podman inspects proa's", got, "proa")
	e.Command("skopeo", "inspect", "containers-storage:"+reg.Ref("proa:1")).OK(t)

	// What Buildah builds on an image of proa's is proa's too, and the other way round.
	working := e.Command("buildah", "from", "--pull-never", reg.Ref("proa:1")).OK(t).Out()
	e.Command("buildah", "config", "--label", "by=buildah", working).OK(t)
	e.Command("buildah", "commit", "-q", working, "localhost/built:1").OK(t)
	refused(t, e.Proa("rmi", "-f", e.Proa("inspect", "-f", "{{.Id}}", reg.Ref("proa:1")).OK(t).Out()), ownError, "in use")
	e.Command("buildah", "rm", working).OK(t)
	equal(t, "proa runs what buildah built", e.Proa("run", "--rm", "--network=none", "localhost/built:1", "echo", "hi").OK(t).Out(), "hi")
	equal(t, "its label", e.Proa("images", "--format", listFormat, "-f", "label=by=buildah").OK(t).Out(), "localhost/built:1")
	e.Proa("rmi", "built:1").OK(t)
	if strings.Contains(e.Command("buildah", "images", "--format", "{{.Name}}:{{.Tag}}").OK(t).Out(), "built") {
		t.Error("buildah still lists what proa removed")
	}

	// What was made and pushed here can be pulled again into the same store, by every tool.
	made := containerName(t)
	e.Proa("run", "--network=none", "--name", made, reg.Ref("proa:1"), "sh", "-c", "echo made > /srv/text").OK(t)
	e.Proa("commit", "-q", made, reg.Ref("made:1")).OK(t)
	e.Proa("rm", made).OK(t)
	push(e, "-q", reg.Ref("made:1")).OK(t)
	podman("pull", "-q", "--tls-verify=false", reg.Ref("made:1")).OK(t)
	pull(e, "-q", reg.Ref("made:1")).OK(t)
	equal(t, "proa runs what podman pulled again", e.Proa("run", "--rm", "--network=none", reg.Ref("made:1"), "cat", "/srv/text").OK(t).Out(), "made")
	e.Proa("rmi", reg.Ref("made:1")).OK(t)

	// A container's layer is taken: no other tool may remove its image under it.
	name := containerName(t)
	e.Proa("run", "-d", "--network=none", "--name", name, reg.Ref("proa:1"), "sleep", "1000").OK(t)
	if r := podman("rmi", reg.Ref("proa:1")).Run(t); r.Code == 0 {
		t.Error("podman rmi removes the image of a running proa container")
	}
	equal(t, "the container still runs", e.Proa("exec", name, "echo", "hi").OK(t).Out(), "hi")
	e.Proa("rm", "-f", name).OK(t)
	e.Proa("rmi", reg.Ref("podman:1")).OK(t)
	if strings.Contains(podman("images", "--format", listFormat).OK(t).Out(), reg.Ref("podman:1")) {
		t.Error("podman still lists what proa removed")
	}
}
