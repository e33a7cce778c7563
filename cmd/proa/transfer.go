package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"

	"github.com/proa-containers/proa/libpod/rootless"
	"github.com/urfave/cli/v2"
)

// imageProgram finds proa-image, which holds all that links image transport: beside proa, as it is built, or in
// libexec/proa, as it is installed.
func imageProgram() (string, error) {
	exe, err := os.Executable()
	if err != nil {
		return "", fmt.Errorf("find proa-image: %w", err)
	}
	dir := filepath.Dir(exe)
	for _, path := range []string{filepath.Join(dir, "proa-image"), filepath.Join(dir, "../libexec/proa/proa-image")} {
		if info, err := os.Stat(path); err == nil && info.Mode().IsRegular() {
			return path, nil
		}
	}
	return "", fmt.Errorf("proa-image is neither in %s nor in %s; install proa again", dir, filepath.Join(dir, "../libexec/proa"))
}

// newTransferCommand is a command that proa-image carries out. It has the flags too, so all words are handed over.
func newTransferCommand(a *app, name, usage, args string) *cli.Command {
	return &cli.Command{
		Name:            name,
		Usage:           usage,
		ArgsUsage:       args,
		SkipFlagParsing: true,
		Action: func(c *cli.Context) error {
			path, err := imageProgram()
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
