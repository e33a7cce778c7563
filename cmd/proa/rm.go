package main

import (
	"errors"
	"fmt"

	"github.com/proa-containers/proa/libpod"
	"github.com/proa-containers/proa/libpod/state"
	"github.com/urfave/cli/v2"
)

func newRmCommand(a *app) *cli.Command {
	return &cli.Command{
		Name:      "rm",
		Usage:     "remove one or more containers",
		ArgsUsage: "CONTAINER [CONTAINER...]",
		Flags: []cli.Flag{
			&cli.BoolFlag{Name: "volumes", Aliases: []string{"v"}, Usage: "their anonymous volumes too"},
			&cli.BoolFlag{Name: "force", Aliases: []string{"f"}, Usage: "kill running containers; do not complain of missing ones"},
			&cli.BoolFlag{Name: "all", Aliases: []string{"a"}, Usage: "all containers that do not run, with --force those too"},
		},
		Action: func(c *cli.Context) error {
			if c.Bool("all") {
				return removeAll(a, c)
			}
			err := a.each(c, 1, func(e *libpod.Engine, ctr *libpod.Container, ref string) error {
				ctr.DropVolumes = c.Bool("volumes")
				if err := e.Remove(c.Context, ctr, c.Bool("force")); err != nil {
					return err
				}
				fmt.Fprintln(a.out, ref)
				return nil
			})
			return err
		},
	}
}

func removeAll(a *app, c *cli.Context) error {
	if c.Args().Present() {
		return errors.New("rm takes either --all or the names of containers, not both")
	}
	e, err := a.engine(c.Context)
	if err != nil {
		return err
	}
	list, err := e.List(c.Context)
	if err != nil {
		return err
	}
	var errs []error
	for _, l := range list {
		if l.Status.State == libpod.Running && !c.Bool("force") {
			continue
		}
		l.Container.DropVolumes = c.Bool("volumes")
		if err := e.Remove(c.Context, l.Container, c.Bool("force")); err != nil {
			errs = append(errs, err)
			continue
		}
		fmt.Fprintln(a.out, l.ID)
	}
	return errors.Join(errs...)
}

// missing tells whether err is about a container that is not there.
func missing(err error) bool { return errors.Is(err, state.ErrNotFound) }
