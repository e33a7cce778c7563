package main

import (
	"fmt"
	"strconv"

	"github.com/proa-containers/proa/libpod/network"
	"github.com/proa-containers/proa/libpod/volume"
	"github.com/urfave/cli/v2"
)

func newNetworkLsCommand(a *app) *cli.Command {
	return &cli.Command{
		Name:    "ls",
		Aliases: []string{"list"},
		Usage:   "list networks",
		Flags: []cli.Flag{
			stringList("filter", "f", "only those with `KEY=VALUE`: name=PATTERN, id=PATTERN, driver=, scope=, type=custom|builtin, label=KEY[=VALUE], label!=, dangling=BOOL, until=TIME"),
			&cli.StringFlag{Name: "format", Usage: "table, json or a Go `TEMPLATE`, with \"table \" before it for a table"},
			&cli.BoolFlag{Name: "no-trunc", Usage: "whole ids"},
			&cli.BoolFlag{Name: "noheading", Aliases: []string{"n"}, Usage: "a table without its first line"},
			&cli.BoolFlag{Name: "quiet", Aliases: []string{"q"}, Usage: "ids alone"},
		},
		Action: func(c *cli.Context) error { return failed([]error{runNetworkLs(a, c)}) },
	}
}

// networkRow has Docker's fields and those of Podman's.
type networkRow struct {
	CreatedAt, Driver, ID, IPv4, IPv6, Internal, Labels, Name, Scope string

	Created          string            `json:"-"`
	DNSEnabled       string            `json:"-"`
	NetworkInterface string            `json:"-"`
	Options          string            `json:"-"`
	Subnets          []network.Subnet  `json:"-"`
	labels           map[string]string // for Label
}

// Label is the value of one label.
func (r networkRow) Label(key string) string { return r.labels[key] }

func runNetworkLs(a *app, c *cli.Context) error {
	if c.Args().Present() {
		return fmt.Errorf("network ls takes no arguments, but has %q", c.Args().First())
	}
	e, s, err := a.networks(c.Context)
	if err != nil {
		return err
	}
	list, err := a.listNetworks(s)
	if err != nil {
		return err
	}
	if list, err = selectNetworks(e, list, c.StringSlice("filter")); err != nil {
		return err
	}
	rows := make([]networkRow, 0, len(list))
	for _, n := range list {
		rows = append(rows, newNetworkRow(n, c.Bool("no-trunc")))
	}
	format := c.String("format")
	switch {
	case c.Bool("quiet") && format == "":
		format = "{{.ID}}"
	case format == "json":
		return printJSONLines(a, rows)
	case format == "", format == "table":
		format = "table {{.ID}}\t{{.Name}}\t{{.Driver}}\t{{.Scope}}"
	}
	head := &networkRow{
		CreatedAt: "CREATED AT", Driver: "DRIVER", ID: "NETWORK ID", IPv4: "IPV4", IPv6: "IPV6", Internal: "INTERNAL", Labels: "LABELS", Name: "NAME", Scope: "SCOPE",
		Created: "CREATED", DNSEnabled: "DNS", NetworkInterface: "INTERFACE", Options: "OPTIONS",
	}
	if c.Bool("noheading") {
		head = nil
	}
	return printRows(a, format, head, rows)
}

func newNetworkRow(n *network.Network, whole bool) networkRow {
	id := n.ID
	if !whole {
		id = id[:12]
	}
	v4 := false
	for _, s := range n.Subnets {
		v4 = v4 || s.Subnet.Addr().Is4()
	}
	created := n.Created.Local().Format("2006-01-02 15:04:05 -0700 MST")
	return networkRow{
		CreatedAt: created, Driver: n.Driver, ID: id, IPv4: strconv.FormatBool(v4), IPv6: strconv.FormatBool(n.IPv6Enabled),
		Internal: strconv.FormatBool(n.Internal), Labels: volume.Text(n.Labels), Name: shownName(n), Scope: "local",
		Created: created, DNSEnabled: strconv.FormatBool(n.DNSEnabled), NetworkInterface: n.NetworkInterface, Options: volume.Text(n.Options),
		Subnets: n.Subnets, labels: n.Labels,
	}
}
