package main

import (
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
		Flags:     append(chooseFlags("f"), allFlag("all "+string(of)+" containers", "a")),
		Action: objectErrors(func(c *cli.Context) error {
			return a.eachChosen(c, inState(of), 1, func(e *libpod.Engine, t chosen) (string, error) {
				return t.ref, do(e, t.Container)
			})
		}),
	}
}
