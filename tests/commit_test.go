package tests

import (
	"context"
	"fmt"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/proa-containers/proa/tests/harness"
)

func TestCommit(t *testing.T) {
	e := withImage(t, env.Fresh(t))
	vol := e.TempDir(t)
	e.WriteFile(t, filepath.Join(vol, "outside"), "x", 0o644)
	name := start(t, e, "-e", "GIVEN=1", "-l", "given=1", "-w", "/tmp", "-v", vol+":/vol", "--", "sh", "-c",
		"echo x >> /etc/passwd; mkdir /new; echo inner > /new/f; chown 11:12 /new/f; chmod 4750 /new/f; rm /etc/group; rm -r /home; mkdir /home; ln -s f /new/l; touch /done; sleep 1000")
	e.Proa("exec", name, "sh", "-c", "while ! test -e /done; do sleep 0.05; done").OK(t)
	id := e.Proa("commit", "-q", "-a", "somebody", "-m", "a message", "-c", `CMD ["cat", "/new/f"]`, "-c", "ENV PATH=$PATH:/more", "-c", "EXPOSE 80", name, "own/image:v1").OK(t).Out()
	if !strings.HasPrefix(id, "sha256:") || len(id) != 71 {
		t.Errorf("commit prints %q", id)
	}
	inspect := func(format string) string {
		return e.Proa("image", "inspect", "-f", format, "own/image:v1").OK(t).Out()
	}
	equal(t, "name", inspect("{{index .RepoTags 0}}"), "localhost/own/image:v1")
	equal(t, "author and message", inspect("{{.Author}}, {{.Comment}}"), "somebody, a message")
	equal(t, "label", inspect(`{{index .Config.Labels "given"}}`), "1")
	equal(t, "directory", inspect("{{.Config.WorkingDir}}"), "/tmp")
	equal(t, "ports", inspect("{{json .Config.ExposedPorts}}"), `{"80/tcp":{}}`)
	if got := inspect("{{json .Config.Env}}"); !strings.Contains(got, "GIVEN=1") || !strings.Contains(got, ":/more") {
		t.Errorf("environment: %s", got)
	}
	in := func(args ...string) string {
		return e.Proa(append([]string{"run", "--rm", "--network=none", "own/image:v1"}, args...)...).OK(t).Out()
	}
	equal(t, "its command", in(), "inner")
	equal(t, "owner and mode", in("stat", "-c", "%u:%g %a", "/new/f"), "11:12 4750")
	equal(t, "what is deleted and not", in("sh", "-c", "ls /home; ls /etc/group 2>/dev/null; tail -n 1 /etc/passwd; ls /vol; readlink /new/l"), "x\nf")
	e.Proa("commit", "-q", stopped(t, e), "unchanged").OK(t)
	equal(t, "of a container that never ran", e.Proa("run", "--rm", "--network=none", "unchanged", "echo", "ok").OK(t).Out(), "ok")
	e.Proa("commit", "-q", name, "own/image:v1").OK(t)
	equal(t, "the name goes to the newer image", inspect("{{.Comment}}"), "")
	equal(t, "the older one stays", e.Proa("image", "inspect", "-f", "{{.Comment}}", id).OK(t).Out(), "a message")
	file := filepath.Join(e.TempDir(t), "iid")
	equal(t, "--iidfile", e.Proa("commit", "-q", "--iidfile", file, name).OK(t).Out(), e.Command("cat", file).OK(t).Out())
}

// TestCommitInterop: other tools read the image, which checks every digest in it.
func TestCommitInterop(t *testing.T) {
	harness.Requires(t, "skopeo", "newuidmap")
	e := withImage(t, env.Fresh(t))
	conf := e.WriteFile(t, filepath.Join(e.TempDir(t), "storage.conf"), fmt.Sprintf(
		"[storage]\ndriver = \"overlay\"\nrunroot = %q\ngraphroot = %q\n", e.Runtime+"/containers", filepath.Join(e.Home, ".local/share/containers/storage")), 0o644)
	e.Extra = append(slices.Clone(e.Extra), "CONTAINERS_STORAGE_CONF="+conf)
	name := start(t, e, "sh", "-c", "echo x > /new; rm -r /home")
	e.Proa("wait", name).OK(t)
	for format, want := range map[string]string{"oci": "application/vnd.oci.image.manifest.v1+json", "docker": "application/vnd.docker.distribution.manifest.v2+json"} {
		e.Proa("commit", "-q", "--format", format, "-c", "HEALTHCHECK CMD true", name, "made-"+format).OK(t)
		source := "containers-storage:localhost/made-" + format + ":latest"
		if raw := e.Command("skopeo", "inspect", "--raw", source).OK(t).Stdout; !strings.Contains(raw, want) {
			t.Errorf("--format %s makes %s", format, raw)
		}
		tar := filepath.Join(e.TempDir(t), "out.tar")
		e.Command("skopeo", "copy", "-q", source, format+"-archive:"+tar+":localhost/copy:1").OK(t)
		e.Proa("rmi", "made-"+format).OK(t)
		e.Proa("load", "-i", tar).OK(t)
		equal(t, format+" copied and loaded", e.Proa("run", "--rm", "--network=none", "localhost/copy:1", "sh", "-c", "cat /new; ls -d /home 2>/dev/null || echo gone").OK(t).Out(), "x\ngone")
		e.Proa("rmi", "localhost/copy:1").OK(t)
	}
}

func TestCommitRefusals(t *testing.T) {
	e := withImage(t, env.Fresh(t))
	name := start(t, e, "sleep", "1000")
	before := storeFiles(t, e)
	refused(t, e.Proa("commit"), 125, "container")
	refused(t, e.Proa("commit", name, "a", "b"), 125, "3 arguments")
	refused(t, e.Proa("commit", "no-such-container"), 1, "no-such-container")
	refused(t, e.Proa("commit", name, "UPPER"), 125, "UPPER")
	refused(t, e.Proa("commit", name, "a@sha256:"+strings.Repeat("0", 64)), 125, "digest")
	refused(t, e.Proa("commit", "-c", "RUN make", name), 125, "RUN make", "CMD")
	refused(t, e.Proa("commit", "-c", "EXPOSE http", name), 125, "http")
	refused(t, e.Proa("commit", "--format", "tar", name), 125, "tar", "oci or docker")
	root := e.TempDir(t)
	e.Command("sh", "-c", "mkdir -p $0/bin && cp /bin/busybox $0/bin/", root).OK(t)
	e.Proa("create", "--network=none", "--name", "plain", "--rootfs", root, "/bin/busybox", "true").OK(t)
	refused(t, e.Proa("commit", "plain"), 1, "plain", "--squash")
	e.Proa("rm", "plain").OK(t)
	sameFiles(t, e, before)
	equal(t, "images", e.Proa("images", "-aq").OK(t).Out(), e.Proa("images", "-q", image).OK(t).Out())
}

// TestCommitSquash: one layer, with the files of the image too and without those that were deleted.
func TestCommitSquash(t *testing.T) {
	e := withImage(t, env.Fresh(t))
	vol := e.TempDir(t)
	name := start(t, e, "-v", vol+":/vol", "--mount", "type=tmpfs,dst=/mem", "--", "sh", "-c",
		"echo x > /vol/outside; echo x > /mem/f; rm /etc/group; echo new > /f; ln /f /g; chown 7:8 /f; chmod 700 /; mkfifo /p; touch /done; sleep 1000")
	e.Proa("exec", name, "sh", "-c", "while ! test -e /done; do sleep 0.05; done").OK(t)
	id := e.Proa("commit", "-q", "-s", "--include-volumes", "-m", "all", name, "flat").OK(t).Out()
	inspect := func(format string) string { return e.Proa("image", "inspect", "-f", format, "flat").OK(t).Out() }
	equal(t, "layers and history", inspect("{{len .RootFS.Layers}} {{len .History}} {{.Comment}} {{.Architecture}}"), "1 1 all "+runtime.GOARCH)
	equal(t, "--include-volumes", inspect("{{json .Config.Volumes}}"), `{"/mem":{},"/vol":{}}`)
	equal(t, "its files", e.Proa("run", "--rm", "--network=none", "--image-volume=ignore", "flat", "sh", "-c",
		"stat -c '%u:%g %h %a' /f; stat -c %a /; test -p /p; echo $?; ls -A /vol /mem /etc/group 2>/dev/null; true").OK(t).Out(), "7:8 2 644\n700\n0\n/mem:\n\n/vol:")
	e.Proa("rm", "-f", name).OK(t)
	e.Proa("rmi", image).OK(t)
	equal(t, "and it stays", e.Proa("run", "--rm", "--network=none", id, "cat", "/g").OK(t).Out(), "new")
	root := e.TempDir(t)
	e.Command("sh", "-c", "mkdir -p $0/bin && cp /bin/busybox $0/bin/", root).OK(t)
	e.Proa("create", "--network=none", "--name", "plain", "--rootfs", root, "/bin/busybox", "echo", "hi").OK(t)
	e.Proa("commit", "-q", "--squash", "plain", "of-dir").OK(t)
	equal(t, "of a directory", e.Proa("run", "--rm", "--network=none", "of-dir").OK(t).Out(), "hi")
}

// TestCommitPause: the container goes on after it, and after one that was killed.
func TestCommitPause(t *testing.T) {
	e, d := delegated(t)
	d.Proa("run", "-d", "--network=none", "--name", "c", image, "sh", "-c", "dd if=/dev/zero of=/big bs=1M count=150 2>/dev/null; touch /done; sleep 1000").OK(t)
	d.Proa("exec", "c", "sh", "-c", "while ! test -e /done; do sleep 0.05; done").OK(t)
	state := func() string { return d.Proa("ps", "-a", "--format", "{{.State}}").OK(t).Out() }
	d.Proa("commit", "-q", "--pause", "c", "one").OK(t)
	equal(t, "after a commit", state(), "running")
	d.Proa("pause", "c").OK(t)
	d.Proa("commit", "-q", "c", "one").OK(t)
	equal(t, "a commit of a paused one leaves it so", state(), "paused")
	d.Proa("unpause", "c").OK(t)
	for _, id := range strings.Fields(d.Proa("images", "-q", "--no-trunc").OK(t).Out()) {
		if !strings.Contains(d.Proa("image", "inspect", "-f", "{{.RepoTags}}", id).OK(t).Out(), image) {
			d.Proa("rmi", "-f", id).OK(t)
		}
	}
	files, images := storeFiles(t, e), d.Proa("images", "-aq").OK(t).Out()
	for n := range 8 {
		x := d.Proa("commit", "-q", "c", "one").Exec(context.Background())
		if err := x.Start(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Duration(10+30*n) * time.Millisecond) // the point, wherever it is
		if err := x.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		_ = x.Wait()
		equal(t, "after a killed commit", state(), "running")
		d.Proa("commit", "-q", "c", "one").OK(t) // sweeps what the other left
		for _, id := range strings.Fields(d.Proa("images", "-q", "--no-trunc").OK(t).Out()) {
			if !strings.Contains(d.Proa("image", "inspect", "-f", "{{.RepoTags}}", id).OK(t).Out(), image) {
				d.Proa("rmi", "-f", id).OK(t)
			}
		}
		sameFiles(t, e, files)
		equal(t, "images", d.Proa("images", "-aq").OK(t).Out(), images)
	}
}

// TestCommitWithoutPause: where the host can't pause, that is said, and refused to who asks for it.
func TestCommitWithoutPause(t *testing.T) {
	name := start(t, env, "sleep", "1000")
	if env.Proa("pause", name).Run(t).Code == 0 {
		t.Skip("needs a host that can't pause containers")
	}
	refused(t, env.Proa("commit", "--pause", name, "x"), 1, name, "paused")
	r := env.Proa("commit", name, "x").OK(t)
	if !strings.Contains(r.Stderr, "warning") || !strings.Contains(r.Stderr, "paused") {
		t.Errorf("no warning: %s", r.Stderr)
	}
	equal(t, "quiet", env.Proa("commit", "-q", name, "x").OK(t).Stderr, "")
	equal(t, "without a pause", env.Proa("commit", "--pause=false", name, "x").OK(t).Stderr, "")
	for range 3 {
		env.Proa("rmi", "-f", "x").Run(t)
	}
}
