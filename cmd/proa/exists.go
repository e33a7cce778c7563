package main

import (
	"fmt"

	"github.com/urfave/cli/v2"
)

func newExistsCommand(a *app) *cli.Command {
	return &cli.Command{
		Name:      "exists",
		Usage:     "exit with 0 if there is such a container, with 1 if not",
		ArgsUsage: "CONTAINER",
		Action: func(c *cli.Context) error {
			if c.NArg() != 1 {
				return fmt.Errorf("exists takes one container, not %d", c.NArg())
			}
			e, err := a.engine(c.Context)
			if err != nil {
				return err
			}
			_, err = e.Lookup(c.Args().First())
			if missing(err) {
				return &exitError{code: 1}
			}
			return err
		},
	}
}
