package tests

import (
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/proa-containers/proa/tests/harness"
)

func TestPullAllTags(t *testing.T) {
	reg, e := harness.StartRegistry(t, "", ""), env.Fresh(t)
	var want []string
	for _, tag := range []string{"1", "2", "latest"} {
		img := baseImage(t)
		img.Config.Labels = map[string]string{"tag": tag}
		reg.Push(t, "many:"+tag, img)
		want = append(want, reg.Ref("many:"+tag))
	}
	ids := strings.Fields(pull(e, reg.Ref("many"), "-aq").OK(t).Stdout)
	if len(ids) != 3 {
		t.Errorf("pull -aq prints %q, want three ids", ids)
	}
	got := strings.Fields(e.Proa("images", "--format", listFormat).OK(t).Out())
	slices.Sort(got)
	equal(t, "images", strings.Join(got, " "), strings.Join(want, " "))
	refused(t, pull(e, "-aq", reg.Ref("many:1")), 125, "--all-tags", "without a tag")
	refused(t, pull(e, "-aq", reg.Ref("none")), 125, reg.Ref("none"))
}

// TestPullQuiet: flags may stand behind the name, and -q prints the id alone.
func TestPullQuiet(t *testing.T) {
	reg, e := harness.StartRegistry(t, "", ""), env.Fresh(t)
	reg.Push(t, "b:1", baseImage(t))
	id := strings.TrimPrefix(harness.Digest(baseImage(t).ConfigJSON()), "sha256:")
	for _, line := range []string{"IMAGE --tls-verify=false -q", "--tls-verify=false IMAGE --quiet", "-q --tls-verify=false -- IMAGE", "IMAGE --tls-verify=false --policy missing -q"} {
		r := e.Proa(append([]string{"pull"}, strings.Fields(strings.Replace(line, "IMAGE", reg.Ref("b:1"), 1))...)...).OK(t)
		equal(t, line, r.Stdout+r.Stderr, id+"\n")
	}
	equal(t, "image pull", e.Proa("image", "pull", reg.Ref("b:1"), "-q", "--tls-verify=false").OK(t).Stdout, id+"\n")
	for line, want := range map[string]string{
		"IMAGE --flavour":             "-flavour; see `proa pull --help`",
		"IMAGE other":                 "one image name",
		"":                            "one image name",
		"IMAGE --policy sometimes":    "sometimes",
		"IMAGE --platform a/b/c/d":    "a/b/c/d",
		"IMAGE --creds":               "creds",
		"IMAGE --platform x --arch y": "either --platform",
		"IMAGE --tls-verify=perhaps":  "perhaps",
	} {
		refused(t, e.Proa(append([]string{"pull"}, strings.Fields(strings.Replace(line, "IMAGE", reg.Ref("b:1"), 1))...)...), 125, want)
	}
}

func TestPullPlatformFlags(t *testing.T) {
	reg, e := harness.StartRegistry(t, "", ""), env.Fresh(t)
	var images []harness.Image
	for _, arch := range []string{"s390x", "riscv64", runtime.GOARCH} {
		img := baseImage(t)
		img.Arch = arch
		images = append(images, img)
	}
	reg.PushIndex(t, "multi:1", images...)
	for flags, want := range map[string]string{
		"": runtime.GOARCH, "--arch s390x": "s390x", "--arch riscv64 --os linux": "riscv64", "--platform linux/s390x": "s390x", "--platform riscv64": "riscv64",
	} {
		id := pull(e, append([]string{"-q", reg.Ref("multi:1")}, strings.Fields(flags)...)...).OK(t).Out()
		equal(t, flags, e.Proa("inspect", "--type", "image", "-f", "{{.Os}}/{{.Architecture}}", id).OK(t).Out(), "linux/"+want)
	}
	for _, flags := range []string{"--os windows", "--arch mips", "--platform linux/arm/v7"} {
		refused(t, pull(e, append([]string{"-q", reg.Ref("multi:1")}, strings.Fields(flags)...)...), 125, reg.Ref("multi:1"), "linux/s390x", "linux/riscv64", "--platform")
	}
}

func TestPullPolicies(t *testing.T) {
	reg, e := harness.StartRegistry(t, "", ""), env.Fresh(t)
	push := func(label string) string {
		img := baseImage(t)
		img.Config.Labels = map[string]string{"version": label}
		reg.Push(t, "b:1", img)
		return strings.TrimPrefix(harness.Digest(img.ConfigJSON()), "sha256:")
	}
	first := push("first")
	refused(t, pull(e, "-q", "--policy", "never", reg.Ref("b:1")), 125, reg.Ref("b:1"), "never")
	equal(t, "missing, of one that is", pull(e, "-q", "--policy", "missing", reg.Ref("b:1")).OK(t).Out(), first)
	second := push("second")
	equal(t, "never", pull(e, "-q", "--policy", "never", reg.Ref("b:1")).OK(t).Out(), first)
	equal(t, "missing", pull(e, "-q", "--policy", "missing", reg.Ref("b:1")).OK(t).Out(), first)
	equal(t, "newer", pull(e, "-q", "--policy", "newer", reg.Ref("b:1")).OK(t).Out(), second)
	third := push("third")
	equal(t, "always is the default", pull(e, "-q", reg.Ref("b:1")).OK(t).Out(), third)
	equal(t, "the older ones lost the name", e.Proa("images", "-f", "dangling=false", "--no-trunc", "-q").OK(t).Out(), "sha256:"+third)
}

// TestPullProgressWithoutBars: bars are for a terminal that can move its cursor.
func TestPullProgressWithoutBars(t *testing.T) {
	reg, e := harness.StartRegistry(t, "", ""), env.Fresh(t)
	reg.Push(t, "b:1", baseImage(t))
	_, blobs := baseImage(t).Manifest(harness.DockerTypes, harness.Gzip)
	layer := strings.TrimPrefix(harness.Digest(blobs[1]), "sha256:")[:12]
	c := pull(e, reg.Ref("b:1"))
	c.Env = []string{"TERM=dumb"}
	term := c.OnTerminal(t, 24, 80)
	equal(t, "exit code", string(rune('0'+term.Wait(t))), "0")
	term.Expect(t, layer+": done")
	if strings.Contains(term.Screen(), "\x1b") {
		t.Errorf("escape sequences on a dumb terminal: %q", term.Screen())
	}
	e.Proa("rmi", reg.Ref("b:1")).OK(t)
	c = pull(e, reg.Ref("b:1"))
	c.Env = []string{"NO_COLOR=1"}
	term = c.OnTerminal(t, 24, 80)
	equal(t, "exit code", string(rune('0'+term.Wait(t))), "0")
	term.Expect(t, layer)
	for i, part := range strings.Split(term.Screen(), "\x1b[") {
		if end := strings.IndexFunc(part, func(r rune) bool { return r >= '@' && r <= '~' }); i > 0 && end >= 0 && part[end] == 'm' {
			t.Errorf("colours despite NO_COLOR: %q", part)
		}
	}
}

// TestPullAtOnce: pulls of one image at the same time help and don't hinder one another, and one that fails meanwhile
// removes nothing of theirs.
func TestPullAtOnce(t *testing.T) {
	e := env.Fresh(t)
	img, last := fourLayers(t)
	whole := harness.LyingRegistry(t, img, func(_ string, b []byte) ([]byte, int) { return b, len(b) })
	broken := harness.LyingRegistry(t, img, func(path string, b []byte) ([]byte, int) {
		if strings.HasSuffix(path, last) {
			return b[:len(b)/2], len(b) / 2
		}
		return b, len(b)
	})
	codes := make(chan int)
	for n := range 6 {
		addr := whole
		if n%3 == 2 {
			addr = broken
		}
		x := pull(e, "-q", addr+"/b:1").Exec(t.Context())
		if err := x.Start(); err != nil {
			t.Fatal(err)
		}
		go func() {
			_ = x.Wait()
			codes <- harness.ExitCode(x.ProcessState)
		}()
	}
	ok := 0
	for range 6 {
		if <-codes == 0 {
			ok++
		}
	}
	if ok < 4 { // a broken one may find the layer that another brought
		t.Errorf("%d of 4 sound pulls succeed", ok)
	}
	equal(t, "the image is whole", e.Proa("run", "--rm", "--network=none", whole+"/b:1", "sh", "-c", "cat /srv/* | wc -c").OK(t).Out(), "196608")
	e.Proa("rmi", "-f", whole+"/b:1", broken+"/b:1").OK(t)
	refused(t, pull(e, "-q", "127.0.0.1:1/x:1"), 125, "127.0.0.1:1") // the last one to fail may have left it to the next
	pullLeftNothing(t, e)
}
