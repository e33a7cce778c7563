package tests

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/proa-containers/proa/tests/harness"
)

// tagsOf are the names of all images.
func tagsOf(t *testing.T, e *harness.Env) string {
	t.Helper()
	list := strings.Fields(e.Proa("images", "--format", listFormat).OK(t).Out())
	slices.Sort(list)
	return strings.Join(list, " ")
}

func TestTag(t *testing.T) {
	e, ids := labelled(t)
	e.Proa("tag", "old:1", "new", "registry.example:5000/team/new:2").OK(t)
	e.Proa("image", "tag", ids["old"][:12], "third:x").OK(t)
	const rest = " localhost/second:v2 localhost/third:x registry.example:5000/team/new:2 x.example/team/middle:1"
	equal(t, "names", tagsOf(t, e), "<none>:<none> localhost/new:latest"+rest+" x.example/team/old:1 x.example/team/young:1")
	e.Proa("tag", "middle:1", "x.example/team/old:1").OK(t) // taken from the one that had it
	equal(t, "the name's image", e.Proa("inspect", "-f", "{{.ID}}", "x.example/team/old:1").OK(t).Out(), "sha256:"+ids["middle"])
	equal(t, "run by the new name", e.Proa("run", "--rm", "--network=none", "new", "echo", "hi").OK(t).Out(), "hi")

	e.Proa("untag", "new", "third:x").OK(t)
	refused(t, e.Proa("untag", "new", "third:x"), ownError, "third:x")
	refused(t, e.Proa("untag", "new", "young:1"), ownError, "young:1", "localhost/new:latest")
	e.Proa("untag", "second:v2").OK(t) // all its names
	equal(t, "names", tagsOf(t, e), "<none>:<none> <none>:<none> localhost/new:latest registry.example:5000/team/new:2 x.example/team/middle:1 x.example/team/old:1")
	equal(t, "the image stays", e.Proa("inspect", "-f", "{{.ID}}", ids["young"]).OK(t).Out(), "sha256:"+ids["young"])
	for line, want := range map[string]string{
		"tag": "takes an image", "tag new": "the name", "tag absent:1 x": "absent:1", "tag new UPPER": "UPPER", "tag new x@sha256:1": "digest", "untag": "takes an image",
		"tag new a/b:": "a/b:",
	} {
		refused(t, e.Proa(strings.Fields(line)...), ownError, want)
	}
}

func TestHistory(t *testing.T) {
	e := withImage(t, env.Fresh(t))
	name := containerName(t)
	e.Proa("run", "--network=none", "--name", name, image, "sh", "-c", "head -c 5000 /dev/zero > /srv/f; : a very long command line that is cut off").OK(t)
	e.Proa("commit", "-q", "-m", "a message", "-c", "ENV A=1", name, "app:1").OK(t)
	e.Proa("rm", name).OK(t)
	id := strings.TrimPrefix(e.Proa("inspect", "-f", "{{.ID}}", "app:1").OK(t).Out(), "sha256:")
	lines := strings.Split(e.Proa("history", "app:1").OK(t).Out(), "\n")
	if len(lines) != 3 || strings.Join(strings.Fields(lines[0]), " ") != "IMAGE CREATED CREATED BY SIZE COMMENT" ||
		!strings.HasPrefix(lines[1], id[:12]) || !strings.Contains(lines[1], "…") || !strings.HasSuffix(lines[1], "a message") ||
		!strings.HasPrefix(lines[2], "<missing>") {
		t.Errorf("history: %q", lines)
	}
	equal(t, "-q --no-trunc", e.Proa("image", "history", "-q", "--no-trunc", "app:1").OK(t).Out(), "sha256:"+id+"\n<missing>")
	whole := e.Proa("history", "--no-trunc", "--human=false", "--format", "{{.CreatedBy}}|{{.Size}}", "app:1").OK(t).Out()
	if !strings.Contains(whole, "that is cut off") || strings.Contains(whole, "kB") {
		t.Errorf("--no-trunc --human=false: %s", whole)
	}
	for _, line := range strings.Split(e.Proa("history", "--format", "json", "app:1").OK(t).Out(), "\n") {
		var row struct{ ID, CreatedAt, CreatedSince, CreatedBy, Size, Comment string }
		if err := json.Unmarshal([]byte(line), &row); err != nil || row.ID == "" || row.Size == "" {
			t.Errorf("--format json: %v: %s", err, line)
		}
	}
	refused(t, e.Proa("history", "absent"), ownError, "absent")
	refused(t, e.Proa("history"), ownError, "one image")
	refused(t, e.Proa("history", "--format", "{{.No}}", "app:1"), ownError, "No")
}

func TestImagePrune(t *testing.T) {
	e, ids := labelled(t)
	name := containerName(t)
	e.Proa("run", "--network=none", "--name", name, "middle:1", "true").OK(t)
	c := e.Proa("image", "prune")
	c.Stdin = strings.NewReader("n\n")
	c.Want(t, 125)
	equal(t, "of others", e.Proa("image", "prune", "-f", "--filter", "label=age=old").OK(t).Out(), "Total reclaimed space: 0B")
	out := e.Proa("image", "prune", "-f").OK(t).Out()
	if !strings.HasPrefix(out, "Deleted Images:\ndeleted: sha256:"+ids[""]+"\n") || !strings.Contains(out, "Total reclaimed space: ") {
		t.Errorf("prune: %q", out)
	}
	equal(t, "what is left", tagsOf(t, e), "localhost/second:v2 x.example/team/middle:1 x.example/team/old:1 x.example/team/young:1")
	e.Proa("image", "prune", "-af", "--filter", "label!=age=old").OK(t)
	equal(t, "what is left", tagsOf(t, e), "x.example/team/middle:1 x.example/team/old:1")
	e.Proa("image", "prune", "-af", "--filter", "until=2024-01-01T12:00:00Z").OK(t)
	equal(t, "what a container uses is left", tagsOf(t, e), "x.example/team/middle:1")
	for line, want := range map[string]string{"-f x": "x", "-f --filter dangling=true": "dangling", "-f --filter until=soon": "soon", "-f --filter label": "label"} {
		refused(t, e.Proa(append([]string{"image", "prune"}, strings.Fields(line)...)...), ownError, want)
	}
}

func TestImageTree(t *testing.T) {
	e := withImage(t, env.Fresh(t))
	changed(t, e, "one", "one:1")
	changed(t, e, "two", "two:1")
	out := e.Proa("image", "tree", "one:1").OK(t).Out()
	lines := strings.Split(out, "\n")
	if len(lines) != 6 || !strings.HasPrefix(lines[4], "├── ID: ") || !strings.HasSuffix(lines[4], "Top Layer of: ["+image+"]") ||
		!strings.HasPrefix(lines[5], "└── ID: ") || !strings.HasSuffix(lines[5], "Top Layer of: [localhost/one:1]") || !strings.Contains(out, "Tags:     localhost/one:1\n") {
		t.Errorf("image tree: %s", out)
	}
	out = e.Proa("image", "tree", "--whatrequires", image).OK(t).Out()
	if !strings.Contains(out, "Top Layer of: [localhost/one:1]") || !strings.Contains(out, "Top Layer of: [localhost/two:1]") || strings.Contains(out, image+"]") {
		t.Errorf("image tree --whatrequires: %s", out)
	}
	refused(t, e.Proa("image", "tree", "absent"), ownError, "absent")
	refused(t, e.Proa("image", "tree"), ownError, "one image")
}
