package main

import (
	"errors"
	"fmt"

	"github.com/urfave/cli/v2"
)

func newCreateCommand(a *app) *cli.Command {
	return &cli.Command{
		Name:      "create",
		Usage:     "make a container from an image and do not start it",
		ArgsUsage: "IMAGE [COMMAND...]",
		Flags: append(createFlags(),
			&cli.BoolFlag{Name: "quiet", Aliases: []string{"q"}, Usage: "no progress of a pull"},
		),
		Action: func(c *cli.Context) error { return runCreate(a, c) },
	}
}

func runCreate(a *app, c *cli.Context) error {
	ctr, err := parseCreate(a, c)
	if err != nil {
		return err
	}
	e, err := a.engine(c.Context)
	if err != nil {
		return err
	}
	if err := e.ResolveNetworks(ctr); err != nil {
		return err
	}
	img, err := a.containerImage(c, e, ctr, nil)
	if err != nil {
		return err
	}
	cid, err := reserveCIDFile(c.String("cidfile"))
	if err != nil {
		return err
	}
	ctr.Standing = true
	if err := e.Create(c.Context, ctr, img); err != nil {
		cid.dropEmpty()
		return err
	}
	if err := cid.write(ctr.ID); err != nil {
		ctr.DropVolumes = true
		return errors.Join(err, e.Remove(c.Context, ctr, true))
	}
	fmt.Fprintln(a.out, ctr.ID)
	return nil
}
