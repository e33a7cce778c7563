package main

import (
	"errors"
	"fmt"

	"github.com/proa-containers/proa/libpod"
	"github.com/urfave/cli/v2"
)

func newPauseCommand(a *app) *cli.Command {
	return freezeCommand(a, "pause", "stop every process of running containers", libpod.Running, (*libpod.Engine).Pause)
}

func newUnpauseCommand(a *app) *cli.Command {
	return freezeCommand(a, "unpause", "let the processes of paused containers go on", libpod.Paused, (*libpod.Engine).Unpause)
}

func freezeCommand(a *app, name, usage string, of libpod.State, do func(*libpod.Engine, *libpod.Container) error) *cli.Command {
	return &cli.Command{
		Name:      name,
		Usage:     usage,
		ArgsUsage: "CONTAINER [CONTAINER...]",
		Flags:     []cli.Flag{&cli.BoolFlag{Name: "all", Aliases: []string{"a"}, Usage: "all " + string(of) + " containers"}},
		Action: func(c *cli.Context) error {
			if !c.Bool("all") {
				return a.each(c, 1, func(e *libpod.Engine, ctr *libpod.Container, ref string) error {
					if err := do(e, ctr); err != nil {
						return err
					}
					fmt.Fprintln(a.out, ref)
					return nil
				})
			}
			if c.Args().Present() {
				return errors.New(name + " takes either --all or the names of containers, not both")
			}
			return a.eachIn(c, of, func(e *libpod.Engine, ctr *libpod.Container) error { return do(e, ctr) })
		},
	}
}
