package tests

import (
	"encoding/json"
	"fmt"
	"slices"
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

// labelled puts three images into an empty store, made in this order: old, middle and young. young has two names, and a
// fourth has none.
func labelled(t *testing.T) (e *harness.Env, ids map[string]string) {
	t.Helper()
	e, ids = env.Fresh(t), map[string]string{}
	for n, name := range []string{"old", "middle", "young", ""} {
		img := baseImage(t)
		img.Created = fmt.Sprintf("2024-01-0%dT00:00:00Z", n+1)
		img.Config.Labels = map[string]string{"age": name, "all": "1"}
		var tags []string
		if name != "" {
			tags = []string{"x.example/team/" + name + ":1"}
		}
		if name == "young" {
			tags = append(tags, "localhost/second:v2")
		}
		e.Proa("load", "-q", "-i", archive(t, e, "i.tar", img.DockerArchive(tags...))).OK(t)
		ids[name] = strings.TrimPrefix(harness.Digest(img.ConfigJSON()), "sha256:")
	}
	return e, ids
}

func TestImagesFilters(t *testing.T) {
	e, ids := labelled(t)
	const old, middle, young, second, none = "x.example/team/old:1", "x.example/team/middle:1", "x.example/team/young:1", "localhost/second:v2", "<none>:<none>"
	for line, want := range map[string]string{
		"":                                  none + " " + second + " " + young + " " + middle + " " + old,
		"-a":                                none + " " + second + " " + young + " " + middle + " " + old,
		"--filter dangling=true":            none,
		"-f dangling=false":                 second + " " + young + " " + middle + " " + old,
		"-f label=age=old":                  old,
		"-f label=age=old -f label=all":     old,
		"-f label=age=old -f label=absent":  "",
		"-f label=all=1 -f dangling=true":   none,
		"-f before=x.example/team/middle:1": old,
		"-f since=x.example/team/middle:1":  none + " " + second + " " + young,
		"-f since=" + ids["old"][:12] + " -f before=" + ids["young"]: middle,
		"-f reference=x.example/*/old":                               old,
		"-f reference=team/*:1":                                      young + " " + middle + " " + old,
		"-f reference=second:v*":                                     second,
		"-f reference=second -f reference=old:1":                     second + " " + old,
		"-f reference=second:v1":                                     "",
		"-f until=2024-01-02T12:00:00Z":                              middle + " " + old,
		"-f label!=age=old":                                          none + " " + second + " " + young + " " + middle,
		"-f after=x.example/team/middle:1":                           none + " " + second + " " + young,
		"-f id=" + ids["old"][:9]:                                    old,
		"-f digest=sha256:abc":                                       "",
		"-f containers=true":                                         "",
		"-f intermediate=true":                                       "",
		"-f readonly=false -f reference=second":                      second,
		"--sort repository":                                          none + " " + second + " " + middle + " " + old + " " + young,
		"--sort tag":                                                 young + " " + middle + " " + old + " " + none + " " + second,
		"--sort created -f dangling=false":                           second + " " + young + " " + middle + " " + old,
		"second":                                                     second,
		"x.example/team/young:1 -q --no-trunc":                       "sha256:" + ids["young"],
		"-q":                                                         ids[""][:12] + " " + ids["young"][:12] + " " + ids["middle"][:12] + " " + ids["old"][:12],
	} {
		args := append([]string{"images"}, strings.Fields(line)...)
		if !strings.Contains(line, "-q") {
			args = append(args, "--format", listFormat)
		}
		equal(t, "images "+line, strings.Join(strings.Fields(e.Proa(args...).OK(t).Out()), " "), want)
	}
	for line, want := range map[string]string{
		"-f nonsense=1": "nonsense", "-f dangling": "KEY=VALUE", "-f dangling=perhaps": "true or false", "-f before=absent": "absent",
		"-f reference=[": "reference=[", "one two": "at most one", "--sort nonsense": "nonsense", "-f readonly=perhaps": "true or false", "--format {{.Nothing}}": "Nothing", "--format {{": "{{",
	} {
		refused(t, e.Proa(append([]string{"images"}, strings.Fields(line)...)...), ownError, want)
	}
	table := strings.Split(e.Proa("images", "--digests", "--format", "table {{.Repository}}\t{{.Digest}}", "old").OK(t).Out(), "\n")
	if len(table) != 2 || strings.Join(strings.Fields(table[0]), " ") != "REPOSITORY DIGEST" || !strings.Contains(table[1], " sha256:") {
		t.Errorf("a table with digests: %q", table)
	}
	if out := e.Proa("images", "--digests").OK(t).Out(); !strings.Contains(out, "DIGEST") || strings.Count(out, " sha256:") != 5 {
		t.Errorf("images --digests: %s", out)
	}
	equal(t, "--noheading", strings.Join(strings.Fields(e.Proa("images", "-n", "--format", "table {{.Repository}}\t{{.Tag}}", "old").OK(t).Out()), " "), "x.example/team/old 1")
	if out := e.Proa("images", "--noheading", "old").OK(t).Out(); !strings.HasPrefix(out, "x.example/team/old ") || strings.Contains(out, "\n") {
		t.Errorf("images --noheading: %q", out)
	}
	sorted := strings.Fields(e.Proa("images", "-q", "--no-trunc", "--sort", "id").OK(t).Out())
	if len(sorted) != 4 || !slices.IsSorted(sorted) {
		t.Errorf("images --sort id: %q", sorted)
	}
	for _, line := range strings.Split(e.Proa("images", "--format", "json").OK(t).Out(), "\n") {
		var row struct{ ID, Repository, Tag, Digest, CreatedAt, CreatedSince, Size string }
		if err := json.Unmarshal([]byte(line), &row); err != nil || row.ID == "" || row.Repository == "" || row.CreatedAt == "" || row.Size == "" {
			t.Errorf("--format json: %v: %s", err, line)
		}
	}
}

func TestRmiSeveral(t *testing.T) {
	e, ids := labelled(t)
	digest := e.Proa("inspect", "-f", "{{.Digest}}", "old:1").OK(t).Out()
	names := func() string {
		return strings.Join(strings.Fields(e.Proa("images", "--format", listFormat).OK(t).Out()), " ")
	}
	// What is there is removed, and each that is not is told of.
	r := refused(t, e.Proa("rmi", "absent:1", "x.example/team/old@"+digest, "gone", ids[""][:8]), ownError, "absent:1", "gone", "no such image")
	if !strings.Contains(r.Stdout, "Deleted: sha256:"+ids["old"]) || !strings.Contains(r.Stdout, "Deleted: sha256:"+ids[""]) {
		t.Errorf("rmi of several: %s", r.Stdout)
	}
	equal(t, "what is left", names(), "localhost/second:v2 x.example/team/young:1 x.example/team/middle:1")
	refused(t, e.Proa("rmi", ids["young"][:12]), ownError, "localhost/second:v2", "--force")
	e.Proa("rmi", "absent:1", "-f").OK(t)
	e.Proa("rmi", ids["young"][:12], "-f").OK(t)
	equal(t, "what is left", names(), "x.example/team/middle:1")
	name := containerName(t)
	e.Proa("run", "--network=none", "--name", name, "middle:1", "true").OK(t)
	refused(t, e.Proa("rmi", "middle:1"), ownError, name, "proa rm")
	refused(t, e.Proa("rmi", "-f", ids["middle"]), ownError, name, "proa rm")
	equal(t, "what is left", names(), "x.example/team/middle:1")
	e.Proa("rmi", "-f", "middle:1").OK(t)
	equal(t, "the name is gone, the image is not", names(), "<none>:<none>")
	e.Proa("rm", name).OK(t)
	e.Proa("rmi", "sha256:"+ids["middle"]).OK(t)
	pullLeftNothing(t, e)
}

func TestRmiAll(t *testing.T) {
	e, _ := labelled(t)
	name := containerName(t)
	e.Proa("run", "--network=none", "--name", name, "middle:1", "true").OK(t)
	refused(t, e.Proa("rmi", "-a", "old:1"), ownError, "--all")
	refused(t, e.Proa("rmi", "absent:1"), ownError, "absent:1")
	e.Proa("rmi", "-i", "absent:1").OK(t)
	e.Proa("rmi", "--all").OK(t)
	equal(t, "what is used stays", e.Proa("images", "--format", listFormat).OK(t).Out(), "x.example/team/middle:1")
	e.Proa("rm", name).OK(t)
	e.Proa("rmi", "-a").OK(t)
	e.Proa("rmi", "-a").OK(t) // of nothing
	pullLeftNothing(t, e)
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
