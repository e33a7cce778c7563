package main

import (
	"errors"

	"github.com/proa-containers/proa/libpod/network"
	"github.com/urfave/cli/v2"
)

func newNetworkExistsCommand(a *app) *cli.Command {
	return &cli.Command{
		Name:      "exists",
		Usage:     "exit with 0 if a network is there, with 1 if not",
		ArgsUsage: "NETWORK",
		Action: func(c *cli.Context) error {
			name, err := oneNetwork(c)
			if err != nil {
				return err
			}
			_, s, err := a.networks(c.Context)
			if err != nil {
				return err
			}
			_, err = s.Get(name)
			if errors.Is(err, network.ErrNotFound) {
				return &exitError{1, nil}
			}
			return err
		},
	}
}
