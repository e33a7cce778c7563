package main

import (
	"fmt"
	"strings"

	"github.com/proa-containers/proa/internal/manual"
)

// manPages are the manual pages by file name: one for each command of proa, one for the whole of the runtime.
func manPages(proa, runtime manual.Command) map[string]string {
	pages := map[string]string{}
	all := nodes(proa, "")
	for _, n := range all {
		text := manPage(n, false)
		if same := shorter(n, all); same != "" {
			text = ".so man1/" + strings.ReplaceAll(same, " ", "-") + ".1\n"
		}
		pages[strings.ReplaceAll(n.path, " ", "-")+".1"] = text
	}
	pages[runtime.Name+".1"] = manPage(node{runtime, runtime.Name}, true)
	return pages
}

// manPage is a page in man(7)'s macros; deep has what is below the command on it too.
func manPage(n node, deep bool) string {
	var b strings.Builder
	name := strings.ReplaceAll(n.path, " ", "-")
	fmt.Fprintf(&b, ".\\\" Made from the command tree by `make docs`.\n.TH %s 1 \"\" proa \"User Commands\"\n", quote(strings.ToUpper(name)))
	fmt.Fprintf(&b, ".SH NAME\n%s \\- %s\n.SH SYNOPSIS\n.B %s\n%s\n", roff(name), roff(n.Usage), roff(n.path), roff(synopsis(n.Command)))
	if len(n.Aliases) > 0 {
		parent := n.path[:strings.LastIndexByte(n.path, ' ')+1]
		fmt.Fprintf(&b, ".PP\nAlso\n.BR %s .\n", quote(roff(parent+strings.Join(n.Aliases, ", "+parent))))
	}
	manOptions(&b, n.Command, "OPTIONS")
	if len(n.Commands) > 0 {
		b.WriteString(".SH COMMANDS\n")
		for _, s := range n.Commands {
			if !deep {
				fmt.Fprintf(&b, ".TP\n.BR %s (1)\n%s\n", roff(name+"-"+s.Name), roff(s.Usage))
				continue
			}
			fmt.Fprintf(&b, ".SS %s\n%s.\n", quote(roff(strings.TrimSpace(s.Name+" "+synopsis(s)))), roff(sentence(s.Usage)))
			manOptions(&b, s, "")
		}
	}
	if n.path != "proa" {
		b.WriteString(".SH SEE ALSO\n.BR proa (1)\n")
	}
	return b.String()
}

func manOptions(b *strings.Builder, c manual.Command, heading string) {
	if len(c.Options) == 0 {
		return
	}
	if heading != "" {
		fmt.Fprintf(b, ".SH %s\n", heading)
	}
	for _, o := range sorted(c.Options) {
		names := `\fB` + roff(strings.Join(dashed(o), ", ")) + `\fR`
		if o.Value != "" {
			names += ` \fI` + roff(o.Value) + `\fR`
		}
		fmt.Fprintf(b, ".TP\n%s\n%s.\n", names, roff(sentence(o.Usage)+remarks(o)))
	}
}

// roff keeps a text from being taken for a request or an escape.
func roff(s string) string {
	s = strings.NewReplacer(`\`, `\e`, "-", `\-`, "\n", " ").Replace(s)
	if strings.HasPrefix(s, ".") || strings.HasPrefix(s, "'") {
		s = `\&` + s
	}
	return s
}

func quote(s string) string { return `"` + strings.ReplaceAll(s, `"`, `""`) + `"` }
