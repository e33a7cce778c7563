package main

import (
	"errors"

	"github.com/proa-containers/proa/libpod/volume"
	"github.com/urfave/cli/v2"
)

func newVolumeExistsCommand(a *app) *cli.Command {
	return &cli.Command{
		Name:      "exists",
		Usage:     "exit with 0 if a volume is there, with 1 if not",
		ArgsUsage: "VOLUME",
		Action: func(c *cli.Context) error {
			if c.NArg() != 1 {
				return errors.New("volume exists takes one volume")
			}
			_, s, err := a.volumes(c.Context)
			if err != nil {
				return err
			}
			_, err = s.Get(c.Args().First())
			if errors.Is(err, volume.ErrNotFound) {
				return &exitError{1, nil}
			}
			return err
		},
	}
}
