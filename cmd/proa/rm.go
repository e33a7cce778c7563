package main

import (
	"context"
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
			&cli.BoolFlag{Name: "depend", Usage: "also the containers that share a namespace or the mounts of those"},
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
		return force || c.IsSet("filter") || !up(l)
	}
	if err := checkChoice(c); err != nil {
		return err
	}
	e, err := a.engine(c.Context)
	if err != nil {
		return err
	}
	list, errs, err := choose(c, e, all)
	if err == nil && c.Bool("depend") {
		list, err = withDependents(c.Context, e, list)
	}
	if err != nil {
		return err
	}
	return a.inOrder(c.Context, list, errs, removesAtOnce, func(t chosen) (string, error) {
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

// withDependents adds the containers that share a namespace or the mounts of one in the list.
func withDependents(ctx context.Context, e *libpod.Engine, list []chosen) ([]chosen, error) {
	all, err := e.List(ctx)
	if err != nil {
		return nil, err
	}
	listed := map[string]bool{}
	for _, t := range list {
		listed[t.ID] = true
	}
	for i := 0; i < len(list); i++ { // those of dependents too
		for _, l := range all {
			if !listed[l.ID] && l.DependsOn(list[i].Container) {
				listed[l.ID] = true
				list = append(list, chosen{l.Container, l.ID})
			}
		}
	}
	return list, nil
}

// missing tells whether err is about a container that is not there.
func missing(err error) bool { return errors.Is(err, state.ErrNotFound) }
