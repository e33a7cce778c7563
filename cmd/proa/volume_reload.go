package main

import (
	"fmt"

	"github.com/urfave/cli/v2"
)

// newVolumeReloadCommand: volumes are what is on the disk, so that there is nothing to load; what a killed command left
// there is what makes the two differ.
func newVolumeReloadCommand(a *app) *cli.Command {
	return &cli.Command{
		Name:  "reload",
		Usage: "finish what killed commands left of volumes, and say what that was",
		Action: func(c *cli.Context) error {
			if c.Args().Present() {
				return &exitError{1, fmt.Errorf("volume reload takes no arguments, but has %q", c.Args().First())}
			}
			e, err := a.engine(c.Context)
			if err != nil {
				return err
			}
			done, err := e.SweepVolumes(c.Context)
			for _, text := range done {
				fmt.Fprintln(a.out, text)
			}
			return failed([]error{err})
		},
	}
}
