package tests

import (
	"fmt"
	"strings"
	"testing"

	"github.com/proa-containers/proa/tests/harness"
)

// TestParallel starts many containers at once from several shells: all run, and all go at once.
func TestParallel(t *testing.T) {
	const shells, each = 8, 5
	e, files := crashEnv(t)
	shell := func(n int) string {
		return fmt.Sprintf("for i in $(seq %d); do proa run -d --network=none --name p%d-$i %s sleep 30001 || echo failed; done", each, n, image)
	}
	var all []*background
	for n := range shells {
		all = append(all, inBackground(t, e.Command("sh", "-c", shell(n))))
	}
	for n, b := range all {
		code, out := b.ends(t, shell(n))
		if ids := strings.Fields(out); code != 0 || len(ids) != each || strings.Contains(out, "failed") {
			t.Errorf("shell %d: %d %s", n, code, out)
		}
	}
	want := shells * each
	if ids := strings.Fields(e.Proa("ps", "-q").OK(t).Out()); len(ids) != want {
		t.Errorf("ps lists %d containers, not %d", len(ids), want)
	}
	if n := count(e, "30001"); n != want {
		t.Errorf("%d containers run, not %d", n, want)
	}
	// Several that remove all at once: each is removed, and by somebody.
	all = nil
	for range 3 {
		all = append(all, inBackground(t, e.Proa("rm", "-fa")))
	}
	for _, b := range all {
		if code, out := b.ends(t, "rm -fa"); code != 0 {
			t.Errorf("rm -fa: %d %s", code, out)
		}
	}
	settle(t, e, "30001", files)
	sound(t, e)
}

// count is how many containers run "sleep MARKER".
func count(e *harness.Env, marker string) (n int) {
	for _, p := range e.Processes() {
		if len(p.Args) == 2 && p.Args[1] == marker {
			n++
		}
	}
	return n
}
