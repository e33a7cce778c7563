package main

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/proa-containers/proa/libpod/network"
	"github.com/proa-containers/proa/libpod/rootless"
	"github.com/urfave/cli/v2"
)

func newNetworkCreateCommand(a *app) *cli.Command {
	return &cli.Command{
		Name:      "create",
		Usage:     "make a network",
		ArgsUsage: "[NAME]",
		Description: "It prints the network's id. Without --subnet a free one is chosen, that overlaps no other network and no route of the host. " +
			"Containers of one network know each other by name; those of two do not reach each other.",
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "driver", Aliases: []string{"d"}, Value: network.BridgeDriver, Usage: "`DRIVER`: bridge, or for root macvlan or ipvlan, on an interface of the host"},
			stringList("subnet", "", "addresses of the network, as `ADDRESS/BITS`; one for IPv4, one for IPv6, or more"),
			stringList("gateway", "", "`ADDRESS` of the bridge in a --subnet (default: the first)"),
			stringList("ip-range", "", "addresses of a --subnet for containers that ask for none, as `ADDRESS/BITS` or START-END"),
			&cli.BoolFlag{Name: "ipv6", Usage: "addresses of both families; those that no --subnet gives are chosen"},
			&cli.BoolFlag{Name: "internal", Usage: "no way out, and none in"},
			&cli.BoolFlag{Name: "disable-dns", Usage: "containers do not know each other by name"},
			stringList("dns", "", "name server (`ADDRESS`) for what is no container's name, in place of the host's"),
			stringList("route", "", "a route of every container, as `DESTINATION/BITS,GATEWAY[,METRIC]`"),
			stringList("opt", "o", "option of the driver (`KEY=VALUE`): mtu, vlan, isolate, com.docker.network.*; parent and mode of macvlan and ipvlan"),
			&cli.StringFlag{Name: "interface-name", Usage: "`NAME` of the bridge, or the host's interface for macvlan and ipvlan"},
			&cli.StringFlag{Name: "ipam-driver", Value: "host-local", Usage: "who gives out addresses: host-local or default, which is that (`DRIVER`)"},
			stringList("label", "", "set a label, as `KEY=VALUE`"),
			&cli.BoolFlag{Name: "ignore", Usage: "take a network of that name that exists, as it is"},
		},
		Action: func(c *cli.Context) error { return failed([]error{runNetworkCreate(a, c)}) },
	}
}

func runNetworkCreate(a *app, c *cli.Context) error {
	n, err := parseNetworkCreate(c)
	if err != nil {
		return err
	}
	if n.Driver != network.BridgeDriver && rootless.Rootless() {
		return fmt.Errorf("driver %s is for root alone: it puts containers on an interface of the host; use a bridge and publish ports", n.Driver)
	}
	if n.Off(network.OptionMasquerade) && rootless.Rootless() {
		return fmt.Errorf("option %s=false is for root alone: nobody outside answers an address that a user's network gave out", network.OptionMasquerade)
	}
	e, s, err := a.networks(c.Context)
	if err != nil {
		return err
	}
	host, err := network.ThisHost(rootless.Rootless())
	if err != nil {
		return err
	}
	made, isNew, err := s.Create(c.Context, network.Spec{Network: *n, Host: host, Ignore: c.Bool("ignore")})
	if err != nil {
		return fmt.Errorf("making a network: %w", err)
	}
	if isNew {
		e.SayNetwork("create", made)
	}
	fmt.Fprintln(a.out, made.ID)
	return nil
}

func parseNetworkCreate(c *cli.Context) (*network.Network, error) {
	if c.NArg() > 1 {
		return nil, errors.New("network create takes one name at most")
	}
	n := &network.Network{
		Name: c.Args().First(), Driver: c.String("driver"), NetworkInterface: c.String("interface-name"),
		IPv6Enabled: c.Bool("ipv6"), Internal: c.Bool("internal"), DNSEnabled: !c.Bool("disable-dns"), DNSServers: c.StringSlice("dns"),
	}
	if c.NArg() == 1 {
		if err := network.CheckName(n.Name); err != nil {
			return nil, err
		}
	}
	if c.IsSet("interface-name") {
		if err := network.CheckInterface(n.NetworkInterface); err != nil {
			return nil, fmt.Errorf("--interface-name: %w", err)
		}
	}
	if d := c.String("ipam-driver"); d != "host-local" && d != "default" {
		return nil, fmt.Errorf("invalid --ipam-driver %q: proa gives out the addresses itself, which is host-local", d)
	}
	var err error
	if n.Subnets, err = network.ParseSubnets(c.StringSlice("subnet"), c.StringSlice("gateway"), c.StringSlice("ip-range")); err != nil {
		return nil, err
	}
	for _, s := range n.DNSServers {
		if err := network.CheckServer(s); err != nil {
			return nil, fmt.Errorf("--dns: %w", err)
		}
	}
	for _, s := range c.StringSlice("route") {
		r, err := network.ParseRoute(s)
		if err != nil {
			return nil, err
		}
		n.Routes = append(n.Routes, r)
	}
	for _, o := range c.StringSlice("opt") {
		k, v, ok := strings.Cut(o, "=")
		if !ok || k == "" {
			return nil, fmt.Errorf("invalid --opt %q: want KEY=VALUE", o)
		}
		if err := n.SetOption(k, v); err != nil {
			return nil, fmt.Errorf("--opt: %w", err)
		}
	}
	if !slices.Contains([]string{network.BridgeDriver, network.MacvlanDriver, network.IpvlanDriver}, n.Driver) {
		return nil, fmt.Errorf("unknown --driver %q: bridge, macvlan or ipvlan", n.Driver)
	}
	n.Labels, err = parseLabels(c.StringSlice("label"), nil)
	return n, err
}
