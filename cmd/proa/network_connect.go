package main

import (
	"fmt"

	"github.com/proa-containers/proa/libpod/network"
	"github.com/urfave/cli/v2"
)

func newNetworkConnectCommand(a *app) *cli.Command {
	return &cli.Command{
		Name:      "connect",
		Usage:     "put a container on one more network, at once if it runs",
		ArgsUsage: "NETWORK CONTAINER",
		Flags: []cli.Flag{
			stringList("alias", "", "a further `NAME` of the container on the network"),
			&cli.StringFlag{Name: "ip", Usage: "IPv4 `ADDRESS` on the network"},
			&cli.StringFlag{Name: "ip6", Usage: "IPv6 `ADDRESS` on the network"},
			&cli.StringFlag{Name: "mac-address", Usage: "MAC `ADDRESS` on the network"},
		},
		Action: objectErrors(func(c *cli.Context) error { return runNetworkConnect(a, c) }),
	}
}

func runNetworkConnect(a *app, c *cli.Context) error {
	if c.NArg() != 2 {
		return fmt.Errorf("network connect takes a network and a container, not %d arguments", c.NArg())
	}
	choice, err := network.Choose([]string{c.Args().First()}, network.Single{
		IP: c.String("ip"), IP6: c.String("ip6"), MAC: c.String("mac-address"), Aliases: c.StringSlice("alias"),
	}, network.ModeBridge)
	if err != nil {
		return err
	}
	if choice.Mode != network.ModeBridge {
		return fmt.Errorf("invalid network %q: it is no network but a mode, which a container has from its start", c.Args().First())
	}
	e, err := a.engine(c.Context)
	if err != nil {
		return err
	}
	ctr, err := e.Lookup(c.Args().Get(1))
	if err != nil {
		return err
	}
	return e.Connect(ctr, choice.Attachments[0])
}
