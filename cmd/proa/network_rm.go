package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/proa-containers/proa/libpod"
	"github.com/proa-containers/proa/libpod/network"
	"github.com/urfave/cli/v2"
)

func newNetworkRmCommand(a *app) *cli.Command {
	return &cli.Command{
		Name:        "rm",
		Aliases:     []string{"remove"},
		Usage:       "remove networks",
		ArgsUsage:   "NETWORK [NETWORK...]",
		Description: "A network that a container is on, running or not, stays and is an error, as is one that another tool made.",
		Flags: []cli.Flag{
			&cli.BoolFlag{Name: "force", Aliases: []string{"f"}, Usage: "stop and remove the containers too; do not complain of missing networks; remove those of other tools"},
			&cli.IntFlag{Name: "time", Aliases: []string{"t"}, Value: 10, Usage: "with --force, `SECONDS` from the stop signal to the kill, -1 for ever"},
		},
		Action: func(c *cli.Context) error { return failed(runNetworkRm(a, c)) },
	}
}

func runNetworkRm(a *app, c *cli.Context) []error {
	force := c.Bool("force")
	switch {
	case c.NArg() == 0:
		return []error{errors.New("network rm takes at least one network; `proa network ls` lists them")}
	case c.IsSet("time") && !force:
		return []error{errors.New("--time needs --force: it is about the end of the network's containers")}
	case c.Int("time") < -1:
		return []error{fmt.Errorf("invalid --time %d: seconds, 0 to kill at once, or -1 for ever", c.Int("time"))}
	}
	e, s, err := a.networks(c.Context)
	if err != nil {
		return []error{err}
	}
	var errs []error
	for _, name := range c.Args().Slice() {
		n, err := s.Get(name)
		switch {
		case errors.Is(err, network.ErrNotFound) && force:
			continue
		case err == nil && !n.Proa && n.Name != network.Default && !force:
			err = fmt.Errorf("network %q was made by another tool, whose containers may use it; remove it with that, as `podman network rm %s`, or with --force", n.Name, n.Name)
		case err == nil && force && n.Name != network.Default:
			err = removeMembers(c.Context, e, n, c.Int("time"))
		}
		if err != nil {
			errs = append(errs, err)
			continue
		}
		if _, failures := e.RemoveNetworks(c.Context, []*network.Network{n}); len(failures) > 0 {
			errs = append(errs, failures...)
			continue
		}
		fmt.Fprintln(a.out, name)
	}
	return errs
}

// removeMembers stops and removes the containers of a network.
func removeMembers(ctx context.Context, e *libpod.Engine, n *network.Network, seconds int) error {
	list, err := e.NetworkContainers(n.Name)
	if err != nil {
		return err
	}
	for _, ctr := range list {
		if e.Status(ctr).PID != 0 {
			if err := e.Stop(ctx, ctr, "", &seconds); err != nil && !missing(err) {
				return err
			}
		}
		if err := e.Remove(ctx, ctr, true); err != nil && !missing(err) {
			return err
		}
	}
	return nil
}
