package main

import (
	"errors"
	"fmt"

	"github.com/proa-containers/proa/libpod/volume"
	"github.com/urfave/cli/v2"
)

func newVolumeMountCommand(a *app) *cli.Command {
	return &cli.Command{
		Name:      "mount",
		Usage:     "print where the content of volumes is",
		ArgsUsage: "VOLUME [VOLUME...]",
		Description: "Nothing is mounted for it: the path is that of the volume's own directory. Files that belong to root within containers can be " +
			"used there at once, those of other users within `proa unshare`, as those of a volume of type tmpfs while a container uses it.",
		Action: func(c *cli.Context) error {
			return a.eachVolume(c, func(s *volume.Store, v *volume.Volume) (string, error) {
				path, release, err := s.Content(c.Context, v)
				if err != nil {
					return "", err
				}
				release()
				return path, nil
			})
		},
	}
}

func newVolumeUnmountCommand(a *app) *cli.Command {
	return &cli.Command{
		Name:        "unmount",
		Aliases:     []string{"umount"},
		Usage:       "end the use of what mount printed",
		ArgsUsage:   "VOLUME [VOLUME...]",
		Description: "There is nothing to undo, since mount mounts nothing.",
		Action: func(c *cli.Context) error {
			return a.eachVolume(c, func(_ *volume.Store, v *volume.Volume) (string, error) { return v.Name, nil })
		},
	}
}

// eachVolume prints what fn says of every volume named on the command line, and goes on after an error.
func (a *app) eachVolume(c *cli.Context, fn func(*volume.Store, *volume.Volume) (string, error)) error {
	if !c.Args().Present() {
		return failed([]error{fmt.Errorf("volume %s takes at least one volume; `proa volume ls` lists them", c.Command.Name)})
	}
	_, s, err := a.volumes(c.Context)
	if err != nil {
		return err
	}
	var errs []error
	for _, name := range c.Args().Slice() {
		v, err := s.Get(name)
		if err == nil {
			var text string
			if text, err = fn(s, v); err == nil {
				fmt.Fprintln(a.out, text)
			}
		}
		errs = append(errs, err)
	}
	return failed([]error{errors.Join(errs...)})
}
