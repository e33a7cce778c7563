package main

import (
	"errors"
	"fmt"
	"io"
	"os"

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
	return interruptible(c.Context, func() error { return writeFile(name, write) })
}

// writeFile fills a file that only has its name when it is whole. What is there and no regular file is written to.
func writeFile(name string, fill func(io.Writer) error) error {
	if st, err := os.Stat(name); err == nil && !st.Mode().IsRegular() {
		f, err := os.OpenFile(name, os.O_WRONLY, 0)
		if err != nil {
			return fmt.Errorf("writing the archive: %w", err)
		}
		return errors.Join(fill(f), f.Close())
	}
	tmp := fmt.Sprintf("%s.part-%d", name, os.Getpid())
	f, err := os.OpenFile(tmp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return fmt.Errorf("writing the archive: %w", err)
	}
	err = errors.Join(fill(f), f.Close())
	if err == nil {
		err = os.Rename(tmp, name)
	}
	if err != nil {
		return errors.Join(err, os.Remove(tmp))
	}
	return nil
}
