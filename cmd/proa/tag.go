package main

import (
	"errors"

	"github.com/proa-containers/proa/image"
	"github.com/urfave/cli/v2"
)

func newTagCommand(a *app) *cli.Command {
	return &cli.Command{
		Name:        "tag",
		Usage:       "give an image another name",
		ArgsUsage:   "IMAGE NAME[:TAG] [NAME[:TAG]...]",
		Description: "A name without a registry is made localhost/NAME, and one without a tag NAME:latest. A name that another image has is taken from it.",
		Action: func(c *cli.Context) error {
			if c.NArg() < 2 {
				return errors.New("tag takes an image and the name to give it")
			}
			s, err := a.store(c.Context)
			if err != nil {
				return err
			}
			if err := image.Tag(s, c.Args().First(), c.Args().Tail()); err != nil {
				return &exitError{1, err}
			}
			return nil
		},
	}
}

func newUntagCommand(a *app) *cli.Command {
	return &cli.Command{
		Name:        "untag",
		Usage:       "take names from an image, and leave the image",
		ArgsUsage:   "IMAGE [NAME[:TAG]...]",
		Description: "Without a name all names go.",
		Action: func(c *cli.Context) error {
			if c.NArg() == 0 {
				return errors.New("untag takes an image, and the names to take from it")
			}
			s, err := a.store(c.Context)
			if err != nil {
				return err
			}
			if err := image.Untag(s, c.Args().First(), c.Args().Tail()); err != nil {
				return &exitError{1, err}
			}
			return nil
		},
	}
}
