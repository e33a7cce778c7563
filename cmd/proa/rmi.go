package main

import (
	"errors"
	"fmt"

	"github.com/proa-containers/proa/image"
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
			s, err := a.store(c.Context)
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
					errs = append(errs, err)
				}
			}
			return errors.Join(errs...)
		},
	}
}
