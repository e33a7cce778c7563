package main

import (
	"fmt"

	"github.com/proa-containers/proa/libpod"
	"github.com/urfave/cli/v2"
)

func newWaitCommand(a *app) *cli.Command {
	return &cli.Command{
		Name:      "wait",
		Usage:     "wait until containers end and print their exit codes",
		ArgsUsage: "CONTAINER [CONTAINER...]",
		Action: func(c *cli.Context) error {
			return a.each(c, 1, func(e *libpod.Engine, ctr *libpod.Container, _ string) error {
				run, err := e.Wait(c.Context, ctr)
				if err != nil {
					return err
				}
				fmt.Fprintln(a.out, run.ExitCode)
				return nil
			})
		},
	}
}
