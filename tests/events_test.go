package tests

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"syscall"
	"testing"

	"github.com/proa-containers/proa/tests/harness"
)

// events are the kept events of a container, one a line by a template.
func events(t testing.TB, name, format string, flags ...string) string {
	t.Helper()
	return env.Proa(append([]string{"events", "--stream=false", "--filter", "container=" + name, "--format", format}, flags...)...).OK(t).Out()
}

func TestEvents(t *testing.T) {
	name := start(t, env, "-l", "color=deep blue", "--", "sh", "-c", trapTerm)
	waitLog(t, name, "ready")
	env.Proa("exec", name, "sh", "-c", "exit 3").Want(t, 3)
	other := containerName(t)
	env.Proa("rename", name, other).OK(t)
	env.Proa("kill", "-s", "WINCH", other).OK(t)
	env.Proa("restart", other).OK(t)
	env.Proa("rm", "-f", other).OK(t)
	equal(t, "what the container was called first", events(t, name, "{{.Action}}"), strings.Join([]string{
		"create", "start", "exec_create: sh -c exit 3", "exec_start: sh -c exit 3", "exec_die"}, "\n"))
	equal(t, "what it was called then", events(t, other, "{{.Action}}{{with .Attributes.signal}} {{.}}{{end}}{{with .Attributes.exitCode}} {{.}}{{end}}"), strings.Join([]string{
		"rename", "kill 28", "kill 15", "die 5", "stop", "start", "restart", "kill 9", "die 137", "destroy"}, "\n"))
	equal(t, "several of one key are alternatives", events(t, other, "{{.Action}}", "--filter", "event=die", "--filter", "event=destroy", "--filter", "label=color"), "die\ndie\ndestroy")
	equal(t, "all keys hold together", events(t, other, "{{.Action}}", "--filter", "event=die", "--filter", "type=image"), "")
	equal(t, "a command is found by its kind", events(t, name, "{{.Action}}", "--filter", "event=exec_start", "--filter", "image="+image, "--filter", "label=color=deep blue"), "exec_start: sh -c exit 3")
	var row struct {
		Type, Action string
		Actor        struct{ Attributes map[string]string }
		TimeNano     int64 `json:"timeNano"`
	}
	line := events(t, other, "json", "--filter", "event=rename")
	if err := json.Unmarshal([]byte(line), &row); err != nil || row.Type != "container" || row.TimeNano == 0 || row.Actor.Attributes["oldName"] != "/"+name {
		t.Errorf("%s: %+v, %v", line, row, err)
	}
	text := env.Proa("events", "--since", "1h", "--until", "0s", "--filter", "container="+other, "--filter", "event=destroy").OK(t).Out()
	if !strings.Contains(text, " container destroy ") || !strings.HasSuffix(text, "(color=deep blue, image="+image+", name="+other+")") {
		t.Errorf("as text: %s", text)
	}
}

// TestEventsStream: what happens is shown at once, and ^C is the end.
func TestEventsStream(t *testing.T) {
	withImage(t, env)
	name := containerName(t)
	x := env.Proa("events", "--filter", "container="+name, "--format", "{{.Action}}").Exec(context.Background())
	out := &buffer{}
	x.Stdout = out
	if err := x.Start(); err != nil {
		t.Fatal(err)
	}
	// It shows what comes from its start on: the first container it shows is proof that it has begun.
	harness.Eventually(t, "events come", func() bool {
		env.Proa("run", "--rm", "--network=none", "--name", name, image, "true").OK(t)
		return strings.Contains(out.String(), "destroy")
	})
	before := strings.Count(out.String(), "destroy")
	env.Proa("run", "--rm", "--network=none", "--name", name, image, "false").Want(t, 1)
	harness.Eventually(t, "the next comes", func() bool { return strings.Count(out.String(), "destroy") == before+1 })
	if !strings.HasSuffix(out.String(), "create\nattach\nstart\ndie\ndestroy\n") {
		t.Errorf("the last container's are %q", out.String())
	}
	if err := x.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	if err := x.Wait(); err != nil {
		t.Errorf("after ^C: %v", err)
	}
	env.Proa("events", "--until", "1s").OK(t) // in the past: an end at once
}

func TestEventsOfHealth(t *testing.T) {
	name := start(t, env, "--health-cmd", "test -e /ok", "--health-interval", "50ms", "--health-retries", "1", "--restart", "on-failure:1", "--",
		"sh", "-c", "touch /ok; trap 'exit 4' TERM; while :; do sleep 0.05; done")
	healthBecomes(t, name, "healthy")
	harness.Eventually(t, "five checks", func() bool { return len(inspect(t, name, "{{range .State.Health.Log}}x{{end}}")) == 5 })
	env.Proa("exec", name, "rm", "/ok").OK(t)
	healthBecomes(t, name, "unhealthy")
	env.Proa("exec", name, "sh", "-c", "kill -TERM 1").OK(t)
	harness.Eventually(t, "the next run is healthy", func() bool {
		return inspect(t, name, "{{.RestartCount}} {{.State.Status}} {{if .State.Health}}{{.State.Health.Status}}{{end}}") == "1 running healthy"
	})
	got := events(t, name, "{{.Action}}", "--filter", "event=health_status", "--filter", "event=die", "--filter", "event=start")
	equal(t, "only changes are told", got, "start\nhealth_status: healthy\nhealth_status: unhealthy\ndie\nstart\nhealth_status: healthy")
}

func TestEventsOfVolumes(t *testing.T) {
	name := containerName(t)
	env.Proa("volume", "create", name).OK(t)
	env.Proa("volume", "create", name).OK(t) // there already
	env.Proa("volume", "rm", name).OK(t)
	got := env.Proa("events", "--stream=false", "--filter", "volume="+name, "--format", "{{.Type}} {{.Action}} {{.Actor.Attributes.driver}}").OK(t).Out()
	equal(t, "the events", got, "volume create local\nvolume destroy local")
}

// TestEventsOfImages: every verb that brings, makes or removes an image tells of it, with its labels.
func TestEventsOfImages(t *testing.T) {
	e := withImage(t, env.Fresh(t))
	show := func(flags ...string) string {
		return e.Proa(append([]string{"events", "--stream=false", "--filter", "type=image", "--format", "{{.Action}} {{.Actor.ID}} {{.Name}} {{.Attributes.color}}"}, flags...)...).OK(t).Out()
	}
	registry := harness.StartRegistry(t, "", "")
	img := baseImage(t)
	img.Config.Labels = map[string]string{"color": "blue"}
	registry.Push(t, "one:1", img)
	ref := registry.Ref("one:1")
	id := e.Proa("pull", "-q", "--tls-verify=false", ref).OK(t).Out()
	e.Proa("pull", "-q", "--policy", "missing", ref).OK(t)
	e.Proa("pull", "-q", "--tls-verify=false", registry.Ref("one:2")).Want(t, 125)
	equal(t, "a pull, and none that did nothing", show("--filter", "image="+registry.Ref("one")), "pull "+ref+" "+ref+" blue")
	e.Proa("create", "--network=none", "--name", "c", ref, "true").OK(t)
	made := e.Proa("commit", "-q", "c", "made:x").OK(t).Out()
	nameless := e.Proa("commit", "-q", "c").OK(t).Out()
	equal(t, "commits", show("--filter", "image=made", "--filter", "image="+nameless), fmt.Sprintf(
		"create %s localhost/made:x blue\ntag %[1]s localhost/made:x blue\ncreate %[2]s %[2]s blue", made, nameless))
	e.Proa("rm", "c").OK(t)
	e.Proa("rmi", "made:x").OK(t)
	equal(t, "a removal", show("--filter", "image="+made, "--filter", "event=untag", "--filter", "event=delete"), fmt.Sprintf(
		"untag %s localhost/made:x blue\ndelete %[1]s %[1]s blue", made))
	e.Proa("load", "-q", "-i", archive(t, e, "two.tar", img.DockerArchive("localhost/two:1"))).OK(t)
	equal(t, "a load", show("--filter", "image=two"), "load sha256:"+strings.TrimPrefix(id, "sha256:")+" localhost/two:1 blue")
	equal(t, "short", e.Proa("events", "--stream=false", "--no-trunc=false", "--filter", "event=load", "--filter", "image=two", "--format", "{{.ID}}").OK(t).Out(), strings.TrimPrefix(id, "sha256:")[:12])
}

func TestEventsRefused(t *testing.T) {
	for _, c := range [][]string{{"x"}, {"--since", "yesterday"}, {"--until", "tomorrow"}, {"--filter", "color=blue"}, {"--filter", "container"}, {"--filter", "scope=swarm"}, {"--format", "{{"}} {
		refused(t, env.Proa(append([]string{"events", "--stream=false"}, c...)...), 125, c[len(c)-1])
	}
}
