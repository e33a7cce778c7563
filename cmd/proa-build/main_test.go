package main

import (
	"strings"
	"testing"

	"github.com/urfave/cli/v2"

	"github.com/proa-containers/proa/internal/argv"
	"github.com/proa-containers/proa/internal/manual"
)

func TestPullFlag(t *testing.T) {
	for words, want := range map[string]string{"": "", "--pull": "always", "--pull=never": "never", "--pull=true": "always", "--pull=false": "missing", "--pull=newer": "newer"} {
		app := newApp(&app{})
		got, context := "", ""
		app.Commands[0].Action = func(c *cli.Context) error {
			got, context = c.Generic("pull").(*pullFlag).policy, c.Args().First()
			return nil
		}
		args := append(append([]string{"proa-build", "build"}, strings.Fields(words)...), ".")
		if err := app.Run(argv.Canonical(app, args)); err != nil || got != want || context != "." {
			t.Errorf("%q: policy %q, context %q, %v", words, got, context, err)
		}
	}
}

// TestDescribed: the reference has every option.
func TestDescribed(t *testing.T) {
	d := manual.Describe(newApp(&app{}))
	if len(d.Commands) != 2 || len(d.Commands[0].Options) < 30 {
		t.Errorf("%d commands, %d options of build", len(d.Commands), len(d.Commands[0].Options))
	}
	for _, o := range d.Commands[0].Options {
		if o.Usage == "" {
			t.Errorf("--%s says nothing of itself", o.Names[0])
		}
	}
}

func FuzzFields(f *testing.F) {
	f.Add("id=a,src=b")
	f.Add("type=local,dest=/x=y")
	f.Add("=,,a=")
	f.Fuzz(func(t *testing.T, s string) {
		m, err := fields(s)
		if err == nil && len(m) != strings.Count(s, ",")+1 {
			t.Errorf("%q has %d parts: %v", s, len(m), m)
		}
		o := &buildOptions{}
		_ = o.parseOutputOption(s)
		if o.output.Type == "local" && err == nil && o.parseOutputOption(s) == nil && o.output.Dest == "" {
			t.Errorf("%q is a local output to nowhere", s)
		}
	})
}
