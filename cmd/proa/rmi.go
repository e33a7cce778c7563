package main

import (
	"errors"
	"fmt"

	"github.com/proa-containers/proa/image"
	"github.com/proa-containers/proa/libpod"
	"github.com/urfave/cli/v2"
)

func newRmiCommand(a *app) *cli.Command {
	return &cli.Command{
		Name:      "rmi",
		Usage:     "remove images, or names of images",
		ArgsUsage: "IMAGE [IMAGE...]",
		Flags: []cli.Flag{
			&cli.BoolFlag{Name: "force", Aliases: []string{"f"}, Usage: "remove an id with several names, or the name of an image in use; do not complain of missing ones"},
			&cli.BoolFlag{Name: "no-prune", Usage: "leave nameless parent images"},
		},
		Action: func(c *cli.Context) error {
			if c.NArg() == 0 {
				return errors.New("rmi takes at least one image; `proa images` lists them")
			}
			e, err := a.engine(c.Context)
			if err != nil {
				return err
			}
			s, err := e.Store()
			if err != nil {
				return err
			}
			var errs []error
			for _, ref := range c.Args().Slice() {
				done, err := image.Remove(c.Context, s, ref, image.RemoveOptions{Force: c.Bool("force"), KeepParents: c.Bool("no-prune")})
				for _, n := range done.Untagged {
					fmt.Fprintln(a.out, "Untagged:", n)
				}
				for _, id := range done.Deleted {
					fmt.Fprintln(a.out, "Deleted: sha256:"+id)
				}
				if err != nil && !(c.Bool("force") && errors.Is(err, image.ErrNotFound)) {
					errs = append(errs, nameUsers(e, err))
				}
			}
			return errors.Join(errs...)
		},
	}
}

// nameUsers puts the names that the engine has for containers in place of the store's.
func nameUsers(e *libpod.Engine, err error) error {
	var used *image.UsedError
	if !errors.As(err, &used) {
		return err
	}
	for i, c := range used.Containers {
		if ctr, err := e.Lookup(c.ID); err == nil {
			used.Containers[i].Names = []string{ctr.Name}
		}
	}
	return used
}
