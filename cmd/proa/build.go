package main

import (
	"fmt"
	"runtime"

	"github.com/proa-containers/proa/libpod/config"
	"github.com/urfave/cli/v2"
	"golang.org/x/sys/unix"
)

// newBuildCommand is a command that proa-build carries out, which calls it name. It has the flags too, so all words are
// handed over.
func newBuildCommand(a *app, name, usage, args string) *cli.Command {
	return &cli.Command{
		Name:            name,
		Usage:           usage,
		ArgsUsage:       args,
		SkipFlagParsing: true,
		Action: func(c *cli.Context) error {
			path, err := config.Program("proa-build")
			if err != nil {
				return err
			}
			if _, err := a.enter(); err != nil {
				return err
			}
			if err := leaveMounts(); err != nil {
				return err
			}
			return become(path, append([]string{name}, c.Args().Slice()...))
		},
	}
}

// leaveMounts gives this thread a mount namespace of its own, which the program has that it executes: what a build mounts
// goes with it, however it ends. It is done here because a program of Go has several threads from its start.
func leaveMounts() error {
	runtime.LockOSThread() // until execve
	if err := unix.Unshare(unix.CLONE_FS | unix.CLONE_NEWNS); err != nil {
		return fmt.Errorf("making a mount namespace: %w", err)
	}
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_SLAVE, ""); err != nil {
		return fmt.Errorf("making mounts private: %w", err)
	}
	return nil
}

func newBuild(a *app) *cli.Command {
	return newBuildCommand(a, "build", "build an image from a Dockerfile", "[flags] PATH|URL|-")
}

func newPruneBuild(a *app) *cli.Command {
	return newBuildCommand(a, "prune", "remove what builds have kept for the next ones", "[flags]")
}

// newBuilderCommand is builder and buildx: the same commands.
func newBuilderCommand(a *app, name string) *cli.Command {
	return &cli.Command{
		Name:        name,
		Usage:       "build images, and manage what builds keep",
		Subcommands: []*cli.Command{newBuild(a), newPruneBuild(a)},
	}
}
