package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/proa-containers/proa/image"
	"github.com/proa-containers/proa/libpod"
	"github.com/proa-containers/proa/storage"
	"github.com/urfave/cli/v2"
)

func newRmiCommand(a *app) *cli.Command {
	return &cli.Command{
		Name:      "rmi",
		Usage:     "remove images, or names of images",
		ArgsUsage: "IMAGE [IMAGE...]",
		Flags: []cli.Flag{
			&cli.BoolFlag{Name: "all", Aliases: []string{"a"}, Usage: "every image that no container uses, with all its names"},
			&cli.BoolFlag{Name: "force", Aliases: []string{"f"}, Usage: "remove an id with several names, or the name of an image in use; do not complain of missing ones"},
			&cli.BoolFlag{Name: "ignore", Aliases: []string{"i"}, Usage: "do not complain of missing ones"},
			&cli.BoolFlag{Name: "no-prune", Usage: "leave nameless parent images"},
		},
		Action: objectErrors(func(c *cli.Context) error {
			all := c.Bool("all")
			switch {
			case all && c.NArg() > 0:
				return errors.New("rmi takes either images or --all")
			case !all && c.NArg() == 0:
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
			o := image.RemoveOptions{Force: c.Bool("force") || all, KeepParents: c.Bool("no-prune")}
			refs, missing := c.Args().Slice(), c.Bool("force") || c.Bool("ignore")
			if all {
				missing = true // as parents of what was removed
				if refs, err = unusedImages(c.Context, s); err != nil {
					return err
				}
			}
			var errs []error
			for _, ref := range refs {
				if err := removeImage(c.Context, a, e, ref, o); err != nil && !(missing && errors.Is(err, image.ErrNotFound)) {
					errs = append(errs, nameUsers(e, err))
				}
			}
			return errors.Join(errs...)
		}),
	}
}

// unusedImages are the ids of the images that no container of any tool uses and that can be removed.
func unusedImages(ctx context.Context, s *storage.Store) ([]string, error) {
	list, bad, err := image.List(ctx, s)
	if err != nil {
		return nil, err
	}
	var ids []string
	for _, i := range list {
		if i.Containers == 0 && !i.ReadOnly {
			ids = append(ids, i.ID)
		}
	}
	return ids, errors.Join(bad...)
}

func removeImage(ctx context.Context, a *app, e *libpod.Engine, ref string, o image.RemoveOptions) error {
	s, err := e.Store()
	if err != nil {
		return err
	}
	var labels map[string]string
	id := ""
	if img, err := image.Lookup(s, ref); err == nil { // one that can't be read can be removed
		id, labels = img.ID, img.Config.Labels
	}
	done, err := image.Remove(ctx, s, ref, o)
	if id == "" && len(done.Deleted) > 0 {
		id = done.Deleted[0]
	}
	for _, n := range done.Untagged {
		fmt.Fprintln(a.out, "Untagged:", n)
		e.SayImage("untag", id, n, labels)
	}
	for _, deleted := range done.Deleted {
		fmt.Fprintln(a.out, "Deleted: sha256:"+deleted)
		if deleted != id { // a nameless parent
			labels = nil
		}
		e.SayImage("delete", deleted, "sha256:"+deleted, labels)
	}
	return err
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
