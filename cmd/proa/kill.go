package main

import (
	"fmt"

	"github.com/proa-containers/proa/libpod"
	"github.com/urfave/cli/v2"
)

func newKillCommand(a *app) *cli.Command {
	return &cli.Command{
		Name:      "kill",
		Usage:     "send a signal to one or more running containers",
		ArgsUsage: "CONTAINER [CONTAINER...]",
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "signal", Aliases: []string{"s"}, Value: "KILL", Usage: "`SIGNAL` to send"},
		},
		Action: func(c *cli.Context) error {
			if _, err := libpod.Signal(c.String("signal")); err != nil {
				return err
			}
			return a.each(c, 1, func(e *libpod.Engine, ctr *libpod.Container, ref string) error {
				if err := e.Kill(ctr, c.String("signal")); err != nil {
					return err
				}
				fmt.Fprintln(a.out, ref)
				return nil
			})
		},
	}
}
