package main

import (
	"errors"
	"io"

	"github.com/proa-containers/proa/internal/outfile"
	"github.com/proa-containers/proa/storage"
	"github.com/urfave/cli/v2"
)

func newVolumeExportCommand(a *app) *cli.Command {
	return &cli.Command{
		Name:      "export",
		Usage:     "write the content of a volume as a tar archive to standard output or a file",
		ArgsUsage: "VOLUME",
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "output", Aliases: []string{"o"}, Usage: "write to `FILE`"},
		},
		Action: func(c *cli.Context) error { return failed([]error{runVolumeExport(a, c)}) },
	}
}

func runVolumeExport(a *app, c *cli.Context) error {
	name, err := oneVolume(c, 1)
	if err != nil {
		return err
	}
	file := c.String("output")
	if (file == "" || file == "-") && isTerminal(a.out) {
		return errors.New("an archive is not for a terminal: redirect the output, or use --output FILE")
	}
	_, s, err := a.volumes(c.Context)
	if err != nil {
		return err
	}
	v, err := s.Get(name)
	if err != nil {
		return err
	}
	dir, release, err := s.Content(c.Context, v)
	if err != nil {
		return err
	}
	defer release()
	if file == "" || file == "-" {
		return storage.PackTree(dir, a.out)
	}
	return outfile.Write(file, 0o644, func(w io.Writer) error { return storage.PackTree(dir, w) })
}
