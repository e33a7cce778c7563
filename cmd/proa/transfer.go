package main

import (
	"errors"
	"fmt"
	"os"
	"syscall"

	"github.com/proa-containers/proa/libpod/config"
	"github.com/proa-containers/proa/libpod/rootless"
	"github.com/urfave/cli/v2"
)

// newTransferCommand is a command that proa-image carries out. It has the flags too, so all words are handed over.
func newTransferCommand(a *app, name, usage, args string) *cli.Command {
	return &cli.Command{
		Name:            name,
		Usage:           usage,
		ArgsUsage:       args,
		SkipFlagParsing: true,
		Action: func(c *cli.Context) error {
			path, err := config.Program("proa-image")
			if err != nil {
				return err
			}
			if _, err := a.enter(); err != nil {
				return err
			}
			argv := append([]string{"proa-image", name}, c.Args().Slice()...)
			err = syscall.Exec(path, argv, rootless.ChildEnv(os.Environ()))
			if errors.Is(err, os.ErrPermission) {
				return fmt.Errorf("%s: %w; it has to be readable and executable", path, err)
			}
			return fmt.Errorf("execute %s: %w", path, err)
		},
	}
}

func newPullCommand(a *app) *cli.Command {
	return newTransferCommand(a, "pull", "bring an image from a registry into the store", "[flags] IMAGE")
}

func newLoadCommand(a *app) *cli.Command {
	return newTransferCommand(a, "load", "bring the images of a docker-archive or oci-archive into the store", "[-i FILE]")
}
