package main

import (
	"errors"
	"fmt"
	"os"

	"github.com/urfave/cli/v2"
	"golang.org/x/term"

	"github.com/proa-containers/proa/image/transfer"
)

func newLoad(a *app) *cli.Command {
	return &cli.Command{
		Name:      "load",
		Usage:     "bring the images of a docker-archive or oci-archive into the store",
		ArgsUsage: " ",
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "input", Aliases: []string{"i"}, Usage: "archive `FILE` to read, in place of standard input"},
			&cli.BoolFlag{Name: "quiet", Aliases: []string{"q"}, Usage: "no progress"},
		},
		Action: func(c *cli.Context) error {
			if c.NArg() != 0 {
				return fmt.Errorf("load takes no argument %q; give the file with --input", c.Args().First())
			}
			in, name := a.in, c.String("input")
			switch {
			case name != "":
				f, err := os.Open(name)
				if err != nil {
					return fmt.Errorf("load: %w", err)
				}
				defer f.Close()
				in = f
			case term.IsTerminal(int(a.in.Fd())):
				return errors.New("load: standard input is a terminal; give a file with --input")
			default:
				name = "standard input"
			}
			s, err := a.store(c)
			if err != nil {
				return err
			}
			loaded, err := transfer.Load(c.Context, s, in, name, a.output(c.Bool("quiet")))
			for _, l := range loaded {
				for _, n := range l.Names {
					fmt.Fprintln(a.out, "Loaded image:", n)
					a.say(s, "load", "sha256:"+l.ID, l.ID, n)
				}
				if len(l.Names) == 0 {
					fmt.Fprintln(a.out, "Loaded image: sha256:"+l.ID)
					a.say(s, "load", "sha256:"+l.ID, l.ID, "sha256:"+l.ID)
				}
			}
			return err
		},
	}
}
