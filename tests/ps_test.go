package tests

import (
	"encoding/json"
	"strings"
	"testing"
)

func TestPs(t *testing.T) {
	e := withImage(t, env.Fresh(t))
	equal(t, "no containers", e.Proa("ps", "-q").OK(t).Out(), "")
	head := e.Proa("ps").OK(t).Out()
	for _, col := range []string{"CONTAINER ID", "IMAGE", "COMMAND", "CREATED", "STATUS", "PORTS", "NAMES"} {
		if !strings.Contains(head, col) {
			t.Errorf("ps has no column %s: %s", col, head)
		}
	}
	up := start(t, e, "sleep", "1000")
	e.Proa("run", "--network=none", "--name", "ended", image, "sh", "-c", "exit 3").Want(t, 3)

	lines := strings.Split(e.Proa("ps").OK(t).Out(), "\n")
	if len(lines) != 2 || !strings.Contains(lines[1], up) || !strings.Contains(lines[1], "Up ") || !strings.Contains(lines[1], image) {
		t.Errorf("ps: %q", lines)
	}
	if out := e.Proa("ps", "--noheading").OK(t).Out(); !strings.HasPrefix(out, lines[1][:12]) || strings.Contains(out, "\n") {
		t.Errorf("ps --noheading: %q", out)
	}
	all := e.Proa("ps", "-a").OK(t).Out()
	if len(strings.Split(all, "\n")) != 3 || !strings.Contains(all, "Exited (3)") {
		t.Errorf("ps -a: %q", all)
	}
	id := e.Proa("inspect", "--format", "{{.Id}}", up).OK(t).Out()
	equal(t, "ps -q", e.Proa("ps", "-q").OK(t).Out(), id[:12])
	equal(t, "ps -q --no-trunc", e.Proa("ps", "-q", "--no-trunc").OK(t).Out(), id)
	equal(t, "--format", e.Proa("ps", "-a", "--format", "{{.Names}} {{.ID}}", "--filter", "name="+up).OK(t).Out(), up+" "+id[:12])
	equal(t, "--filter", e.Proa("ps", "-a", "--filter", "status=exited", "--format", "{{.Names}}").OK(t).Out(), "ended")
	for _, l := range strings.Split(e.Proa("ps", "-a", "--format", "json").OK(t).Out(), "\n") {
		if !json.Valid([]byte(l)) && !json.Valid([]byte(e.Proa("ps", "-a", "--format", "json").OK(t).Out())) {
			t.Errorf("--format json: %q", l)
		}
	}
	refused(t, e.Proa("ps", "--filter", "nonsense=1"), ownError, "nonsense")
}
