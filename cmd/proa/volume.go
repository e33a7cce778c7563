package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/proa-containers/proa/libpod"
	"github.com/proa-containers/proa/libpod/volume"
	"github.com/urfave/cli/v2"
)

func newVolumeCommand(a *app) *cli.Command {
	return &cli.Command{
		Name:  "volume",
		Usage: "manage volumes",
		Subcommands: []*cli.Command{
			newVolumeCreateCommand(a), newVolumeExistsCommand(a), newVolumeExportCommand(a), newVolumeImportCommand(a), newVolumeInspectCommand(a),
			newVolumeLsCommand(a), newVolumeMountCommand(a), newVolumePruneCommand(a), newVolumeReloadCommand(a), newVolumeRmCommand(a),
			newVolumeUnmountCommand(a),
		},
	}
}

// volumes opens the engine and its store of volumes for a command.
func (a *app) volumes(ctx context.Context) (*libpod.Engine, *volume.Store, error) {
	e, err := a.engine(ctx)
	if err != nil {
		return nil, nil, err
	}
	s, err := e.Volumes()
	return e, s, err
}

// listVolumes lists the volumes, and warns of those that can't be read.
func (a *app) listVolumes(s *volume.Store) ([]*volume.Volume, error) {
	list, bad, err := s.List()
	for _, err := range bad {
		a.warn(err)
	}
	return list, err
}

// failed is the error of an object command, with Docker's status for those; nil when there was none.
func failed(errs []error) error {
	if err := errors.Join(errs...); err != nil {
		return &exitError{1, err}
	}
	return nil
}

// oneVolume is the volume that is a command's only argument, or first of two.
func oneVolume(c *cli.Context, atMost int) (string, error) {
	if c.NArg() < 1 || c.NArg() > atMost {
		return "", &exitError{1, fmt.Errorf("volume %s takes the name of one volume; `proa volume ls` lists them", c.Command.Name)}
	}
	return c.Args().First(), nil
}
