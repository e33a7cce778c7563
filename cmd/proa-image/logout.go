package main

import (
	"errors"
	"fmt"

	"github.com/urfave/cli/v2"

	"github.com/proa-containers/proa/image/transfer"
)

func newLogout(a *app) *cli.Command {
	return &cli.Command{
		Name:      "logout",
		Usage:     "forget the credentials for a registry",
		ArgsUsage: "[REGISTRY]",
		Flags: []cli.Flag{
			&cli.BoolFlag{Name: "all", Aliases: []string{"a"}, Usage: "those for every registry"},
			accessFlags()[0],
			compatAuthFileFlag(),
		},
		Action: func(c *cli.Context) error { return runLogout(a, c) },
	}
}

func runLogout(a *app, c *cli.Context) error {
	if c.Bool("all") && c.NArg() > 0 {
		return errors.New("logout takes either a registry or --all")
	}
	k, err := keychain(c)
	if err != nil {
		return err
	}
	if c.Bool("all") {
		if err := k.RemoveAll(); err != nil {
			return err
		}
		fmt.Fprintln(a.out, "Removed login credentials for all registries")
		return nil
	}
	switch err := k.Remove(); {
	case errors.Is(err, transfer.ErrNotLoggedIn):
		fmt.Fprintln(a.out, "Not logged in to", k.Registry())
	case err != nil:
		return err
	default:
		fmt.Fprintln(a.out, "Removed login credentials for", k.Registry())
	}
	return nil
}
