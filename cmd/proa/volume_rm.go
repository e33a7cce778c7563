package main

import (
	"errors"
	"fmt"

	"github.com/proa-containers/proa/libpod"
	"github.com/proa-containers/proa/libpod/volume"
	"github.com/urfave/cli/v2"
)

func newVolumeRmCommand(a *app) *cli.Command {
	return &cli.Command{
		Name:      "rm",
		Aliases:   []string{"remove"},
		Usage:     "remove volumes that no container has",
		ArgsUsage: "VOLUME [VOLUME...]",
		Flags: []cli.Flag{
			&cli.BoolFlag{Name: "force", Aliases: []string{"f"}, Usage: "do not complain of missing ones; remove those of other tools too"},
			&cli.BoolFlag{Name: "all", Aliases: []string{"a"}, Usage: "all that no container has, but those of other tools"},
		},
		Action: func(c *cli.Context) error { return failed(runVolumeRm(a, c)) },
	}
}

func runVolumeRm(a *app, c *cli.Context) []error {
	if c.Bool("all") == c.Args().Present() {
		return []error{errors.New("volume rm takes either the names of volumes or --all")}
	}
	e, s, err := a.volumes(c.Context)
	if err != nil {
		return []error{err}
	}
	if c.Bool("all") {
		return removeAllVolumes(a, c, e, s)
	}
	var list []*volume.Volume
	var errs []error
	for _, name := range c.Args().Slice() {
		v, err := s.Get(name)
		switch {
		case errors.Is(err, volume.ErrNotFound) && c.Bool("force"):
		case err != nil:
			errs = append(errs, err)
		case v.Foreign && !c.Bool("force"):
			errs = append(errs, fmt.Errorf("volume %q was made by another tool, whose containers may use it; remove it with that, as `podman volume rm %s`, or with --force", name, name))
		default:
			list = append(list, v)
		}
	}
	if len(list) == 0 {
		return errs
	}
	gone, _, failures := e.RemoveVolumes(c.Context, list)
	for _, v := range gone {
		fmt.Fprintln(a.out, v.Name)
	}
	return append(errs, failures...)
}

func removeAllVolumes(a *app, c *cli.Context, e *libpod.Engine, s *volume.Store) []error {
	list, err := unusedVolumes(a, e, s)
	if err != nil {
		return []error{err}
	}
	gone, _, errs := e.RemoveVolumes(c.Context, list)
	for _, v := range gone {
		fmt.Fprintln(a.out, v.Name)
	}
	return errs
}

// unusedVolumes are those that no container has and that no other tool may have.
func unusedVolumes(a *app, e *libpod.Engine, s *volume.Store) ([]*volume.Volume, error) {
	list, err := a.listVolumes(s)
	if err != nil {
		return nil, err
	}
	used, err := e.VolumeUsers()
	if err != nil {
		return nil, err
	}
	var out []*volume.Volume
	for _, v := range list {
		if !v.Foreign && len(used[v.Name]) == 0 {
			out = append(out, v)
		}
	}
	return out, nil
}
