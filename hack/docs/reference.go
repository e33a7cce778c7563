package main

import (
	"fmt"
	"reflect"
	"strings"

	"github.com/proa-containers/proa/internal/manual"
)

// referenceText is docs/reference.md.
func referenceText(programs ...manual.Command) string {
	var b strings.Builder
	b.WriteString("# Command reference\n\nMade from the command tree by `make docs`; do not edit. Every command has `--help` too.\n")
	for _, p := range programs {
		fmt.Fprintf(&b, "\n## %s\n\n%s.\n", p.Name, sentence(p.Usage))
		options(&b, p)
		b.WriteString("\n| command | |\n|---|---|\n")
		all := nodes(p, "")[1:]
		for _, n := range all {
			if len(n.Commands) == 0 {
				fmt.Fprintf(&b, "| [`%s`](#%s) | %s |\n", n.path, strings.ReplaceAll(n.path, " ", "-"), cell(n.Usage))
			}
		}
		for _, n := range all {
			if len(n.Commands) > 0 && len(n.Options) == 0 {
				continue // its commands say all
			}
			fmt.Fprintf(&b, "\n### %s\n\n    %s\n\n%s.", n.path, strings.TrimSpace(n.path+" "+synopsis(n.Command)), sentence(n.Usage))
			if len(n.Aliases) > 0 {
				fmt.Fprintf(&b, " Also `%s`.", strings.Join(n.Aliases, "`, `"))
			}
			b.WriteString("\n")
			if same := shorter(n, all); same != "" {
				fmt.Fprintf(&b, "\nThe same as [`%s`](#%s).\n", same, strings.ReplaceAll(same, " ", "-"))
				continue
			}
			options(&b, n.Command)
		}
	}
	return b.String()
}

// shorter is the path of the command above that is the same one, as "proa run" for "proa container run".
func shorter(n node, all []node) string {
	for _, o := range all {
		if o.Name == n.Name && len(o.path) < len(n.path) && reflect.DeepEqual(o.Command, n.Command) {
			return o.path
		}
	}
	return ""
}

func options(b *strings.Builder, c manual.Command) {
	if len(c.Options) == 0 {
		return
	}
	b.WriteString("\n| option | |\n|---|---|\n")
	for _, o := range sorted(c.Options) {
		names := strings.Join(dashed(o), "`, `")
		if o.Value != "" {
			names += " " + o.Value
		}
		fmt.Fprintf(b, "| `%s` | %s |\n", cell(names), cell(o.Usage+remarks(o)))
	}
}

// cell keeps a text within a cell of a table.
func cell(s string) string { return strings.NewReplacer("|", `\|`, "\n", " ", "<", "&lt;").Replace(s) }

func sentence(s string) string { return strings.ToUpper(s[:1]) + s[1:] }
