package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/proa-containers/proa/image"
	"github.com/proa-containers/proa/storage"
	"github.com/urfave/cli/v2"
)

// store opens the image store for a command.
func (a *app) store(ctx context.Context) (*storage.Store, error) {
	e, err := a.engine(ctx)
	if err != nil {
		return nil, err
	}
	return e.Store()
}

func newImageCommand(a *app) *cli.Command {
	list := newImagesCommand(a)
	list.Name, list.Aliases = "ls", []string{"list"}
	rm := newRmiCommand(a)
	rm.Name, rm.Aliases = "rm", []string{"remove"}
	return &cli.Command{
		Name:  "image",
		Usage: "manage images",
		Subcommands: []*cli.Command{
			newImageExistsCommand(a), newHistoryCommand(a), newImportCommand(a), newImageInspectCommand(a), list, newLoadCommand(a),
			newImagePruneCommand(a), newPullCommand(a), newPushCommand(a), rm, newSaveCommand(a), newTagCommand(a),
			newImageTreeCommand(a), newUntagCommand(a),
		},
	}
}

func newImageExistsCommand(a *app) *cli.Command {
	return &cli.Command{
		Name:      "exists",
		Usage:     "exit with 0 if an image is in the store, with 1 if not",
		ArgsUsage: "IMAGE",
		Action: func(c *cli.Context) error {
			if c.NArg() != 1 {
				return errors.New("image exists takes one image")
			}
			s, err := a.store(c.Context)
			if err != nil {
				return err
			}
			_, err = image.Lookup(s, c.Args().First())
			if errors.Is(err, image.ErrNotFound) {
				return &exitError{1, nil}
			}
			return err
		},
	}
}

func newImageInspectCommand(a *app) *cli.Command {
	return &cli.Command{
		Name:      "inspect",
		Usage:     "show all there is to know of images, as JSON",
		ArgsUsage: "IMAGE [IMAGE...]",
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "format", Aliases: []string{"f"}, Usage: "Go `TEMPLATE` for each image"},
		},
		Action: objectErrors(func(c *cli.Context) error {
			if c.NArg() == 0 {
				return errors.New("image inspect takes at least one image")
			}
			t, err := parseTemplate(c.String("format"))
			if err != nil {
				return err
			}
			s, err := a.store(c.Context)
			if err != nil {
				return err
			}
			found := []*image.Inspected{}
			var errs []error
			for _, ref := range c.Args().Slice() {
				i, err := image.Inspect(s, ref)
				if err != nil {
					errs = append(errs, err)
					continue
				}
				found = append(found, i)
			}
			if err := printInspected(a, t, found); err != nil {
				errs = append(errs, err)
			}
			return errors.Join(errs...)
		}),
	}
}

func printInspected(a *app, t *rowTemplate, found []*image.Inspected) error {
	if t == nil {
		data, err := json.MarshalIndent(found, "", "    ")
		if err != nil {
			return err
		}
		_, err = fmt.Fprintln(a.out, string(data))
		return err
	}
	for _, i := range found {
		if err := printEither(a, t, i); err != nil {
			return err
		}
	}
	return nil
}
