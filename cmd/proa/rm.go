package main

import (
	"errors"

	"github.com/proa-containers/proa/libpod"
	"github.com/proa-containers/proa/libpod/state"
	"github.com/urfave/cli/v2"
)

func newRmCommand(a *app) *cli.Command {
	return &cli.Command{
		Name:      "rm",
		Aliases:   []string{"remove"},
		Usage:     "remove one or more containers",
		ArgsUsage: "CONTAINER [CONTAINER...]",
		Flags: append([]cli.Flag{
			&cli.BoolFlag{Name: "force", Aliases: []string{"f"}, Usage: "kill running containers; do not complain of missing ones"},
			timeFlag("with --force, stop running containers first, and `SECONDS` later kill them, -1 for never (default: killed at once)"),
			allFlag("all containers that do not run, with --force those too", "a"),
			&cli.BoolFlag{Name: "volumes", Aliases: []string{"v"}, Usage: "their anonymous volumes too"},
			ignoreFlag(),
		}, chooseFlags()...),
		Action: objectErrors(func(c *cli.Context) error { return runRm(a, c) }),
	}
}

func runRm(a *app, c *cli.Context) error {
	force := c.Bool("force")
	seconds, err := parseStopTime(c)
	if err != nil {
		return err
	}
	if seconds != nil && !force {
		return errors.New("--time needs --force: without it no running container is removed")
	}
	// What a filter says is removed or an error; --all leaves what runs.
	all := func(l libpod.Listed) bool {
		return force || c.IsSet("filter") || !inState(libpod.Running, libpod.Paused)(l)
	}
	return a.eachChosen(c, all, atOnce, func(e *libpod.Engine, t chosen) (string, error) {
		if seconds != nil {
			if err := e.Stop(c.Context, t.Container, "", seconds); err != nil {
				return "", err
			}
		}
		t.DropVolumes = c.Bool("volumes")
		err := e.Remove(c.Context, t.Container, force)
		if missing(err) && (force || c.Bool("ignore")) {
			return "", nil
		}
		return t.ref, err
	})
}

// missing tells whether err is about a container that is not there.
func missing(err error) bool { return errors.Is(err, state.ErrNotFound) }
