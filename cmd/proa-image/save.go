package main

import (
	"errors"
	"io"

	"github.com/urfave/cli/v2"
	"golang.org/x/term"

	"github.com/proa-containers/proa/image/transfer"
	"github.com/proa-containers/proa/internal/outfile"
)

func newSave(a *app) *cli.Command {
	return &cli.Command{
		Name:      "save",
		Usage:     "write images to an archive or a directory",
		ArgsUsage: "IMAGE [IMAGE...]",
		Flags: []cli.Flag{
			&cli.BoolFlag{Name: "compress", Usage: "compress the layers of a docker-dir"},
			&cli.StringFlag{Name: "format", Value: string(transfer.DockerArchive), Usage: "`LAYOUT`: docker-archive, oci-archive, oci-dir or docker-dir"},
			&cli.BoolFlag{Name: "multi-image-archive", Aliases: []string{"m"}, Usage: "each name is an image of its own, as is always so"},
			&cli.StringFlag{Name: "output", Aliases: []string{"o"}, Usage: "`FILE` to write, in place of standard output; the directory for oci-dir and docker-dir"},
			&cli.BoolFlag{Name: "quiet", Aliases: []string{"q"}, Usage: "no progress"},
			&cli.BoolFlag{Name: "uncompressed", Usage: "leave the layers of oci-archive and oci-dir uncompressed"},
		},
		Action: func(c *cli.Context) error { return runSave(a, c) },
	}
}

func runSave(a *app, c *cli.Context) error {
	layout, err := transfer.ParseLayout(c.String("format"))
	if err != nil {
		return err
	}
	o := transfer.SaveOptions{
		Layout: layout, Compress: c.Bool("compress"), Uncompressed: c.Bool("uncompressed"), Output: a.output(c.Bool("quiet")),
	}
	output, refs := c.String("output"), c.Args().Slice()
	oci := layout == transfer.OCIArchive || layout == transfer.OCIDir
	switch {
	case len(refs) == 0:
		return errors.New("save takes at least one image; `proa images` lists them")
	case layout.Directory() && output == "":
		return errors.New("save: a directory can't go to standard output; name it with --output")
	case output == "" && term.IsTerminal(int(a.out.Fd())):
		return errors.New("save does not write an archive to a terminal; use --output or redirect it")
	case o.Compress && layout != transfer.DockerDir:
		return errors.New("--compress is for --format docker-dir")
	case o.Uncompressed && !oci:
		return errors.New("--uncompressed is for --format oci-archive and oci-dir")
	}
	s, err := a.store(c)
	if err != nil {
		return err
	}
	if layout.Directory() {
		return transfer.SaveDir(c.Context, s, refs, output, o)
	}
	write := func(w io.Writer) error { return transfer.Save(c.Context, s, refs, w, o) }
	if output == "" {
		return write(a.out)
	}
	return outfile.Write(output, 0o600, write)
}
