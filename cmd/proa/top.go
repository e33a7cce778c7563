package main

import (
	"errors"
	"fmt"
	"strings"
	"text/tabwriter"

	"github.com/proa-containers/proa/libpod"
	"github.com/urfave/cli/v2"
)

func newTopCommand(a *app) *cli.Command {
	return &cli.Command{
		Name:      "top",
		Usage:     "list the processes of a running container",
		ArgsUsage: "CONTAINER|--latest [PS-OPTION...]",
		Description: "Without options it shows what ps -ef would, with the host's pids and the container's user names, from the kernel itself: " +
			"neither the container nor the host needs a ps. With options the host's ps is run, and has to print a column PID.",
		SkipFlagParsing: true, // the flags behind the container are ps's
		Action:          func(c *cli.Context) error { return runTop(a, c) },
	}
}

func runTop(a *app, c *cli.Context) error {
	args := c.Args().Slice()
	if len(args) > 0 && (args[0] == "--help" || args[0] == "-h") {
		return cli.ShowSubcommandHelp(c)
	}
	if len(args) == 0 {
		return errors.New("top takes a running container; `proa ps` lists them")
	}
	latest := args[0] == "-l" || args[0] == "--latest"
	switch {
	case args[0] == "--":
		args = args[1:]
	case strings.HasPrefix(args[0], "-") && !latest:
		return fmt.Errorf("top has no flag %q of its own but --latest: the container comes first, then the options of ps", args[0])
	}
	if len(args) == 0 {
		return errors.New("top takes a running container; `proa ps` lists them")
	}
	e, err := a.engine(c.Context)
	if err != nil {
		return err
	}
	ctr, err := topContainer(c, e, args[0], latest)
	if err != nil {
		return &exitError{1, err}
	}
	titles, rows, err := e.Top(c.Context, ctr, args[1:])
	if err != nil {
		return &exitError{1, err}
	}
	w := tabwriter.NewWriter(a.out, 20, 0, 3, ' ', 0)
	for _, row := range append([][]string{titles}, rows...) {
		fmt.Fprintln(w, strings.Join(row, "\t"))
	}
	return w.Flush()
}

// topContainer finds the container; the words behind top are ps's, and are not parsed as flags.
func topContainer(c *cli.Context, e *libpod.Engine, ref string, latest bool) (*libpod.Container, error) {
	if !latest {
		return e.Lookup(ref)
	}
	return latestOf(c.Context, e)
}
