package main

import (
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/proa-containers/proa/internal/outfile"
	"github.com/urfave/cli/v2"
	"golang.org/x/term"
)

func newExportCommand(a *app) *cli.Command {
	return &cli.Command{
		Name:      "export",
		Usage:     "write a container's files to a tar archive",
		ArgsUsage: "CONTAINER",
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "output", Aliases: []string{"o"}, Usage: "archive `FILE` to write, in place of standard output"},
		},
		Action: func(c *cli.Context) error { return runExport(a, c) },
	}
}

func runExport(a *app, c *cli.Context) error {
	if c.NArg() != 1 {
		return fmt.Errorf("export takes one container, not %d", c.NArg())
	}
	name := c.String("output")
	if f, ok := a.out.(*os.File); ok && name == "" && term.IsTerminal(int(f.Fd())) {
		return errors.New("export does not write an archive to a terminal; use --output or redirect it")
	}
	e, err := a.engine(c.Context)
	if err != nil {
		return err
	}
	ctr, err := e.Lookup(c.Args().First())
	if err != nil {
		return &exitError{1, err}
	}
	write := func(w io.Writer) error { return e.Export(c.Context, ctr, w) }
	if name == "" {
		return interruptible(c.Context, func() error { return write(a.out) })
	}
	return interruptible(c.Context, func() error { return outfile.Write(name, 0o600, write) })
}
