package main

import (
	"bytes"
	"fmt"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"
	"github.com/xrash/smetrics"
)

// near is how alike two words must be for one to be a likely slip of the other: 0 to 1, by Jaro and Winkler.
const near = 0.8

// nearest is the name most like word, "" when none is.
func nearest(word string, names []string) string {
	best, at := near, ""
	for _, n := range names {
		d := smetrics.JaroWinkler(n, word, 0.7, 4)
		if sameLetters(n, word) {
			d = 1 // typed in another order, which tells little in a short word
		}
		if d > best {
			best, at = d, n
		}
	}
	return at
}

func sameLetters(a, b string) bool {
	x, y := []byte(a), []byte(b)
	slices.Sort(x)
	slices.Sort(y)
	return bytes.Equal(x, y)
}

// unknownCommand is the error for a word that is no command; of is the words before it.
func unknownCommand(word, of string, list []*cli.Command) error {
	var names []string
	for _, c := range list {
		if !c.Hidden {
			names = append(names, c.Names()...)
		}
	}
	if n := nearest(word, names); n != "" {
		return fmt.Errorf("%q is not a command of %s: did you mean %q? `%s --help` lists them", word, of, n, of)
	}
	return fmt.Errorf("%q is not a command of %s; `%s --help` lists them", word, of, of)
}

// unknownFlag is what the parser says of a flag that is not there, before its name.
const unknownFlag = "flag provided but not defined: -"

// usageError is the error for a command line that the parser refuses.
func usageError(c *cli.Context, err error, _ bool) error {
	word, unknown := strings.CutPrefix(err.Error(), unknownFlag)
	if !unknown {
		return fmt.Errorf("%w; see `proa %s --help`", err, c.Command.Name)
	}
	var names []string
	for _, f := range c.Command.Flags {
		names = append(names, f.Names()...)
	}
	dashes := "--"
	if len(word) == 1 {
		dashes = "-"
	}
	if n := nearest(word, names); n != "" && len(n) > 1 {
		return fmt.Errorf("unknown flag: %s%s: did you mean --%s? see `proa %s --help`", dashes, word, n, c.Command.Name)
	}
	return fmt.Errorf("unknown flag: %s%s; see `proa %s --help`", dashes, word, c.Command.Name)
}
