package main

import (
	"context"
	"fmt"

	"github.com/proa-containers/proa/libpod"
	"github.com/proa-containers/proa/libpod/network"
	"github.com/urfave/cli/v2"
)

func newNetworkCommand(a *app) *cli.Command {
	return &cli.Command{
		Name:  "network",
		Usage: "manage networks",
		Subcommands: []*cli.Command{
			newNetworkConnectCommand(a), newNetworkCreateCommand(a), newNetworkDisconnectCommand(a), newNetworkExistsCommand(a),
			newNetworkInspectCommand(a), newNetworkLsCommand(a), newNetworkPruneCommand(a), newNetworkReloadCommand(a), newNetworkRmCommand(a), newNetworkUpdateCommand(a),
		},
	}
}

// networks opens the engine and its store of networks for a command.
func (a *app) networks(ctx context.Context) (*libpod.Engine, *network.Store, error) {
	e, err := a.engine(ctx)
	if err != nil {
		return nil, nil, err
	}
	s, err := e.Networks()
	return e, s, err
}

// listNetworks lists the networks, and warns of those that can't be read.
func (a *app) listNetworks(s *network.Store) ([]*network.Network, error) {
	list, bad, err := s.List()
	for _, err := range bad {
		a.warn(err)
	}
	return list, err
}

// shownName is a network's name in output of Docker's shape.
func shownName(n *network.Network) string {
	if n.Name == network.Default {
		return network.Bridge
	}
	return n.Name
}

// oneNetwork is the network that is a command's only argument.
func oneNetwork(c *cli.Context) (string, error) {
	if c.NArg() != 1 {
		return "", fmt.Errorf("network %s takes one network; `proa network ls` lists them", c.Command.Name)
	}
	return c.Args().First(), nil
}
