package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"

	"github.com/proa-containers/proa/libpod/config"
	"github.com/proa-containers/proa/libpod/rootless"
	"github.com/urfave/cli/v2"
)

// newTransferCommand is a command that proa-image carries out, with the store. It has the flags too, so all words are
// handed over.
func newTransferCommand(a *app, name, usage, args string) *cli.Command {
	return newOutsideCommand(name, usage, args, func() error { _, err := a.enter(); return err })
}

// newOutsideCommand is one that proa-image carries out after enter.
func newOutsideCommand(name, usage, args string, enter func() error) *cli.Command {
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
			if err := enter(); err != nil {
				return err
			}
			return become(path, append([]string{name}, c.Args().Slice()...))
		},
	}
}

// become executes one of proa's other programs in the place of this one; it returns only an error.
func become(path string, args []string) error {
	err := syscall.Exec(path, append([]string{filepath.Base(path)}, args...), rootless.ChildEnv(os.Environ()))
	if errors.Is(err, os.ErrPermission) {
		return fmt.Errorf("%s: %w; it has to be readable and executable", path, err)
	}
	return fmt.Errorf("execute %s: %w", path, err)
}

func newPullCommand(a *app) *cli.Command {
	return newTransferCommand(a, "pull", "bring an image from a registry into the store", "[flags] IMAGE")
}

func newLoadCommand(a *app) *cli.Command {
	return newTransferCommand(a, "load", "bring the images of a docker-archive or oci-archive into the store", "[-i FILE]")
}

func newPushCommand(a *app) *cli.Command {
	return newTransferCommand(a, "push", "send an image to a registry", "[flags] IMAGE [DESTINATION]")
}

func newSaveCommand(a *app) *cli.Command {
	return newTransferCommand(a, "save", "write images to an archive or a directory", "[-o FILE] IMAGE [IMAGE...]")
}

func newImportCommand(a *app) *cli.Command {
	return newTransferCommand(a, "import", "make an image of a root file system's tar archive", "FILE|URL|- [[REGISTRY/]REPOSITORY[:TAG]]")
}

// Credentials need no store, and their helpers have to run as the user they belong to.

func newLoginCommand() *cli.Command {
	return newOutsideCommand("login", "try credentials on a registry and keep them", "[REGISTRY]", func() error { return nil })
}

func newLogoutCommand() *cli.Command {
	return newOutsideCommand("logout", "forget the credentials for a registry", "[REGISTRY]", func() error { return nil })
}
