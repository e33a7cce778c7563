package main

import (
	"fmt"
	"io"
	"os"

	"github.com/proa-containers/proa/image"
	"github.com/proa-containers/proa/libpod"
	"github.com/urfave/cli/v2"
)

func newCommitCommand(a *app) *cli.Command {
	return &cli.Command{
		Name:      "commit",
		Usage:     "make an image of what a container has changed",
		ArgsUsage: "CONTAINER [[REGISTRY/]REPOSITORY[:TAG]]",
		Description: "What is mounted in the container is left out. A name without a registry is made localhost/NAME. A running container is paused " +
			"meanwhile; where it can't be, that is a warning, and an error with --pause. The image's id is printed.",
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "author", Aliases: []string{"a"}, Usage: "`NAME` of who made it"},
			&cli.StringSliceFlag{Name: "change", Aliases: []string{"c"}, Usage: "Dockerfile `INSTRUCTION` to apply: CMD, ENTRYPOINT, ENV, EXPOSE, HEALTHCHECK, LABEL, ONBUILD, SHELL, STOPSIGNAL, USER, VOLUME or WORKDIR"},
			&cli.StringFlag{Name: "format", Aliases: []string{"f"}, Value: string(image.OCI), Usage: "`FORMAT` of the image: oci or docker"},
			&cli.StringFlag{Name: "iidfile", Usage: "`FILE` to write the image's id to as well"},
			&cli.BoolFlag{Name: "include-volumes", Usage: "what is mounted in the container is a volume of the image, as VOLUME makes one"},
			&cli.StringFlag{Name: "message", Aliases: []string{"m"}, Usage: "`TEXT` for the image's history"},
			&cli.BoolFlag{Name: "pause", Aliases: []string{"p"}, Value: true, Usage: "pause a running container meanwhile"},
			&cli.BoolFlag{Name: "quiet", Aliases: []string{"q"}, Usage: "print the image's id alone, without a warning"},
			&cli.BoolFlag{Name: "squash", Aliases: []string{"s"}, Usage: "make one layer of all files, those of the container's image too"},
		},
		Action: func(c *cli.Context) error { return runCommit(a, c) },
	}
}

func runCommit(a *app, c *cli.Context) error {
	if c.NArg() < 1 || c.NArg() > 2 {
		return fmt.Errorf("commit takes a container and perhaps a name for the image, not %d arguments", c.NArg())
	}
	o := libpod.CommitOptions{
		Name: c.Args().Get(1), Author: c.String("author"), Message: c.String("message"), Changes: c.StringSlice("change"),
		Pause: c.Bool("pause"), MustPause: c.IsSet("pause"), Squash: c.Bool("squash"), Volumes: c.Bool("include-volumes"),
	}
	var err error
	if o.Format, err = image.ParseFormat(c.String("format")); err != nil {
		return err
	}
	if err := new(image.Config).Change(o.Changes); err != nil {
		return err
	}
	if o.Name != "" {
		if _, err := image.LocalName(o.Name); err != nil {
			return err
		}
	}
	if c.Bool("quiet") {
		silent := *a
		silent.err = io.Discard
		a = &silent
	}
	e, err := a.engine(c.Context)
	if err != nil {
		return err
	}
	ctr, err := e.Lookup(c.Args().First())
	if err != nil {
		return &exitError{1, err}
	}
	img, err := e.Commit(c.Context, ctr, o)
	if err != nil {
		return &exitError{1, err}
	}
	id := "sha256:" + img.ID
	if file := c.String("iidfile"); file != "" {
		if err := os.WriteFile(file, []byte(id), 0o644); err != nil {
			return &exitError{1, fmt.Errorf("writing --iidfile: %w; the image is %s", err, id)}
		}
	}
	_, err = fmt.Fprintln(a.out, id)
	return err
}
