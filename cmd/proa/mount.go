package main

import (
	"errors"
	"fmt"

	"github.com/proa-containers/proa/libpod"
	"github.com/urfave/cli/v2"
)

func newMountCommand(a *app) *cli.Command {
	return &cli.Command{
		Name:      "mount",
		Usage:     "print where the files of running containers are",
		ArgsUsage: "[CONTAINER...]",
		Description: "The path is that of the container's own root, and goes with it: nothing is mounted for it. Files that belong to the container's " +
			"root can be used there at once, those of its other users within `proa unshare`. Without a name it lists the running containers.",
		Flags: []cli.Flag{latestFlag()},
		Action: func(c *cli.Context) error {
			if c.NArg() == 0 && !c.Bool("latest") {
				return listMounts(a, c)
			}
			return a.eachChosen(c, nil, 1, func(e *libpod.Engine, t chosen) (string, error) {
				path, err := e.MountPath(t.Container)
				if c.NArg() > 1 {
					path = t.ref + " " + path
				}
				return path, err
			})
		},
	}
}

func listMounts(a *app, c *cli.Context) error {
	e, err := a.engine(c.Context)
	if err != nil {
		return err
	}
	list, err := e.List(c.Context)
	if err != nil {
		return err
	}
	for _, l := range list {
		if l.Status.PID == 0 {
			continue
		}
		path, err := e.MountPath(l.Container)
		var wrong *libpod.WrongStateError
		if errors.As(err, &wrong) {
			continue
		}
		if err != nil {
			return err
		}
		fmt.Fprintln(a.out, l.ID[:12], path)
	}
	return nil
}

func newUnmountCommand(a *app) *cli.Command {
	return &cli.Command{
		Name:        "unmount",
		Aliases:     []string{"umount"},
		Usage:       "end the use of what mount printed",
		ArgsUsage:   "CONTAINER [CONTAINER...]",
		Description: "There is nothing to undo, since mount mounts nothing: what it promises, that no mount is left of it, holds already.",
		Flags:       []cli.Flag{latestFlag(), allFlag("all containers", "a")},
		Action: func(c *cli.Context) error {
			return a.eachChosen(c, func(libpod.Listed) bool { return true }, 1, func(_ *libpod.Engine, t chosen) (string, error) { return t.ref, nil })
		},
	}
}
