// Package manual owns the description of a command tree from which the reference, the manual pages and the completions
// are made (hack/docs): a hidden command prints it as JSON. It is linked into the programs with a command line, as the
// invoking user, and costs them nothing until it is asked.
package manual

import (
	"encoding/json"
	"strings"

	"github.com/urfave/cli/v2"
)

// Name is the hidden command's.
const Name = "describe-commands"

// Command describes one command, or a program: then Name is the program's.
type Command struct {
	Name     string
	Aliases  []string  `json:",omitempty"`
	Usage    string    // a sentence without its stop
	Args     string    `json:",omitempty"` // as "IMAGE [COMMAND...]"
	Options  []Option  `json:",omitempty"`
	Commands []Command `json:",omitempty"`
}

// Option describes a flag.
type Option struct {
	Names    []string // without dashes, the long one first
	Value    string   `json:",omitempty"` // what its value stands for; "" for a switch
	Usage    string
	Default  string `json:",omitempty"`
	Repeated bool   `json:",omitempty"`
	Env      string `json:",omitempty"`
}

// New is the hidden command that describes its own program.
func New() *cli.Command {
	return &cli.Command{
		Name: Name, Hidden: true, Usage: "describe the commands as JSON",
		Action: func(c *cli.Context) error {
			enc := json.NewEncoder(c.App.Writer)
			enc.SetIndent("", "\t")
			return enc.Encode(Describe(c.App))
		},
	}
}

// Describe is the tree of app, what is hidden left out.
func Describe(app *cli.App) Command {
	return Command{Name: app.Name, Usage: app.Usage, Options: options(app.VisibleFlags()), Commands: commands(app.Commands)}
}

func commands(list []*cli.Command) []Command {
	var out []Command
	for _, c := range list {
		if !c.Hidden {
			out = append(out, Command{c.Name, c.Aliases, c.Usage, c.ArgsUsage, options(c.VisibleFlags()), commands(c.Subcommands)})
		}
	}
	return out
}

func options(flags []cli.Flag) []Option {
	var out []Option
	for _, f := range flags {
		d, ok := f.(cli.DocGenerationFlag)
		if !ok || f.Names()[0] == "help" {
			continue
		}
		o := Option{Names: f.Names(), Usage: d.GetUsage(), Default: d.GetDefaultText(), Env: strings.Join(d.GetEnvVars(), ", ")}
		if s, ok := f.(cli.DocGenerationSliceFlag); ok {
			o.Repeated = s.IsSliceFlag()
		}
		if d.TakesValue() {
			o.Usage, o.Value = placeholder(o.Usage)
		}
		if o.Default == "0" || o.Default == "false" || o.Default == `""` || o.Default == "0s" {
			o.Default = "" // nothing that was chosen
		}
		out = append(out, o)
	}
	return out
}

// placeholder takes the marks from the name of the value in a usage text, as the cli package does for help.
func placeholder(usage string) (text, value string) {
	before, rest, ok := strings.Cut(usage, "`")
	if !ok {
		return usage, "VALUE"
	}
	value, after, ok := strings.Cut(rest, "`")
	if !ok {
		return usage, "VALUE"
	}
	return before + value + after, value
}
