package main

import (
	"errors"
	"fmt"

	"github.com/urfave/cli/v2"

	"github.com/proa-containers/proa/image/transfer"
)

type pullOptions struct {
	transfer.PullOptions
	quiet bool
}

func newPull(a *app) *cli.Command {
	return &cli.Command{
		Name:      "pull",
		Usage:     "bring an image from a registry into the store",
		ArgsUsage: "IMAGE",
		Flags: append(accessFlags(),
			&cli.BoolFlag{Name: "all-tags", Aliases: []string{"a"}, Usage: "pull every tag of the repository"},
			&cli.StringFlag{Name: "arch", Usage: "`ARCHITECTURE` to choose, in place of the host's"},
			credsFlag(),
			&cli.StringFlag{Name: "os", Usage: "operating `SYSTEM` to choose, in place of linux"},
			&cli.StringFlag{Name: "platform", Usage: "`OS/ARCH[/VARIANT]` to choose"},
			&cli.StringFlag{Name: "policy", Value: "always", Usage: "`WHEN` to ask the registry: always, missing, newer, never"},
			&cli.BoolFlag{Name: "quiet", Aliases: []string{"q"}, Usage: "print the image's id alone"},
			&cli.StringFlag{Name: "variant", Usage: "`VARIANT` of the architecture to choose"},
		),
		Action: func(c *cli.Context) error {
			var o pullOptions
			if err := o.complete(c); err != nil {
				return err
			}
			if c.NArg() == 0 {
				return errors.New("pull takes one image name, such as docker.io/library/alpine")
			}
			if c.NArg() > 1 {
				return fmt.Errorf("pull takes one image name; it was given %q", c.Args().Slice())
			}
			s, err := a.store(c)
			if err != nil {
				return err
			}
			o.Output = a.output(o.quiet)
			o.Pulled = func(name, id string) { a.say(s, "pull", name, id, name) }
			ids, err := transfer.Pull(c.Context, s, c.Args().First(), o.PullOptions)
			for _, id := range ids {
				fmt.Fprintln(a.out, id)
			}
			return err
		},
	}
}

func (o *pullOptions) complete(c *cli.Context) error {
	var err error
	if o.Platform, err = platform(c); err != nil {
		return err
	}
	if o.Policy, err = transfer.ParsePolicy(c.String("policy")); err != nil {
		return err
	}
	o.Access = access(c)
	o.AllTags, o.quiet = c.Bool("all-tags"), c.Bool("quiet")
	return nil
}
