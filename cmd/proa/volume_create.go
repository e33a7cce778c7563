package main

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"

	"github.com/proa-containers/proa/libpod/rootless"
	"github.com/proa-containers/proa/libpod/volume"
	"github.com/urfave/cli/v2"
)

func newVolumeCreateCommand(a *app) *cli.Command {
	return &cli.Command{
		Name:      "create",
		Usage:     "make a volume, or find the one of that name",
		ArgsUsage: "[NAME]",
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "name", Usage: "`NAME` of the volume, as the argument"},
			&cli.StringFlag{Name: "driver", Aliases: []string{"d"}, Value: volume.Driver, Usage: "`DRIVER` of the volume: local"},
			stringList("label", "l", "set a label, as `KEY=VALUE`"),
			stringList("opt", "o", "option of the driver, as mount(8) has it: type=, device= or o= (`KEY=VALUE`)"),
			&cli.BoolFlag{Name: "ignore", Usage: "take a volume of that name that has other labels and options as well"},
		},
		Action: func(c *cli.Context) error {
			if err := runVolumeCreate(a, c); err != nil {
				return &exitError{1, err}
			}
			return nil
		},
	}
}

func runVolumeCreate(a *app, c *cli.Context) (err error) {
	name := c.String("name")
	if c.NArg() > 1 || c.NArg() == 1 && name != "" {
		return errors.New("volume create takes one name at most")
	}
	if c.NArg() == 1 {
		name = c.Args().First()
	}
	if err := checkDriver("--driver", c.String("driver")); err != nil {
		return err
	}
	v := &volume.Volume{Name: name}
	if v.Labels, err = parseLabels(c.StringSlice("label"), nil); err != nil {
		return err
	}
	for _, o := range c.StringSlice("opt") {
		k, value, ok := strings.Cut(o, "=")
		if !ok || k == "" {
			return fmt.Errorf("invalid --opt %q: want KEY=VALUE", o)
		}
		put(&v.Options, k, value)
	}
	switch {
	case name != "":
		err = volume.CheckName(name)
	case c.NArg() == 1 || c.IsSet("name"):
		err = volume.CheckName("")
	default:
		v.Name = randomID()
		put(&v.Labels, volume.AnonymousLabel, "")
	}
	if err == nil {
		err = volume.CheckOptions(v.Options, rootless.Rootless())
	}
	if err != nil {
		return err
	}
	e, s, err := a.volumes(c.Context)
	if err != nil {
		return err
	}
	_, made, err := s.Create(c.Context, v, volume.CreateOptions{Rootless: rootless.Rootless()})
	if err != nil && !(c.Bool("ignore") && errors.Is(err, volume.ErrExists)) {
		return err
	}
	if made {
		e.SayVolume("create", v.Name)
	}
	fmt.Fprintln(a.out, v.Name)
	return nil
}

// randomID is a name in the form of an id.
func randomID() string {
	b := make([]byte, 32)
	rand.Read(b)
	return hex.EncodeToString(b)
}
