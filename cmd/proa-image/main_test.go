package main

import (
	"context"
	"os"
	"strings"
	"testing"

	"github.com/proa-containers/proa/internal/argv"
)

// TestCommandLines: what is written behind the name counts as much as what is before it.
func TestCommandLines(t *testing.T) {
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	for line, want := range map[string]string{
		"pull":                              "pull takes one image name",
		"pull one two -q":                   `it was given ["one" "two"]`,
		"pull name --policy sometimes":      `"sometimes"`,
		"pull name -a --platform a/b/c/d":   `"a/b/c/d"`,
		"pull name --os linux --platform x": "either --platform or",
		"pull name --flavour sweet":         "-flavour; see `proa pull --help`",
		"pull -qa name --flavour":           "-flavour; see `proa pull --help`",
		"load x":                            `load takes no argument "x"`,
		"load -qi /no/such/file":            "/no/such/file",
		"load --input=/no/such/file -q":     "/no/such/file",
	} {
		cmds := newApp(&app{in: null, out: null, err: null})
		err := cmds.RunContext(context.Background(), argv.Canonical(cmds, strings.Fields("proa-image "+line)))
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error is %v, want %q in it", line, err, want)
		}
	}
}
