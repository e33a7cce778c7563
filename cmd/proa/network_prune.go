package main

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/proa-containers/proa/libpod"
	"github.com/proa-containers/proa/libpod/network"
	"github.com/urfave/cli/v2"
)

func newNetworkPruneCommand(a *app) *cli.Command {
	return &cli.Command{
		Name:  "prune",
		Usage: "remove the networks that no container is on, but those of other tools",
		Flags: []cli.Flag{
			&cli.BoolFlag{Name: "force", Aliases: []string{"f"}, Usage: "do not ask"},
			stringList("filter", "", "only those with `KEY=VALUE`: until=TIME, label=KEY[=VALUE] or label!=KEY[=VALUE]"),
		},
		Action: func(c *cli.Context) error { return failed(runNetworkPrune(a, c)) },
	}
}

func runNetworkPrune(a *app, c *cli.Context) []error {
	if c.Args().Present() {
		return []error{fmt.Errorf("network prune takes no arguments, but has %q", c.Args().First())}
	}
	for _, f := range c.StringSlice("filter") {
		if key, _, _ := strings.Cut(f, "="); !slices.Contains([]string{"until", "label", "label!"}, key) {
			return []error{fmt.Errorf("invalid --filter %q: want until=TIME, label=KEY[=VALUE] or label!=KEY[=VALUE]", f)}
		}
	}
	e, s, err := a.networks(c.Context)
	if err != nil {
		return []error{err}
	}
	if !c.Bool("force") && !a.confirm("WARNING! This will remove all custom networks not used by at least one container.\nAre you sure you want to continue? [y/N] ") {
		return []error{errors.New("nothing was removed")}
	}
	list, err := a.listNetworks(s)
	if err != nil {
		return []error{err}
	}
	if list, err = selectNetworks(e, list, c.StringSlice("filter")); err != nil {
		return []error{err}
	}
	used, err := e.NetworkUsers()
	if err != nil {
		return []error{err}
	}
	list = slices.DeleteFunc(list, func(n *network.Network) bool {
		return !n.Proa || n.Name == network.Default || len(used[n.Name]) > 0
	})
	gone, failures := e.RemoveNetworks(c.Context, list)
	if len(gone) > 0 {
		fmt.Fprintln(a.out, "Deleted Networks:")
		for _, n := range gone {
			fmt.Fprintln(a.out, n.Name)
		}
		fmt.Fprintln(a.out)
	}
	return slices.DeleteFunc(failures, libpod.UsedOnly) // taken, or removed, since the list was made
}
