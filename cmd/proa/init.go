package main

import (
	"github.com/proa-containers/proa/libpod"
	"github.com/urfave/cli/v2"
)

func newInitCommand(a *app) *cli.Command {
	return &cli.Command{
		Name:      "init",
		Usage:     "make the namespaces and the root of containers, and hold their commands back until start",
		ArgsUsage: "CONTAINER [CONTAINER...]",
		Flags:     []cli.Flag{allFlag("all containers that do not run", "a"), latestFlag()},
		Action: objectErrors(func(c *cli.Context) error {
			return a.eachChosen(c, inState(libpod.Created, libpod.Exited), 1, func(e *libpod.Engine, t chosen) (string, error) {
				return t.ref, startFailed(e.Init(c.Context, t.Container))
			})
		}),
	}
}
