package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"syscall"

	"github.com/proa-containers/proa/libpod/rootless"
	"github.com/urfave/cli/v2"
)

func newUnshareCommand(a *app) *cli.Command {
	return &cli.Command{
		Name:            "unshare",
		Usage:           "run a command (or a shell) inside proa's user namespace",
		ArgsUsage:       "[COMMAND [ARGUMENT...]]",
		SkipFlagParsing: true,
		Action: func(c *cli.Context) error {
			if c.Args().First() == "--help" {
				return cli.ShowSubcommandHelp(c)
			}
			if os.Geteuid() == 0 && !rootless.Inside() {
				return errors.New("unshare is for users other than root: root needs no user namespace")
			}
			if _, err := a.enter(); err != nil {
				return err
			}
			args := c.Args().Slice()
			if len(args) == 0 {
				shell := os.Getenv("SHELL")
				if shell == "" {
					shell = "/bin/sh"
				}
				args = []string{shell}
			}
			path, err := exec.LookPath(args[0])
			if err != nil {
				return &exitError{exitNotFound, fmt.Errorf("finding %q: %w", args[0], err)}
			}
			return &exitError{exitNotInvokable, fmt.Errorf("executing %q: %w", args[0], syscall.Exec(path, args, rootless.ChildEnv(os.Environ())))}
		},
	}
}
