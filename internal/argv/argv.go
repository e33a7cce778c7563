// Package argv owns the rewriting of a command line as users of Docker write it into one that the flag package of Go
// understands. It runs at the start of proa and of proa-image, as the invoking user, and knows no command but what it
// is given.
package argv

import (
	"slices"
	"strings"

	"github.com/urfave/cli/v2"
)

// Canonical rewrites a command line as users of Docker write it into one for the flag package of Go: combined short
// flags (-it, -eA=1, -p8080:80), flags of one name in several forms (-e and --env), and flags behind the arguments
// where a command does not run another program's command line.
func Canonical(app *cli.App, args []string) []string {
	if len(args) == 0 {
		return args
	}
	out, rest := args[:1:1], args[1:]
	flags, commands := app.Flags, app.Commands
	for {
		var done []string
		done, rest = takeFlags(flags, rest)
		out = append(out, done...)
		if len(rest) == 0 || rest[0] == "--" {
			return append(out, rest...)
		}
		i := slices.IndexFunc(commands, func(c *cli.Command) bool { return c.HasName(rest[0]) })
		if i < 0 {
			return append(out, rest...)
		}
		cmd := commands[i]
		nameFlags(cmd.Flags)
		out, rest = append(out, rest[0]), rest[1:]
		if flags, commands = cmd.Flags, cmd.Subcommands; len(commands) == 0 {
			return append(out, canonicalCommand(cmd, rest)...)
		}
	}
}

// canonicalCommand is the canonical form of what follows the name of cmd.
func canonicalCommand(cmd *cli.Command, rest []string) []string {
	if cmd.SkipFlagParsing {
		return rest
	}
	var flags, operands []string
	for {
		var done []string
		done, rest = takeFlags(cmd.Flags, rest)
		flags = append(flags, done...)
		if len(rest) == 0 || rest[0] == "--" || runsCommand(cmd, flags, operands) {
			break
		}
		operands, rest = append(operands, rest[0]), rest[1:]
	}
	if len(rest) == 0 && lacksValue(cmd.Flags, flags) {
		return flags // for the parser to say so, which would take the "--" before the operands for the value
	}
	if len(rest) > 0 && rest[0] == "--" {
		rest = rest[1:]
	}
	if operands = append(operands, rest...); len(operands) > 0 {
		flags = append(append(flags, "--"), operands...)
	}
	return flags
}

// runsCommand tells whether what follows is another program's command line. Flags of cmd that may stand behind the name of a
// container are named there in its usage.
func runsCommand(cmd *cli.Command, flags, operands []string) bool {
	if !strings.Contains(cmd.ArgsUsage, "COMMAND") {
		return false
	}
	late := strings.HasPrefix(cmd.ArgsUsage, "CONTAINER [OPTION...]") && !slices.Contains(flags, "--latest")
	return !late || len(operands) > 0
}

// lacksValue tells whether the last one of done is a flag that the command line ended at before its value.
func lacksValue(flags []cli.Flag, done []string) bool {
	if len(done) == 0 {
		return false
	}
	name, ok := strings.CutPrefix(done[len(done)-1], "--")
	f := lookupFlag(flags, name)
	return ok && f != nil && !isBool(f)
}

// takeFlags rewrites the flags at the head of args and returns what follows them.
func takeFlags(flags []cli.Flag, args []string) (done, rest []string) {
	for len(args) > 0 {
		arg := args[0]
		if len(arg) < 2 || arg[0] != '-' || arg == "--" {
			break
		}
		args = args[1:]
		name, value, valued := strings.Cut(strings.TrimPrefix(arg, "--"), "=")
		if !strings.HasPrefix(arg, "--") {
			var short []string
			short, args = takeShort(flags, arg, args)
			done = append(done, short...)
			continue
		}
		f := lookupFlag(flags, name)
		switch {
		case f == nil:
			done = append(done, arg)
		case valued:
			done = append(done, "--"+f.Names()[0]+"="+value)
		case isBool(f) || len(args) == 0:
			done = append(done, "--"+f.Names()[0])
		default:
			done, args = append(done, "--"+f.Names()[0]+"="+args[0]), args[1:]
		}
	}
	return done, args
}

// takeShort splits arg, one-letter flags written together, the last one perhaps with its value.
func takeShort(flags []cli.Flag, arg string, args []string) (done, rest []string) {
	for i := 1; i < len(arg); i++ {
		f := lookupFlag(flags, arg[i:i+1])
		switch {
		case f == nil && arg == "-h":
			return []string{"--help"}, args
		case f == nil && arg == "-v" && lookupFlag(flags, "version") != nil:
			return []string{"--version"}, args
		case f == nil:
			return append(done, arg), args // the parser says that it is unknown
		case isBool(f):
			if value, ok := strings.CutPrefix(arg[i+1:], "="); ok {
				return append(done, "--"+f.Names()[0]+"="+value), args
			}
			done = append(done, "--"+f.Names()[0])
		case i+1 < len(arg):
			return append(done, "--"+f.Names()[0]+"="+strings.TrimPrefix(arg[i+1:], "=")), args
		case len(args) == 0:
			return append(done, "--"+f.Names()[0]), args
		default:
			return append(done, "--"+f.Names()[0]+"="+args[0]), args[1:]
		}
	}
	return done, args
}

func lookupFlag(flags []cli.Flag, name string) cli.Flag {
	for _, f := range flags {
		if slices.Contains(f.Names(), name) {
			return f
		}
	}
	return nil
}

func isBool(f cli.Flag) bool {
	_, ok := unnamed(f).(*cli.BoolFlag)
	return ok
}
