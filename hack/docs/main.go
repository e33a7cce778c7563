// Package main makes what is written about the command line from the command line itself: the reference, the manual
// pages and the shells' completions. It asks the built programs to describe their commands (internal/manual) and runs
// as the developer, by `make docs`; CI compares the reference with what it makes.
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"github.com/proa-containers/proa/internal/manual"
)

func main() {
	bin := flag.String("bin", "bin", "the `DIRECTORY` of the built programs")
	reference := flag.String("reference", "", "write the reference to `FILE`")
	man := flag.String("man", "", "write the manual pages to `DIRECTORY`")
	completions := flag.String("completions", "", "write the completions below `DIRECTORY`, as share/ has them")
	flag.Parse()
	if err := run(*bin, *reference, *man, *completions); err != nil {
		fmt.Fprintln(os.Stderr, "docs:", err)
		os.Exit(1)
	}
}

func run(bin, reference, man, completions string) error {
	proa, err := describe(bin)
	if err != nil {
		return err
	}
	runtime, err := ask(filepath.Join(bin, "proa-runtime"))
	if err != nil {
		return err
	}
	files := map[string]string{}
	if reference != "" {
		files[reference] = referenceText(proa, runtime)
	}
	if man != "" {
		for name, text := range manPages(proa, runtime) {
			files[filepath.Join(man, name)] = text
		}
	}
	if completions != "" {
		files[filepath.Join(completions, "bash-completion/completions/proa")] = bash(proa)
		files[filepath.Join(completions, "zsh/site-functions/_proa")] = zsh(proa)
		files[filepath.Join(completions, "fish/vendor_completions.d/proa.fish")] = fish(proa)
	}
	for path, text := range files {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// ask has a program describe itself, in an environment that is the same everywhere: some defaults come from it.
func ask(program string) (manual.Command, error) {
	var c manual.Command
	cmd := exec.Command(program, manual.Name)
	cmd.Env = []string{"HOME=/nonexistent", "PATH=/usr/bin:/bin"}
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return c, fmt.Errorf("asking %s for its commands: %w", program, err)
	}
	if err := json.Unmarshal(out, &c); err != nil {
		return c, fmt.Errorf("reading the commands of %s: %w", program, err)
	}
	return c, nil
}

// describe is proa's tree, with the options of the commands that proa-image carries out.
func describe(bin string) (manual.Command, error) {
	proa, err := ask(filepath.Join(bin, "proa"))
	if err != nil {
		return proa, err
	}
	image, err := ask(filepath.Join(bin, "proa-image"))
	if err != nil {
		return proa, err
	}
	fill(proa.Commands, image.Commands)
	for i := range proa.Commands {
		if proa.Commands[i].Name == "image" {
			fill(proa.Commands[i].Commands, image.Commands)
		}
	}
	return proa, nil
}

// fill gives the commands of list that another program carries out what that one says of them.
func fill(list, other []manual.Command) {
	for i := range list {
		for _, c := range other {
			if c.Name == list[i].Name && len(list[i].Options) == 0 && len(list[i].Commands) == 0 {
				list[i].Options = c.Options
				list[i].Args = strings.TrimSpace(c.Args)
			}
		}
	}
}

// node is a command with its whole name, as "proa image ls".
type node struct {
	manual.Command
	path string
}

// nodes are the command and all below it, each before its own.
func nodes(c manual.Command, prefix string) []node {
	path := strings.TrimSpace(prefix + " " + c.Name)
	out := []node{{c, path}}
	for _, s := range c.Commands {
		out = append(out, nodes(s, path)...)
	}
	return out
}

// synopsis is the line of usage behind the name.
func synopsis(c manual.Command) string {
	var parts []string
	if len(c.Options) > 0 {
		parts = append(parts, "[OPTIONS]")
	}
	if len(c.Commands) > 0 {
		parts = append(parts, "COMMAND")
	}
	if c.Args != "" {
		parts = append(parts, c.Args)
	}
	return strings.Join(parts, " ")
}

// dashed are an option's names as they are typed, the short ones first.
func dashed(o manual.Option) []string {
	var out []string
	for _, n := range o.Names {
		if len(n) == 1 {
			out = append(out, "-"+n)
		} else {
			out = append(out, "--"+n)
		}
	}
	slices.SortStableFunc(out, func(a, b string) int { return min(len(a), 3) - min(len(b), 3) })
	return out
}

// remarks are what is said of an option behind its usage.
func remarks(o manual.Option) string {
	var out []string
	if o.Default != "" {
		out = append(out, "default: "+strings.Trim(o.Default, `"`))
	}
	if o.Repeated {
		out = append(out, "may be given several times")
	}
	if o.Env != "" {
		out = append(out, "environment: "+o.Env)
	}
	if len(out) == 0 {
		return ""
	}
	return " (" + strings.Join(out, "; ") + ")"
}

func sorted(options []manual.Option) []manual.Option {
	return slices.SortedFunc(slices.Values(options), func(a, b manual.Option) int { return strings.Compare(a.Names[0], b.Names[0]) })
}
