package tests

import (
	"archive/tar"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/proa-containers/proa/tests/harness"
)

func TestVolumeList(t *testing.T) {
	e := withImage(t, env.Fresh(t))
	equal(t, "empty", e.Proa("volume", "ls").OK(t).Out(), "DRIVER   VOLUME NAME")
	e.Proa("volume", "create", "-l", "a=1", "--label", "b=x,y", "one").OK(t)
	e.Proa("volume", "create", "-d", "local", "-o", "type=tmpfs", "-o", "o=size=1m", "two").OK(t)
	equal(t, "no name", e.Proa("volume", "create").OK(t).Out(), e.Proa("volume", "ls", "-q", "-f", "label=com.docker.volume.anonymous").OK(t).Out())
	e.Proa("volume", "prune", "-f").OK(t)
	e.Proa("create", "--name", "c", "--network=none", "-v", "one:/d", image).OK(t)
	ls := func(args ...string) string {
		return strings.ReplaceAll(e.Proa(append([]string{"volume", "ls"}, args...)...).OK(t).Out(), "\n", " ")
	}
	equal(t, "table", e.Proa("volume", "list").OK(t).Out(), "DRIVER   VOLUME NAME\nlocal    one\nlocal    two")
	equal(t, "--noheading", ls("--noheading"), "local   one local   two")
	equal(t, "--noheading of no table", ls("--noheading", "--format", "{{.Name}}"), "one two")
	for filter, want := range map[string]string{
		"name=on": "one", "name=^two$": "two", "name=nosuch": "", "label=a": "one", "label=a=1": "one", "label=a=2": "", "label!=a": "two", "dangling=true": "two",
		"dangling=false": "one", "driver=local": "one two", "driver=nfs": "", "opt=type=tmpfs": "two", "scope=local": "one two", "since=one": "two", "until=1h": "",
	} {
		equal(t, filter, ls("-q", "-f", filter), want)
	}
	equal(t, "either name", ls("-q", "--filter", "name=one", "--filter", "name=two"), "one two")
	equal(t, "both", ls("-q", "--filter", "name=one", "--filter", "dangling=true"), "")
	equal(t, "template", ls("--format", `{{.Name}}|{{.Driver}}|{{.Scope}}|{{.Labels}}|{{.Label "b"}}|{{.Options}}`), "one|local|local|a=1,b=x,y|x,y| two|local|local|||o=size=1m,type=tmpfs")
	if out := ls("--format", "json", "-f", "name=one"); !strings.HasPrefix(out, `{"Availability":"N/A","Driver":"local","Group":"N/A","Labels":"a=1,b=x,y","Links":"N/A","Mountpoint":"/`) {
		t.Error(out)
	}
	equal(t, "inspect", e.Proa("volume", "inspect", "--format", "{{.Name}} {{.Labels.a}}", "one").OK(t).Out(), "one 1")
	equal(t, "type", e.Proa("inspect", "--type", "volume", "-f", "{{.Scope}}", "one").OK(t).Out(), "local")
	equal(t, "inspect", e.Proa("inspect", "-f", "{{.Name}}", "two").OK(t).Out(), "two")
	equal(t, "all", strings.ReplaceAll(e.Proa("volume", "inspect", "-a", "-f", "{{.Name}}").OK(t).Out(), "\n", " "), "one two")
	path := filepath.Join(e.Home, ".local/share/containers/storage/volumes/one/_data")
	equal(t, "mount", e.Proa("volume", "mount", "one", "one").OK(t).Out(), path+"\n"+path)
	equal(t, "unmount", e.Proa("volume", "unmount", "one").OK(t).Out(), "one")
	refused(t, e.Proa("volume", "mount", "nosuch"), 1, "nosuch")
	refused(t, e.Proa("volume", "mount", "two"), 1, "two", "tmpfs")
	refused(t, e.Proa("volume", "umount"), 1, "at least one")
	e.Proa("volume", "exists", "one").OK(t)
	e.Proa("volume", "exists", "nosuch").Want(t, 1)
	e.Proa("volume", "exists", "../one").Want(t, 1)
}

func TestVolumeCreateAgain(t *testing.T) {
	v := newVolume(t, env, "-l", "a=1")
	env.Proa("volume", "create", v).OK(t)
	env.Proa("volume", "create", "-l", "a=1", v).OK(t)
	refused(t, env.Proa("volume", "create", "-l", "a=2", v), 1, v, "a=1")
	env.Proa("volume", "create", "--ignore", "-l", "a=2", v).OK(t)
	equal(t, "label", env.Proa("volume", "inspect", "-f", "{{.Labels.a}}", v).OK(t).Out(), "1")
}

func TestVolumeBadInput(t *testing.T) {
	v := newVolume(t, env)
	for _, bad := range []struct {
		args []string
		want string
	}{
		{[]string{"create", "a", "b"}, "one name"}, {[]string{"create", "no/slash"}, "no/slash"}, {[]string{"create", "..", "-l", "a"}, ".."}, {[]string{"create", ""}, `""`},
		{[]string{"create", "-d", "nfs"}, "nfs"}, {[]string{"create", "-l", "=x"}, "=x"}, {[]string{"create", "-o", "x"}, "KEY=VALUE"}, {[]string{"create", "-o", "speed=1"}, "speed"},
		{[]string{"create", "-o", "type=nfs", "-o", "device=:/x", "-o", "o=addr=1.2.3.4"}, "root"}, {[]string{"create", "-o", "type=none", "-o", "device=/tmp"}, "o=bind"},
		{[]string{"create", "-o", "o=bind", "-o", "device=relative"}, "relative"}, {[]string{"create", "-o", "o=size=1g"}, "size"}, {[]string{"create", "-o", "device=/dev/sda"}, "type"},
		{[]string{"create", "-o", "type=ext4", "-o", "device=/dev/sda"}, "root"}, {[]string{"create", "-o", "type=none", "-o", "o=bind,sweet", "-o", "device=/tmp"}, "sweet"},
		{[]string{"ls", "x"}, "x"}, {[]string{"ls", "-f", "x"}, "KEY=VALUE"}, {[]string{"ls", "-f", "color=red"}, "color"}, {[]string{"ls", "-f", "dangling=x"}, "true or false"},
		{[]string{"ls", "--format", "{{.Nosuch}}"}, "Nosuch"}, {[]string{"inspect"}, "names"}, {[]string{"inspect", "nosuch"}, "nosuch"}, {[]string{"inspect", "-f", "{{", v}, "{{"},
		{[]string{"rm"}, "names"}, {[]string{"rm", "nosuch"}, "nosuch"}, {[]string{"rm", "-a", v}, "--all"}, {[]string{"prune", "x"}, "x"}, {[]string{"prune", "-f", "--filter", "all=x"}, "all=x"},
		{[]string{"prune"}, "nothing was removed"}, {[]string{"export"}, "one volume"}, {[]string{"export", "nosuch"}, "nosuch"}, {[]string{"import", "nosuch", "-"}, "nosuch"},
		{[]string{"import", v, "/no/such/file"}, "/no/such/file"}, {[]string{"import", v, "/etc/passwd"}, v}, {[]string{"reload", "x"}, "x"},
	} {
		refused(t, env.Proa(append([]string{"volume"}, bad.args...)...), 1, bad.want)
	}
	refused(t, env.Proa("volume", "exists"), 125, "one volume")
	equal(t, "unharmed", env.Proa("volume", "ls", "-q", "-f", "name="+v).OK(t).Out(), v)
	env.Proa("volume", "rm", "-f", "nosuch").OK(t)
}

func TestVolumePrune(t *testing.T) {
	e := withImage(t, env.Fresh(t))
	e.Proa("volume", "create", "named").OK(t)
	e.Proa("volume", "create", "-l", "keep=1", "kept").OK(t)
	e.Proa("run", "--network=none", "--name", "c", "-v", "/a", image, "dd", "if=/dev/zero", "of=/a/f", "bs=1k", "count=2000").OK(t)
	anon := e.Proa("volume", "ls", "-q", "-f", "dangling=false").OK(t).Out()
	equal(t, "in use", e.Proa("volume", "prune", "-f").OK(t).Out(), "Total reclaimed space: 0B")
	e.Proa("rm", "c").OK(t)

	no := e.Proa("volume", "prune")
	no.Stdin = strings.NewReader("n\n")
	equal(t, "no", no.Want(t, 1).Out(), "WARNING! This will remove anonymous local volumes not used by at least one container.\nAre you sure you want to continue? [y/N] ")
	yes := e.Proa("volume", "prune")
	yes.Stdin = strings.NewReader("y\n")
	out := yes.OK(t).Stdout
	if !strings.Contains(out, "[y/N] Deleted Volumes:\n"+anon+"\n\nTotal reclaimed space: 2.04") || !strings.HasSuffix(out, "MB\n") {
		t.Errorf("prune: %q", out)
	}
	equal(t, "named ones stay", volumes(t, e), "kept named")
	e.Proa("volume", "prune", "-f", "-a", "--filter", "label!=keep").OK(t)
	equal(t, "--all", volumes(t, e), "kept")
	e.Proa("volume", "prune", "-f", "--filter", "all=true", "--filter", "label=keep=1").OK(t)
	equal(t, "--filter", volumes(t, e), "")
	left, err := os.ReadDir(filepath.Join(e.Home, ".local/share/containers/storage/volumes"))
	if err != nil || len(left) != 0 {
		t.Errorf("left: %v %v", left, err)
	}
}

func TestVolumeExportImport(t *testing.T) {
	e := withImage(t, env.Fresh(t))
	ref := volumeImage(t, e, "data", nil, dataEntries()...)
	e.Proa("run", "--rm", "--network=none", "-v", "one:/data", ref, "true").OK(t)
	file := filepath.Join(e.TempDir(t), "one.tar")
	e.Proa("volume", "export", "-o", file, "one").OK(t)
	e.Proa("volume", "create", "two").OK(t)
	e.Proa("run", "--rm", "--network=none", "-v", "two:/d", image, "sh", "-c", "echo old > /d/alice; echo mine > /d/mine; mkdir /d/sub; echo mine > /d/sub/mine").OK(t)
	e.Proa("volume", "import", "two", file).OK(t)
	out := e.Proa("run", "--rm", "--network=none", "-v", "two:/d", image, "sh", "-c", dataList+"; cat /d/mine /d/sub/mine").OK(t).Out()
	equal(t, "imported", out, dataWant+"\nmine\nmine")
	e.Proa("volume", "create", "three").OK(t)
	r := e.Command("sh", "-c", `"$0" volume export one | gzip | "$0" volume import three -`, filepath.Join(e.Prefix, "bin/proa"))
	r.OK(t)
	equal(t, "through a pipe", e.Proa("run", "--rm", "--network=none", "-v", "three:/d", image, "sh", "-c", dataList).OK(t).Out(), dataWant)
}

// TestVolumeImportHostile has archives that try to leave the volume; what is not whole leaves the volume as it was.
func TestVolumeImportHostile(t *testing.T) {
	e := withImage(t, env.Fresh(t))
	host := e.TempDir(t)
	e.Proa("volume", "create", "v").OK(t)
	e.Proa("run", "--rm", "--network=none", "-v", "v:/d", image, "sh", "-c", "mkdir /d/dir; touch /d/dir/f; ln -s "+host+" /d/link").OK(t)
	good := harness.Layer(harness.Entry{Name: "new", Content: strings.Repeat("x", 10000)})
	for name, content := range map[string][]byte{
		"dots":          harness.Layer(harness.Entry{Name: "ok", Content: "x"}, harness.Entry{Name: "../../../owned", Content: "x"}),
		"absolute":      harness.Layer(harness.Entry{Name: host + "/owned", Content: "x"}),
		"link":          harness.Layer(harness.Entry{Name: "l", Type: tar.TypeSymlink, Link: host}, harness.Entry{Name: "l/owned", Content: "x"}),
		"the volume's":  harness.Layer(harness.Entry{Name: "link/owned", Content: "x"}),
		"hard link":     harness.Layer(harness.Entry{Name: "h", Type: tar.TypeLink, Link: "../../../../../../etc/passwd"}),
		"journal":       harness.Layer(harness.Entry{Name: ".proa-filled", Type: tar.TypeSymlink, Link: host}),
		"cut":           good[:6000],
		"over full dir": harness.Layer(harness.Entry{Name: "dir", Content: "a file"}),
	} {
		t.Run(name, func(t *testing.T) {
			e.Proa("volume", "import", "v", archive(t, e, "i.tar", content)).Run(t)
			list, err := os.ReadDir(host)
			if err != nil || len(list) != 0 {
				t.Errorf("the host's directory has %v: %v", list, err)
			}
			for _, f := range []string{"owned", "volumes/owned", "volumes/v/owned"} {
				if _, err := os.Lstat(filepath.Join(e.Home, ".local/share/containers/storage", f)); err == nil {
					t.Errorf("%s was written", f)
				}
			}
		})
	}
	equal(t, "what was there", e.Proa("run", "--rm", "--network=none", "-v", "v:/d", image, "sh", "-c", "ls /d/dir; ls /d/new 2>/dev/null; true").OK(t).Out(), "f")
	e.Proa("volume", "reload").OK(t)
	e.Proa("volume", "rm", "v").OK(t)
}

func TestVolumeOfAnotherTool(t *testing.T) {
	e := withImage(t, env.Fresh(t))
	dir := filepath.Join(e.Home, ".local/share/containers/storage/volumes")
	e.Command("mkdir", "-p", dir+"/theirs/_data", dir+"/nodata").OK(t)
	e.Command("sh", "-c", "echo theirs > "+dir+"/theirs/_data/f").OK(t)
	equal(t, "ls", volumes(t, e), "theirs")
	equal(t, "content", e.Proa("run", "--rm", "--network=none", "-v", "theirs:/d", image, "cat", "/d/f").OK(t).Out(), "theirs")
	e.Proa("volume", "create", "theirs").OK(t)
	refused(t, e.Proa("volume", "create", "-l", "a=1", "theirs"), 1, "theirs")
	e.Proa("volume", "prune", "-af").OK(t)
	e.Proa("volume", "rm", "-a").OK(t)
	refused(t, e.Proa("volume", "rm", "theirs"), 1, "podman volume rm theirs", "--force")
	equal(t, "ls", volumes(t, e), "theirs")
	equal(t, "rm -f", e.Proa("volume", "rm", "-f", "theirs").OK(t).Out(), "theirs")
	e.Proa("volume", "create", "nodata").OK(t) // an empty directory is in nobody's way
	e.Command("mkdir", "-p", dir+"/full/x").OK(t)
	refused(t, e.Proa("volume", "create", "full"), 1, "full", "move it away")
	e.Command("sh", "-c", "echo { > "+dir+"/nodata/proa.json").OK(t)
	refused(t, e.Proa("volume", "inspect", "nodata"), 1, "nodata", "damaged")
	if r := e.Proa("volume", "ls", "-q").OK(t); !strings.Contains(r.Stderr, "damaged") {
		t.Errorf("no word of the damaged record: %q", r.Stderr)
	}
}
