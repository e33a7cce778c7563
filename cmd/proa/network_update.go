package main

import (
	"errors"
	"fmt"
	"strings"

	"github.com/urfave/cli/v2"
)

func newNetworkUpdateCommand(a *app) *cli.Command {
	return &cli.Command{
		Name:        "update",
		Usage:       "change a network's name servers",
		ArgsUsage:   "NETWORK",
		Description: "It is heard of by the network's containers when the next one starts on it.",
		Flags: []cli.Flag{
			stringList("dns-add", "", "add name servers (`ADDRESS[,ADDRESS...]`)"),
			stringList("dns-drop", "", "drop name servers (`ADDRESS[,ADDRESS...]`)"),
		},
		Action: func(c *cli.Context) error { return failed([]error{runNetworkUpdate(a, c)}) },
	}
}

func runNetworkUpdate(a *app, c *cli.Context) error {
	name, err := oneNetwork(c)
	if err != nil {
		return err
	}
	list := func(flag string) (out []string) {
		for _, s := range c.StringSlice(flag) {
			out = append(out, strings.Split(s, ",")...)
		}
		return out
	}
	add, drop := list("dns-add"), list("dns-drop")
	if len(add)+len(drop) == 0 {
		return errors.New("network update changes nothing: give --dns-add or --dns-drop")
	}
	_, s, err := a.networks(c.Context)
	if err != nil {
		return err
	}
	n, err := s.UpdateDNS(c.Context, name, add, drop)
	if err == nil {
		fmt.Fprintln(a.out, n.Name)
	}
	return err
}
