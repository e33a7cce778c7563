package main

import (
	"errors"
	"fmt"

	"github.com/proa-containers/proa/libpod"
	"github.com/urfave/cli/v2"
)

func newNetworkDisconnectCommand(a *app) *cli.Command {
	return &cli.Command{
		Name:      "disconnect",
		Usage:     "take a container off a network, at once if it runs",
		ArgsUsage: "NETWORK CONTAINER",
		Flags:     []cli.Flag{&cli.BoolFlag{Name: "force", Aliases: []string{"f"}, Usage: "a container that is not there, or not on the network, is no error"}},
		Action:    objectErrors(func(c *cli.Context) error { return runNetworkDisconnect(a, c) }),
	}
}

func runNetworkDisconnect(a *app, c *cli.Context) error {
	if c.NArg() != 2 {
		return fmt.Errorf("network disconnect takes a network and a container, not %d arguments", c.NArg())
	}
	e, err := a.engine(c.Context)
	if err != nil {
		return err
	}
	ctr, err := e.Lookup(c.Args().Get(1))
	if err == nil {
		err = e.Disconnect(ctr, c.Args().First())
	}
	if c.Bool("force") && (missing(err) || errors.Is(err, libpod.ErrNotOnNetwork)) {
		return nil
	}
	return err
}
