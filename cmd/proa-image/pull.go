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
		Flags: []cli.Flag{
			&cli.BoolFlag{Name: "all-tags", Aliases: []string{"a"}, Usage: "pull every tag of the repository"},
			&cli.StringFlag{Name: "arch", Usage: "`ARCHITECTURE` to choose, in place of the host's"},
			&cli.StringFlag{Name: "authfile", Usage: "`FILE` with credentials", EnvVars: []string{"REGISTRY_AUTH_FILE"}},
			&cli.StringFlag{Name: "cert-dir", Usage: "`DIRECTORY` with the registry's certificates, in place of certs.d"},
			&cli.StringFlag{Name: "creds", Usage: "`USER:PASSWORD` for the registry"},
			&cli.StringFlag{Name: "os", Usage: "operating `SYSTEM` to choose, in place of linux"},
			&cli.StringFlag{Name: "platform", Usage: "`OS/ARCH[/VARIANT]` to choose"},
			&cli.StringFlag{Name: "policy", Value: "always", Usage: "`WHEN` to ask the registry: always, missing, newer, never"},
			&cli.BoolFlag{Name: "quiet", Aliases: []string{"q"}, Usage: "print the image's id alone"},
			&cli.BoolFlag{Name: "tls-verify", Value: true, Usage: "verify the registry's certificate; false allows HTTP too"},
			&cli.StringFlag{Name: "variant", Usage: "`VARIANT` of the architecture to choose"},
		},
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
	if c.String("platform") != "" {
		if c.String("arch") != "" || c.String("os") != "" || c.String("variant") != "" {
			return errors.New("give either --platform or --os, --arch and --variant")
		}
		if o.Platform, err = transfer.ParsePlatform(c.String("platform")); err != nil {
			return err
		}
	} else {
		o.Platform = transfer.Platform{OS: c.String("os"), Arch: c.String("arch"), Variant: c.String("variant")}
	}
	if o.Policy, err = transfer.ParsePolicy(c.String("policy")); err != nil {
		return err
	}
	o.Access = transfer.Access{Creds: c.String("creds"), AuthFile: c.String("authfile"), CertDir: c.String("cert-dir")}
	if c.IsSet("tls-verify") {
		verify := c.Bool("tls-verify")
		o.TLSVerify = &verify
	}
	o.AllTags, o.quiet = c.Bool("all-tags"), c.Bool("quiet")
	return nil
}
