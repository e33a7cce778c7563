package main

import (
	"errors"
	"fmt"

	"github.com/proa-containers/proa/libpod/network"
	"github.com/urfave/cli/v2"
)

func newNetworkReloadCommand(a *app) *cli.Command {
	return &cli.Command{
		Name:      "reload",
		Usage:     "make the rules of the networks of running containers again, as after another program has removed them",
		ArgsUsage: "[CONTAINER...]",
		Flags:     []cli.Flag{allFlag("all running containers", "a")},
		Action:    objectErrors(func(c *cli.Context) error { return runNetworkReload(a, c) }),
	}
}

func runNetworkReload(a *app, c *cli.Context) error {
	if c.Bool("all") == c.Args().Present() {
		return errors.New("network reload takes containers, or --all")
	}
	e, err := a.engine(c.Context)
	if err != nil {
		return err
	}
	list, err := e.List(c.Context)
	if err != nil {
		return err
	}
	var ids []string
	if c.Bool("all") {
		for _, l := range list {
			if l.Status.PID != 0 && l.Config.Namespaces.Network == network.ModeBridge {
				ids = append(ids, l.ID)
			}
		}
	}
	for _, ref := range c.Args().Slice() {
		ctr, err := e.Lookup(ref)
		if err != nil {
			return err
		}
		if st := e.Status(ctr); st.PID == 0 || ctr.Config.Namespaces.Network != network.ModeBridge {
			return fmt.Errorf("container %q is on no network: it is %s and has --network %s", ref, st.State, ctr.Config.Namespaces.Network)
		}
		ids = append(ids, ctr.ID)
	}
	if len(ids) == 0 {
		return nil
	}
	if err := e.ReloadNetworks(); err != nil {
		return err
	}
	for _, id := range ids {
		fmt.Fprintln(a.out, id)
	}
	return nil
}
