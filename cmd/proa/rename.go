package main

import (
	"fmt"

	"github.com/urfave/cli/v2"
)

func newRenameCommand(a *app) *cli.Command {
	return &cli.Command{
		Name:      "rename",
		Usage:     "give a container another name",
		ArgsUsage: "CONTAINER NAME",
		Action: objectErrors(func(c *cli.Context) error {
			if c.NArg() != 2 {
				return fmt.Errorf("rename takes a container and its new name, not %d arguments", c.NArg())
			}
			e, err := a.engine(c.Context)
			if err != nil {
				return err
			}
			ctr, err := e.Lookup(c.Args().First())
			if err != nil {
				return err
			}
			return e.Rename(ctr, c.Args().Get(1))
		}),
	}
}
