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
			allFlag("all running containers", "a"), latestFlag(), cidfilesFlag(),
		},
		Action: objectErrors(func(c *cli.Context) error {
			if _, err := libpod.Signal(c.String("signal")); err != nil {
				return fmt.Errorf("--signal: %w", err)
			}
			return a.eachChosen(c, inState(libpod.Running, libpod.Paused, libpod.Restarting), 1, func(e *libpod.Engine, t chosen) (string, error) {
				return t.ref, e.Kill(t.Container, c.String("signal"))
			})
		}),
	}
}
