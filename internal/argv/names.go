package argv

import "github.com/urfave/cli/v2"

// The types below are flags that know their names. The library makes the list anew, with a regular expression, at every
// call, and calls once for each pair of a command's flags: for run's hundred, a millisecond and a half.

// plainFlag is what every flag type of the library implements.
type plainFlag interface {
	cli.ActionableFlag
	cli.RequiredFlag
	cli.VisibleFlag
	cli.CategorizableFlag
	cli.DocGenerationFlag
}

type named struct {
	plainFlag
	names []string
}

func (f named) Names() []string { return f.names }

// namedSlice embeds the type itself: the library sets its separator through a method with an unexported parameter.
type namedSlice struct {
	*cli.StringSliceFlag
	names []string
}

func (f namedSlice) Names() []string { return f.names }

// Name makes the flags of an application and its commands know their names; Canonical does it on its way.
func Name(app *cli.App) {
	nameFlags(app.Flags)
	for _, c := range app.Commands {
		nameFlags(c.Flags)
	}
}

// nameFlags makes the flags of list know their names.
func nameFlags(list []cli.Flag) {
	for i, f := range list {
		switch f := f.(type) {
		case named, namedSlice:
		case *cli.StringSliceFlag:
			list[i] = namedSlice{f, f.Names()}
		case cli.DocGenerationSliceFlag: // of another type: slow, but right
		case plainFlag:
			list[i] = named{f, f.Names()}
		}
	}
}

// unnamed is the flag as it was declared.
func unnamed(f cli.Flag) cli.Flag {
	switch n := f.(type) {
	case named:
		return n.plainFlag
	case namedSlice:
		return n.StringSliceFlag
	}
	return f
}
