package main

import (
	"errors"
	"fmt"

	"github.com/urfave/cli/v2"
	"golang.org/x/term"

	"github.com/proa-containers/proa/image"
	"github.com/proa-containers/proa/image/transfer"
)

func newImport(a *app) *cli.Command {
	return &cli.Command{
		Name:      "import",
		Usage:     "make an image of a root file system's tar archive",
		ArgsUsage: "FILE|URL|- [[REGISTRY/]REPOSITORY[:TAG]]",
		Description: "The archive may be compressed with gzip, bzip2, xz or zstd; - is standard input. A name without a registry is made localhost/NAME. " +
			"The image's id is printed.",
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "arch", Usage: "`ARCHITECTURE` of the image, in place of the host's"},
			&cli.StringSliceFlag{Name: "change", Aliases: []string{"c"}, Usage: "Dockerfile `INSTRUCTION` to apply: CMD, ENTRYPOINT, ENV, EXPOSE, HEALTHCHECK, LABEL, ONBUILD, SHELL, STOPSIGNAL, USER, VOLUME or WORKDIR"},
			&cli.StringFlag{Name: "message", Aliases: []string{"m"}, Usage: "`TEXT` for the image's history"},
			&cli.StringFlag{Name: "os", Usage: "operating `SYSTEM` of the image, in place of linux"},
			&cli.StringFlag{Name: "platform", Usage: "`OS/ARCH[/VARIANT]` of the image"},
			&cli.StringFlag{Name: "variant", Usage: "`VARIANT` of the architecture"},
		},
		Action: func(c *cli.Context) error { return runImport(a, c) },
	}
}

func runImport(a *app, c *cli.Context) error {
	source := c.Args().First()
	switch {
	case c.NArg() == 0 || c.NArg() > 2:
		return fmt.Errorf("import takes an archive and perhaps a name for the image, not %d arguments", c.NArg())
	case source == "-" && term.IsTerminal(int(a.in.Fd())):
		return errors.New("import: standard input is a terminal; name a file, or redirect the input")
	}
	o := transfer.ImportOptions{Changes: c.StringSlice("change"), Message: c.String("message")}
	var err error
	if o.Platform, err = platform(c); err != nil {
		return err
	}
	if name := c.Args().Get(1); name != "" {
		if o.Name, err = image.LocalName(name); err != nil {
			return err
		}
	}
	if err := new(image.Config).Change(o.Changes); err != nil {
		return err
	}
	s, err := a.store(c)
	if err != nil {
		return err
	}
	img, err := transfer.Import(c.Context, s, source, a.in, o)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(a.out, "sha256:"+img.ID)
	return err
}

// platform is what --platform says, or --os, --arch and --variant.
func platform(c *cli.Context) (transfer.Platform, error) {
	if c.String("platform") == "" {
		return transfer.Platform{OS: c.String("os"), Arch: c.String("arch"), Variant: c.String("variant")}, nil
	}
	if c.String("arch") != "" || c.String("os") != "" || c.String("variant") != "" {
		return transfer.Platform{}, errors.New("give either --platform or --os, --arch and --variant")
	}
	return transfer.ParsePlatform(c.String("platform"))
}
