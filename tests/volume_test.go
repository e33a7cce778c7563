package tests

import (
	"archive/tar"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/proa-containers/proa/tests/harness"
)

// newVolume makes a volume that is removed when the test ends, and returns its name.
func newVolume(t testing.TB, e *harness.Env, flags ...string) string {
	t.Helper()
	name := containerName(t) + "-v"
	equal(t, "volume create", e.Proa(append(append([]string{"volume", "create"}, flags...), name)...).OK(t).Out(), name)
	t.Cleanup(func() { e.Proa("volume", "rm", "-f", name).Run(t) })
	return name
}

func volumes(t testing.TB, e *harness.Env) string {
	t.Helper()
	return strings.Join(strings.Fields(e.Proa("volume", "ls", "-q").OK(t).Out()), " ")
}

// volumeImage loads an image with a directory /data as images have it: files of several users, links, modes.
func volumeImage(t testing.TB, e *harness.Env, name string, volumes []string, entries ...harness.Entry) string {
	t.Helper()
	img := baseImage(t)
	img.Layers = append(slices.Clone(img.Layers), harness.Layer(entries...))
	img.Config.Volumes = map[string]struct{}{}
	for _, v := range volumes {
		img.Config.Volumes[v] = struct{}{}
	}
	ref := "localhost/proa-test/" + name + ":1"
	e.Proa("load", "-q", "-i", archive(t, e, "v.tar", img.DockerArchive(ref))).OK(t)
	return ref
}

func dataEntries() []harness.Entry {
	return []harness.Entry{
		{Name: "data/", Mode: 0o2750, UID: 1000, GID: 29}, {Name: "data/root", Content: "r", Mode: 0o600},
		{Name: "data/alice", Content: "a", Mode: 0o640, UID: 1000, GID: 1000}, {Name: "data/suid", Content: "s", Mode: 0o4755, UID: 1000},
		{Name: "data/sub/", Mode: 0o1777}, {Name: "data/sub/deep", Content: "d", Mode: 0o644, UID: 1000, GID: 29},
		{Name: "data/again", Type: tar.TypeLink, Link: "data/alice", Mode: 0o640, UID: 1000, GID: 1000}, {Name: "data/link", Type: tar.TypeSymlink, Link: "/etc/passwd", UID: 1000},
		{Name: "data/pipe", Type: tar.TypeFifo, Mode: 0o622, UID: 1000},
	}
}

const dataList = "cd /d && stat -c '%n %u:%g %a %h %F' . root alice suid sub sub/deep again link pipe && cat root alice sub/deep && readlink link"

const dataWant = `. 1000:29 2750 3 directory
root 0:0 600 1 regular file
alice 1000:1000 640 2 regular file
suid 1000:0 4755 1 regular file
sub 0:0 1777 2 directory
sub/deep 1000:29 644 1 regular file
again 1000:1000 640 2 regular file
link 1000:0 777 1 symbolic link
pipe 1000:0 622 1 fifo
rad/etc/passwd`

func TestVolumeKeepsData(t *testing.T) {
	v := newVolume(t, env)
	run(t, "-v", v+":/d", "--", "sh", "-c", "echo one > /d/f; chown 1000:1000 /d").OK(t)
	run(t, "-v", v+":/d", "-u", "1000", "--", "sh", "-c", "echo two > /d/g").OK(t)
	equal(t, "content", run(t, "-v", v+":/d:ro", "--", "sh", "-c", "cat /d/f /d/g; stat -c %u:%g /d/f /d/g").OK(t).Out(), "one\ntwo\n0:0\n1000:1000")
	refused(t, run(t, "-v", v+":/d:ro", "--", "touch", "/d/x"), 1, "Read-only")
	refused(t, run(t, "--mount", "src="+v+",dst=/d,ro", "--", "touch", "/d/x"), 1, "Read-only")
	refused(t, run(t, "-v", v+":/d:noexec", "--", "sh", "-c", "cp /bin/busybox /d/b; /d/b true"), 126, "denied")
	// The place that users of the ecosystem know, with a user's own file in it.
	path := env.Proa("volume", "inspect", "-f", "{{ .Mountpoint }}", v).OK(t).Out()
	equal(t, "place", path, filepath.Join(env.Home, ".local/share/containers/storage/volumes", v, "_data"))
	equal(t, "on the host", env.Command("cat", path+"/f").OK(t).Out(), "one")
}

func TestVolumeShared(t *testing.T) {
	v := newVolume(t, env)
	first := start(t, env, "-v", v+":/a", "--", "sleep", "1000")
	second := start(t, env, "-u", "1000", "-v", v+":/b", "--", "sleep", "1000")
	env.Proa("exec", first, "sh", "-c", "echo hello > /a/f; chmod 666 /a/f").OK(t)
	env.Proa("exec", second, "sh", "-c", "echo world >> /b/f").OK(t)
	equal(t, "shared", env.Proa("exec", first, "cat", "/a/f").OK(t).Out(), "hello\nworld")
	equal(t, "ps --filter", env.Proa("ps", "--filter", "volume="+v, "--format", "{{.Names}} {{.LocalVolumes}}").OK(t).Out(), second+" 1\n"+first+" 1")
	equal(t, "ps --filter target", env.Proa("ps", "-q", "--filter", "volume=/b", "--format", "{{.Names}}").OK(t).Out(), second)
	equal(t, "ps --filter none", env.Proa("ps", "-q", "--filter", "volume=nosuch").OK(t).Out(), "")

	refused(t, env.Proa("volume", "rm", v), 1, v, first, second, "in use")
	refused(t, env.Proa("volume", "rm", "-f", v), 1, v, first, second)
	env.Proa("rm", "-f", "-v", first).OK(t) // a named one stays
	env.Proa("stop", "-t", "0", second).OK(t)
	refused(t, env.Proa("volume", "rm", v), 1, second)
	env.Proa("start", second).OK(t)
	equal(t, "after a start", env.Proa("exec", second, "cat", "/b/f").OK(t).Out(), "hello\nworld")
	env.Proa("rm", "-f", second).OK(t)
	equal(t, "rm", env.Proa("volume", "rm", v).OK(t).Out(), v)
	env.Proa("volume", "exists", v).Want(t, 1)
}

func TestVolumeMadeByRun(t *testing.T) {
	e := withImage(t, env.Fresh(t))
	e.Proa("run", "--rm", "--network=none", "-v", "named:/d", "--mount", "type=volume,src=other,dst=/e,volume-label=k=v,volume-opt=o=uid=1000", image, "touch", "/d/x").OK(t)
	equal(t, "ls", volumes(t, e), "named other")
	equal(t, "label", e.Proa("volume", "inspect", "-f", "{{.Labels.k}} {{.Options.o}} {{.Driver}} {{.Scope}}", "other").OK(t).Out(), "v uid=1000 local local")
	refused(t, e.Proa("run", "--rm", "--network=none", "--mount", "src=other,dst=/e,volume-label=k=w", image, "true"), 125, "other", "k=v")
	equal(t, "containers", e.Proa("ps", "-aq").OK(t).Out(), "")
	for _, bad := range [][]string{{"-v", "no such:/d"}, {"-v", ".hidden:/d"}, {"-v", strings.Repeat("a", 256) + ":/d"}, {"-v", "x:/d:slave"}, {"-v", "x:/d", "-v", "y:/d/"}, {"--volumes-from", "nosuch"}} {
		refused(t, e.Proa(append(append([]string{"run", "--rm", "--network=none"}, bad...), image, "true")...), 125)
	}
	equal(t, "ls", volumes(t, e), "named other")
}

func TestVolumeCopyUp(t *testing.T) {
	e := withImage(t, env.Fresh(t))
	ref := volumeImage(t, e, "data", nil, dataEntries()...)
	in := func(args ...string) *harness.Cmd {
		return e.Proa(append([]string{"run", "--rm", "--network=none"}, args...)...)
	}
	equal(t, "copy", in("-v", "one:/data", ref, "sh", "-c", strings.ReplaceAll(dataList, "/d ", "/data ")).OK(t).Out(), dataWant)
	equal(t, "elsewhere", in("-v", "one:/d", image, "sh", "-c", dataList).OK(t).Out(), dataWant)
	equal(t, "read-only", in("-v", "two:/data:ro", ref, "sh", "-c", strings.ReplaceAll(dataList, "/d ", "/data ")).OK(t).Out(), dataWant)
	equal(t, "not root", in("-u", "1000:29", "-v", "three:/data", ref, "cat", "/data/alice", "/data/sub/deep").OK(t).Out(), "ad")
	equal(t, "nocopy", in("-v", "four:/data:nocopy", ref, "ls", "-A", "/data").OK(t).Out(), "")
	equal(t, "volume-nocopy", in("--mount", "src=five,dst=/data,volume-nocopy", ref, "ls", "-A", "/data").OK(t).Out(), "")
	in("-v", "six:/d", image, "touch", "/d/mine").OK(t)
	equal(t, "not into one that holds something", in("-v", "six:/data", ref, "ls", "-A", "/data").OK(t).Out(), "mine")

	// With create the content is there before the start; what the container empties stays empty.
	e.Proa("create", "--name", "late", "--network=none", "-v", "seven:/data", ref, "sh", "-c", "ls /data | wc -l; rm -r /data/*").OK(t)
	equal(t, "created", in("-v", "seven:/d", image, "sh", "-c", dataList).OK(t).Out(), dataWant)
	equal(t, "first", e.Proa("start", "-a", "late").OK(t).Out(), "7")
	equal(t, "second", strings.TrimSpace(e.Proa("start", "-a", "late").Run(t).Stdout), "0")
}

func TestImageVolumes(t *testing.T) {
	e := withImage(t, env.Fresh(t))
	ref := volumeImage(t, e, "vols", []string{"/data", "/data/", "/empty"}, dataEntries()...)
	e.Proa("run", "--rm", "--network=none", ref, "sh", "-c", "grep -c ' /data \\| /empty ' /proc/self/mountinfo").OK(t)
	equal(t, "gone with --rm", volumes(t, e), "")
	e.Proa("create", "--name", "c", "--network=none", ref, "sh", "-c", strings.ReplaceAll(dataList, "/d ", "/data ")).OK(t)
	list := strings.Fields(volumes(t, e))
	if len(list) != 2 || len(list[0]) != 64 {
		t.Fatalf("volumes %q, want two with ids as names", list)
	}
	equal(t, "content", e.Proa("start", "-a", "c").OK(t).Out(), dataWant)
	equal(t, "Config.Volumes", e.Proa("inspect", "-f", "{{json .Config.Volumes}} {{len .Mounts}} {{(index .Mounts 0).Type}}", "c").OK(t).Out(), `{"/data":{},"/empty":{}} 2 volume`)
	equal(t, "anonymous", e.Proa("volume", "ls", "-q", "-f", "label=com.docker.volume.anonymous").OK(t).Out(), strings.Join(list, "\n"))
	refused(t, e.Proa("volume", "rm", list[0]), 1, `"c"`)
	e.Proa("rm", "c").OK(t)
	equal(t, "kept by rm", volumes(t, e), strings.Join(list, " "))
	equal(t, "prune", strconv.Itoa(strings.Count(e.Proa("volume", "prune", "-f").OK(t).Stdout, "\n")), "5")
	e.Proa("create", "--name", "c", "--network=none", ref).OK(t)
	e.Proa("rm", "-v", "c").OK(t)
	equal(t, "gone with rm -v", volumes(t, e), "")

	equal(t, "replaced", e.Proa("run", "--rm", "--network=none", "-v", "mine:/empty", "--image-volume", "ignore", ref, "sh", "-c", "ls /data/root; grep -c ' /data ' /proc/self/mountinfo || true").OK(t).Out(), "/data/root\n0")
	equal(t, "tmpfs", e.Proa("run", "--rm", "--network=none", "--image-volume", "tmpfs", ref, "sh", "-c", "ls /data; stat -f -c %T /data").OK(t).Out(), "tmpfs")
	onFile := volumeImage(t, e, "filevol", []string{"/etc/passwd"})
	refused(t, e.Proa("run", "--rm", "--network=none", onFile, "true"), ownError, "/etc/passwd", "not a directory")
	equal(t, "ls", volumes(t, e), "mine")
	bad := volumeImage(t, e, "badvols", []string{"relative"})
	refused(t, e.Proa("run", "--rm", "--network=none", bad, "true"), 125, "relative")
	root := volumeImage(t, e, "rootvol", []string{"/"})
	refused(t, e.Proa("run", "--rm", "--network=none", root, "true"), 125, `"/"`)
	equal(t, "ls", volumes(t, e), "mine")
}

func TestAnonymousVolume(t *testing.T) {
	e := withImage(t, env.Fresh(t))
	e.Proa("run", "--rm", "--network=none", "-v", "/a", "--mount", "dst=/b", image, "sh", "-c", "touch /a/x /b/x").OK(t)
	equal(t, "gone with --rm", volumes(t, e), "")
	e.Proa("run", "-d", "--name", "c", "--network=none", "-v", "/a", image, "sh", "-c", "echo kept > /a/x; sleep 1000").OK(t)
	// Another's volumes, read-only, and its own; the anonymous volume lives as long as one of the two.
	harness.Eventually(t, "the file is there", func() bool { return e.Proa("exec", "c", "cat", "/a/x").Run(t).Out() == "kept" })
	e.Proa("run", "-d", "--name", "d", "--network=none", "--volumes-from", "c:ro", image, "sleep", "1000").OK(t)
	equal(t, "inherited", e.Proa("exec", "d", "cat", "/a/x").OK(t).Out(), "kept")
	refused(t, e.Proa("exec", "d", "touch", "/a/y"), 1, "Read-only")
	equal(t, "inspect", e.Proa("inspect", "-f", "{{(index .Mounts 0).RW}} {{.HostConfig.VolumesFrom}}", "d").OK(t).Out(), "false [c:ro]")
	e.Proa("rm", "-f", "-v", "c").OK(t)
	equal(t, "still used", e.Proa("exec", "d", "cat", "/a/x").OK(t).Out(), "kept")
	e.Proa("rm", "-f", "-v", "d").OK(t)
	equal(t, "gone", volumes(t, e), "")
}

func TestVolumesFromBind(t *testing.T) {
	dir := env.TempDir(t)
	env.WriteFile(t, filepath.Join(dir, "f"), "bound", 0o644)
	v := newVolume(t, env)
	name := containerName(t)
	withImage(t, env).Proa("create", "--name", name, "--network=none", "-v", dir+":/b", "-v", v+":/v", "--tmpfs", "/t", image).OK(t)
	removeLater(t, env, name)
	equal(t, "mounts", run(t, "--volumes-from", name, "-v", v+":/b:ro", "--", "sh", "-c", "ls /b; grep -c ' /v ' /proc/self/mountinfo; grep -c ' /t ' /proc/self/mountinfo || true").OK(t).Out(), "1\n0")
	equal(t, "bind", run(t, "--volumes-from", name, "--", "cat", "/b/f").OK(t).Out(), "bound")
}

func TestVolumeLost(t *testing.T) {
	v := newVolume(t, env)
	name := containerName(t)
	withImage(t, env).Proa("create", "--name", name, "--network=none", "-v", v+":/d", image, "true").OK(t)
	removeLater(t, env, name)
	env.Proa("unshare", "rm", "-rf", filepath.Dir(env.Proa("volume", "inspect", "-f", "{{.Mountpoint}}", v).OK(t).Out())).OK(t)
	refused(t, env.Proa("start", name), ownError, v, "gone", "proa volume create")
	env.Proa("inspect", name).OK(t)
	env.Proa("volume", "create", v).OK(t)
	env.Proa("start", "-a", name).OK(t)
}

func TestVolumeInspectMounts(t *testing.T) {
	v := newVolume(t, env)
	name := start(t, env, "-v", v+":/d:ro,nocopy", "--", "sleep", "1000")
	var got []struct {
		Mounts []struct {
			Type, Name, Source, Destination, Driver, Mode, Propagation string
			RW                                                         bool
		}
		HostConfig struct{ Binds []string }
	}
	out := env.Proa("inspect", name).OK(t).Stdout
	if err := json.Unmarshal([]byte(out), &got); err != nil || len(got) != 1 || len(got[0].Mounts) != 1 {
		t.Fatalf("%v: %s", err, out)
	}
	m := got[0].Mounts[0]
	source := filepath.Join(env.Home, ".local/share/containers/storage/volumes", v, "_data")
	if m.Type != "volume" || m.Name != v || m.Source != source || m.Destination != "/d" || m.Driver != "local" || m.Mode != "ro,nocopy" || m.RW || m.Propagation != "" {
		t.Errorf("%+v", m)
	}
	equal(t, "Binds", strings.Join(got[0].HostConfig.Binds, " "), v+":/d:ro,nocopy")
}

func TestVolumeChown(t *testing.T) {
	v := newVolume(t, env)
	run(t, "-v", v+":/d", "--", "sh", "-c", "mkdir /d/sub; touch /d/sub/f; ln -s /etc/passwd /d/link").OK(t)
	equal(t, "owners", run(t, "-u", "1000:1000", "-v", v+":/d:U", "--", "sh", "-c", "touch /d/sub/mine; stat -c %u:%g /d /d/sub /d/sub/f /d/link /etc/passwd").OK(t).Out(),
		"1000:1000\n1000:1000\n1000:1000\n1000:1000\n0:0")
}

func TestVolumeSubpath(t *testing.T) {
	v := newVolume(t, env)
	run(t, "-v", v+":/d", "--", "sh", "-c", "mkdir -p /d/a/b; echo deep > /d/a/b/f; ln -s /etc /d/out; ln -s ../../../../../etc /d/up; ln -s a/b /d/in").OK(t)
	at := func(sub string) *harness.Cmd {
		return run(t, "--mount", "src="+v+",dst=/s,volume-subpath="+sub, "--", "ls", "/s")
	}
	equal(t, "part", at("a/b").OK(t).Out(), "f")
	equal(t, "link within", at("in").OK(t).Out(), "f")
	equal(t, "a file", run(t, "--mount", "src="+v+",dst=/s/f,volume-subpath=a/b/f", "--", "cat", "/s/f").OK(t).Out(), "deep")
	for _, bad := range []string{"nosuch", "out", "up"} { // within the volume there is no /etc
		refused(t, at(bad), ownError, bad)
	}
	run(t, "-v", v+":/d", "--", "mkdir", "/d/etc").OK(t)
	equal(t, "a link out leads into the volume", at("out").OK(t).Out(), "")
}

// TestHostileVolumePath has images whose links at the volume's path lead out of the root.
func TestHostileVolumePath(t *testing.T) {
	e := withImage(t, env.Fresh(t))
	host := e.TempDir(t)
	e.WriteFile(t, filepath.Join(host, "secret"), "host", 0o644)
	up := strings.Repeat("../", 20)
	for name, entries := range map[string][]harness.Entry{
		"absolute": {{Name: "data", Type: tar.TypeSymlink, Link: host}},
		"relative": {{Name: "data", Type: tar.TypeSymlink, Link: up + host[1:]}},
		"parent":   {{Name: "sub", Type: tar.TypeSymlink, Link: filepath.Dir(host)}, {Name: "data", Type: tar.TypeSymlink, Link: "/sub/" + filepath.Base(host)}},
		"magic":    {{Name: "data", Type: tar.TypeSymlink, Link: "/proc/1/root" + host}},
		"self":     {{Name: "data", Type: tar.TypeSymlink, Link: "/proc/self/cwd"}},
		"inside":   {{Name: "data/"}, {Name: "data/dir", Type: tar.TypeSymlink, Link: host}, {Name: "data/file", Type: tar.TypeSymlink, Link: host + "/secret"}},
		"loop":     {{Name: "data", Type: tar.TypeSymlink, Link: "data"}},
	} {
		t.Run(name, func(t *testing.T) {
			ref := volumeImage(t, e, "hostile-"+name, []string{"/data"}, entries...)
			r := e.Proa("run", "--network=none", "--name", name, "-v", name+":/data", ref, "sh", "-c", "echo owned > /data/secret; cat /data/file /data/dir/secret").Run(t)
			if strings.Contains(r.Stdout, "host") {
				t.Errorf("the host's file came into the container: %s", r.Stdout)
			}
			e.Proa("rm", "-f", "-v", name).OK(t)
			path := e.Proa("volume", "inspect", "-f", "{{.Mountpoint}}", name).OK(t).Out()
			if out := e.Proa("unshare", "grep", "-rl", "host", path).Run(t).Out(); out != "" {
				t.Errorf("the host's file was copied: %s", out)
			}
			got, err := os.ReadFile(filepath.Join(host, "secret"))
			if err != nil || string(got) != "host" {
				t.Errorf("the host's file is %q: %v", got, err)
			}
			list, err := os.ReadDir(host)
			if err != nil || len(list) != 1 {
				t.Errorf("the host's directory has %v: %v", list, err)
			}
		})
	}
	equal(t, "ps", e.Proa("ps", "-aq").OK(t).Out(), "")
	e.Proa("volume", "rm", "-a").OK(t)
}

// TestVolumeCp copies to and from a volume of a container that does not run, and of one that has the volume read-only.
func TestVolumeCp(t *testing.T) {
	v := newVolume(t, env)
	name := containerName(t)
	withImage(t, env).Proa("create", "--name", name, "--network=none", "-v", v+":/d", "-v", v+":/ro:ro", "--mount", "src="+v+",dst=/part,volume-subpath=sub", image, "true").OK(t)
	removeLater(t, env, name)
	run(t, "-v", v+":/d", "--", "sh", "-c", "mkdir /d/sub; echo in > /d/f; echo deep > /d/sub/g").OK(t)
	dir := env.TempDir(t)
	file := env.WriteFile(t, filepath.Join(dir, "new"), "new", 0o644)
	env.Proa("cp", name+":/d/f", dir+"/f").OK(t)
	equal(t, "out", env.Command("cat", dir+"/f").OK(t).Out(), "in")
	env.Proa("cp", name+":/part/g", dir+"/g").OK(t)
	equal(t, "out of a part", env.Command("cat", dir+"/g").OK(t).Out(), "deep")
	env.Proa("cp", file, name+":/d/new").OK(t)
	equal(t, "in", run(t, "-v", v+":/d", "--", "cat", "/d/new").OK(t).Out(), "new")
	refused(t, env.Proa("cp", file, name+":/ro/x"), ownError, "read-only")
	if out := env.Proa("diff", name).OK(t).Out(); strings.Contains(out, "/d/") {
		t.Errorf("diff shows the volume: %s", out)
	}
	env.Proa("container", "clone", name, name+"-2").OK(t)
	removeLater(t, env, name+"-2")
	equal(t, "clone", env.Proa("inspect", "-f", "{{(index .Mounts 0).Name}}", name+"-2").OK(t).Out(), v)
}

func TestCloneAnonymousVolume(t *testing.T) {
	e := withImage(t, env.Fresh(t))
	ref := volumeImage(t, e, "cloned", []string{"/data"}, dataEntries()...)
	e.Proa("create", "--name", "a", "--network=none", "-v", "/own", ref, "true").OK(t)
	e.Proa("container", "clone", "a", "b").OK(t)
	if list := strings.Fields(volumes(t, e)); len(list) != 4 {
		t.Errorf("%d volumes, want two for each", len(list))
	}
	e.Proa("rm", "-v", "a").OK(t)
	e.Proa("start", "-a", "b").OK(t)
	e.Proa("rm", "-v", "b").OK(t)
	equal(t, "volumes", volumes(t, e), "")
}
