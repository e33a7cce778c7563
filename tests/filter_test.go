package tests

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/proa-containers/proa/tests/harness"
)

// TestPsFilters asks for the containers a, b, c, d, made in this order: two run, one has ended with 3, one never ran.
func TestPsFilters(t *testing.T) {
	e := env.Fresh(t)
	child := baseImage(t)
	child.Layers = append(child.Layers, harness.Layer(harness.Entry{Name: "more", Content: "x"}))
	withImage(t, e)
	e.Proa("load", "-q", "-i", archive(t, e, "child.tar", child.DockerArchive("localhost/child:1"))).OK(t)
	dir := e.TempDir(t)
	a := sleeper(t, e, "a", "-l", "k=1", "-l", "only=a", "-v", dir+":/mnt")
	sleeper(t, e, "b", "-l", "k=2")
	e.Proa("run", "--network=none", "--name", "c", "-l", "k=1", "localhost/child:1", "sh", "-c", "exit 3").Want(t, 3)
	e.Proa("create", "--network=host", "--name", "d", image, "echo", "never").OK(t)
	for filters, want := range map[string]string{
		"":                                 "d c b a",
		"id=" + a:                          "a",
		"id=^" + a[:12]:                    "a",
		"name=^/?a$":                       "a",
		"name=/b":                          "b",
		"name=a name=b":                    "b a", // one of them
		"name=A":                           "",
		"label=k":                          "c b a",
		"label=k=1":                        "c a",
		"label=k=1 label=only":             "a", // both
		"label=k label!=k=1":               "b",
		"exited=3":                         "c",
		"exited=0":                         "",
		"exited=0 exited=3":                "c",
		"status=created":                   "d",
		"status=running status=exited":     "c b a",
		"status=stopped":                   "c",
		"status=configured":                "d",
		"status=paused":                    "",
		"status=running label=k=2":         "b",
		"ancestor=" + image:                "d c b a", // what c is made of is built on it
		"ancestor=localhost/child:1":       "c",
		"ancestor=no/such":                 "",
		"before=c":                         "b a",
		"since=" + a[:16]:                  "d c b",
		"since=a before=d":                 "c b",
		"until=1h":                         "",
		"until=2099-01-01":                 "d c b a",
		"volume=/mnt":                      "a",
		"volume=" + dir:                    "a",
		"volume=/m":                        "",
		"network=host":                     "d",
		"network=none":                     "c b a",
		"health=none":                      "d c b a",
		"health=healthy":                   "",
		"is-task=false":                    "d c b a",
		"is-task=true":                     "",
		"command=^ec":                      "d",
		"restart-policy=no":                "d c b a",
		"restart-policy=always":            "",
		"status=restarting status=dead":    "",
		"ancestor=" + image + " label=k=2": "b",
	} {
		args := []string{"ps", "-a", "--format", "{{.Names}}"}
		for _, f := range strings.Fields(filters) {
			args = append(args, "--filter", f)
		}
		equal(t, filters, strings.Join(strings.Fields(e.Proa(args...).OK(t).Out()), " "), want)
	}
	equal(t, "ended ones need no -a", e.Proa("ps", "-f", "status=exited", "--format", "{{.Names}}").OK(t).Out(), "c")
	equal(t, "without -a", e.Proa("ps", "-f", "label=k", "--format", "{{.Names}}").OK(t).Out(), "b\na")
}

func TestPsOrderAndNumber(t *testing.T) {
	e := withImage(t, env.Fresh(t))
	for _, c := range []struct{ name, cmd string }{{"m", "x"}, {"z", "a"}, {"b", "k"}} {
		e.Proa("create", "--network=none", "--name", c.name, image, c.cmd).OK(t)
	}
	names := func(args ...string) string {
		return strings.Join(strings.Fields(e.Proa(append([]string{"ps", "--format", "{{.Names}}"}, args...)...).OK(t).Out()), " ")
	}
	equal(t, "none runs", names(), "")
	equal(t, "-n", names("-n", "2"), "b z")
	equal(t, "--last of fewer", names("--last", "9"), "b z m")
	equal(t, "-n 0", names("-a", "-n", "0"), "b z m")
	equal(t, "-l", names("-l"), "b")
	equal(t, "-n after --filter", names("-n", "1", "-f", "name=m"), "m")
	for field, want := range map[string]string{"names": "b m z", "created": "m z b", "command": "z b m", "image": "b z m", "status": "b z m", "runningfor": "b z m", "size": "b z m"} {
		equal(t, "--sort "+field, names("-a", "--sort", field), want)
	}
	ids := strings.Fields(e.Proa("ps", "-aq", "--sort", "id").OK(t).Out())
	if len(ids) != 3 || ids[0] >= ids[1] || ids[1] >= ids[2] {
		t.Errorf("--sort id: %q", ids)
	}
}

func TestPsSize(t *testing.T) {
	e := withImage(t, env.Fresh(t))
	e.Proa("run", "--network=none", "--name", "big", image, "sh", "-c", "head -c 3000000 /dev/zero > /f; ln /f /g; rm -r /bin/vi").OK(t)
	e.Proa("run", "--network=none", "--name", "small", image, "true").OK(t)
	equal(t, "--sort size", e.Proa("ps", "-a", "--sort", "size", "--format", "{{.Names}}").OK(t).Out(), "small\nbig")
	for _, args := range [][]string{{"ps", "-as"}, {"ps", "-a", "--format", "table {{.Names}}\t{{.Size}}"}} {
		out := e.Proa(args...).OK(t).Out()
		if !strings.Contains(out, "SIZE") || !strings.Contains(out, "3MB (virtual ") || !strings.Contains(out, "0B (virtual ") {
			t.Errorf("%q: %s", args, out)
		}
	}
	if out := e.Proa("ps", "-a").OK(t).Out(); strings.Contains(out, "SIZE") {
		t.Errorf("ps -a has sizes: %s", out)
	}
	equal(t, "inspect -s", e.Proa("inspect", "-s", "--format", "{{.SizeRw}}", "big").OK(t).Out(), "3000000")
	if out := e.Proa("inspect", "big").OK(t).Out(); strings.Contains(out, "SizeRw") {
		t.Errorf("inspect without -s has sizes: %s", out)
	}
	var got []struct{ SizeRw, SizeRootFs int64 }
	if err := json.Unmarshal([]byte(e.Proa("inspect", "--size", "big").OK(t).Stdout), &got); err != nil || got[0].SizeRootFs <= got[0].SizeRw {
		t.Errorf("inspect --size: %+v, %v", got, err)
	}
}

func TestPsFields(t *testing.T) {
	e := withImage(t, env.Fresh(t))
	id := sleeper(t, e, "a", "-l", "x.y=1", "-l", "b=2")
	imageID := e.Proa("inspect", "-f", "{{.Image}}", "a").OK(t).Out()
	pid := inspectField(t, e, "a", "{{.State.Pid}}")
	for format, want := range map[string]string{
		"{{.ID}}": id[:12], "{{.Image}}": image, "{{.Command}}": `"sleep 1000"`, "{{.Labels}}": "b=2,x.y=1", `{{.Label "x.y"}}`: "1", `{{.Label "none"}}`: "",
		"{{.Names}}": "a", "{{.State}}": "running", "{{.Ports}}": "", "{{.Mounts}}": "", "{{.Networks}}": "none", "{{.Pid}}": pid, "{{.Exited}}": "false",
		"{{.ExitCode}}": "0", "{{.AutoRemove}}": "false", "{{.ImageID}}": strings.TrimPrefix(imageID, "sha256:")[:12], "{{upper .Names}}": "A", "{{json .Names}}": `"a"`,
		`table {{.Names}}\t{{.Label "x.y"}}`: "NAMES   Y\na       1",
	} {
		equal(t, format, e.Proa("ps", "--format", format).OK(t).Out(), want)
	}
	var row map[string]string
	if err := json.Unmarshal([]byte(e.Proa("ps", "--no-trunc", "--format", "json").OK(t).Stdout), &row); err != nil {
		t.Fatal(err)
	}
	equal(t, "json id", row["ID"], id)
	for _, docker := range []string{"Command", "CreatedAt", "Image", "Labels", "LocalVolumes", "Mounts", "Names", "Networks", "Ports", "RunningFor", "Size", "State", "Status"} {
		if _, ok := row[docker]; !ok {
			t.Errorf("the JSON has no %s: %v", docker, row)
		}
	}
	equal(t, "-q and a table", e.Proa("ps", "-q", "--format", "table").OK(t).Out(), id[:12])
}
