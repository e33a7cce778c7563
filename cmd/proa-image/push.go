package main

import (
	"errors"
	"fmt"
	"os"

	"github.com/urfave/cli/v2"

	"github.com/proa-containers/proa/image"
	"github.com/proa-containers/proa/image/transfer"
)

type pushOptions struct {
	transfer.PushOptions
	quiet      bool
	digestFile string
}

func newPush(a *app) *cli.Command {
	return &cli.Command{
		Name:      "push",
		Usage:     "send an image to a registry",
		ArgsUsage: "IMAGE [DESTINATION]",
		Flags: append(accessFlags(),
			&cli.BoolFlag{Name: "all-tags", Aliases: []string{"a"}, Usage: "push every tag of the repository"},
			&cli.StringFlag{Name: "compression-format", Usage: "`ALGORITHM` for layers: gzip, zstd or zstd:chunked; without it gzip, and what the registry has in another is taken"},
			&cli.IntFlag{Name: "compression-level", Usage: "`LEVEL` of the compression: gzip 1 to 9, zstd 1 to 20"},
			credsFlag(),
			&cli.StringFlag{Name: "digestfile", Usage: "`FILE` to write the digest of what was pushed to"},
			&cli.BoolFlag{Name: "disable-content-trust", Value: true, Usage: "do not sign the image; signing (false) is refused"},
			&cli.BoolFlag{Name: "force-compression", Usage: "send layers again that the registry has in another compression (with --compression-format the default)"},
			&cli.StringFlag{Name: "format", Aliases: []string{"f"}, Usage: "`FORMAT` of the manifest: oci or docker (v2s2), in place of the image's own"},
			&cli.BoolFlag{Name: "quiet", Aliases: []string{"q"}, Usage: "print the image's name alone"},
			&cli.BoolFlag{Name: "remove-signatures", Usage: "leave out the signatures that the image came with"},
			&cli.IntFlag{Name: "retry", Value: 3, Usage: "try again up to `N` times when it breaks off; given, also when the registry can't be reached"},
			&cli.DurationFlag{Name: "retry-delay", Usage: "`TIME` to wait before each, in place of 1s, 2s, 4s..."},
			&cli.StringFlag{Name: "sign-by", Usage: "refused: proa does not sign"},
		),
		Action: func(c *cli.Context) error {
			var o pushOptions
			if err := o.complete(c); err != nil {
				return err
			}
			switch {
			case c.NArg() == 0:
				return errors.New("push takes an image, such as registry.example/team/app:1")
			case c.NArg() > 2:
				return fmt.Errorf("push takes an image and perhaps a destination; it was given %q", c.Args().Slice())
			}
			return runPush(a, c, o)
		},
	}
}

func runPush(a *app, c *cli.Context, o pushOptions) error {
	s, err := a.store(c)
	if err != nil {
		return err
	}
	o.Output = a.output(o.quiet)
	done, err := transfer.Push(c.Context, s, c.Args().First(), o.PushOptions)
	for _, p := range done {
		switch {
		case o.quiet:
			fmt.Fprintln(a.out, p.Name)
		case p.Tag != "":
			fmt.Fprintf(a.out, "%s: digest: %s size: %d\n", p.Tag, p.Digest, p.Size)
		default:
			fmt.Fprintf(a.out, "digest: %s size: %d\n", p.Digest, p.Size)
		}
	}
	if err != nil || o.digestFile == "" {
		return err
	}
	if err := os.WriteFile(o.digestFile, []byte(done[0].Digest), 0o644); err != nil {
		return fmt.Errorf("write --digestfile: %w; the image was pushed as %s", err, done[0].Digest)
	}
	return nil
}

func (o *pushOptions) complete(c *cli.Context) error {
	o.Access, o.Destination = access(c), c.Args().Get(1)
	o.AllTags, o.quiet, o.digestFile = c.Bool("all-tags"), c.Bool("quiet"), c.String("digestfile")
	o.RemoveSignatures = c.Bool("remove-signatures")
	switch {
	case c.String("sign-by") != "":
		return errors.New("--sign-by: proa does not sign; push with skopeo copy --sign-by, or sign what was pushed with cosign")
	case !c.Bool("disable-content-trust"):
		return errors.New("--disable-content-trust=false: proa does not sign; sign what was pushed with cosign")
	case o.AllTags && o.digestFile != "":
		return errors.New("--digestfile takes the digest of one image; it can't be given with --all-tags")
	}
	switch f := c.String("format"); f {
	case "":
	case "v2s2":
		o.Format = image.Docker
	case "v2s1":
		return errors.New("--format v2s1: that format is out of use and registries refuse it; want oci or docker")
	default:
		var err error
		if o.Format, err = image.ParseFormat(f); err != nil {
			return fmt.Errorf("--format: %w", err)
		}
	}
	o.Compression = transfer.Compression{Algorithm: c.String("compression-format"), Force: c.IsSet("compression-format")}
	if c.IsSet("force-compression") {
		o.Compression.Force = c.Bool("force-compression")
	}
	if c.IsSet("compression-level") {
		level := c.Int("compression-level")
		o.Compression.Level = &level
	}
	if o.Retry.Delay = c.Duration("retry-delay"); o.Retry.Delay < 0 || c.Int("retry") < 0 {
		return errors.New("--retry and --retry-delay take no negative value")
	}
	if c.IsSet("retry") {
		times := c.Int("retry")
		o.Retry.Times = &times
	}
	return nil
}
