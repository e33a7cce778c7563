package main

import (
	"fmt"
	"strings"

	"github.com/proa-containers/proa/internal/manual"
)

// fish is the completion of fish, which has a line for everything that can be completed.
func fish(proa manual.Command) string {
	var b strings.Builder
	all := nodes(proa, "")
	b.WriteString("# fish completion of proa, made from the command tree by `make docs`.\n\n")
	b.WriteString("function __proa_words -a path\n    switch $path\n")
	for _, n := range all {
		if len(n.Commands) > 0 {
			fmt.Fprintf(&b, "        case '%s'\n            printf '%%s\\n' %s\n", n.path, strings.Join(words(n), " "))
		}
	}
	b.WriteString(`    end
end

# The path of the command that is being typed, and the number of its operands so far.
function __proa_at -a want operands
    set -l path proa
    set -l seen 0
    for w in (commandline -opc)[2..-1]
        if string match -q -- '-*' $w
            continue
        else if test $seen -eq 0; and contains -- $w (__proa_words $path)
            set path "$path $w"
        else
            set seen (math $seen + 1)
        end
    end
    test "$path" = "$want"; or return 1
    test "$operands" = '*'; or test $seen -eq 0
end

function __proa_list -a kind
    switch $kind
        case container
            proa ps --all --format '{{.Names}}' 2>/dev/null
        case running
            proa ps --format '{{.Names}}' 2>/dev/null
        case image
            proa images --format '{{.Repository}}:{{.Tag}}' 2>/dev/null | string match -v '*<none>*'
        case name
            __proa_list container
            __proa_list image
        case command
            complete -C ''
    end
end

complete -c proa -f
`)
	for _, n := range all {
		for _, path := range fishPaths(n) {
			fishCommand(&b, n, path)
		}
	}
	return b.String()
}

// fishPaths are the paths that lead to a command: its name, and its aliases.
func fishPaths(n node) []string {
	out := []string{n.path}
	if i := strings.LastIndexByte(n.path, ' '); i > 0 {
		for _, a := range n.Aliases {
			out = append(out, n.path[:i+1]+a)
		}
	}
	return out
}

func fishCommand(b *strings.Builder, n node, path string) {
	once := fmt.Sprintf("complete -c proa -n \"__proa_at '%s' 1\"", path)
	for _, c := range n.Commands {
		fmt.Fprintf(b, "%s -a '%s' -d %s\n", once, c.Name, fishQuote(c.Usage))
	}
	if kind := argKind(n); kind != kindNone {
		fmt.Fprintf(b, "complete -c proa -n \"__proa_at '%s' '%s'\" -a '(__proa_list %s)'\n", path, more(n), kind)
	} else if len(n.Commands) == 0 && strings.Contains(n.Args, "FILE") {
		fmt.Fprintf(b, "%s -F\n", once)
	}
	for _, o := range sorted(n.Options) {
		b.WriteString(once)
		for _, name := range o.Names {
			if len(name) == 1 {
				b.WriteString(" -s " + name)
			} else {
				b.WriteString(" -l " + name)
			}
		}
		switch valueKind(o) {
		case "":
		case kindFile:
			b.WriteString(" -r -F")
		default:
			b.WriteString(" -x")
		}
		fmt.Fprintf(b, " -d %s\n", fishQuote(o.Usage))
	}
}

func fishQuote(s string) string {
	return "'" + strings.NewReplacer(`\`, `\\`, "'", `\'`).Replace(s) + "'"
}
