package main

import (
	"encoding/json"
	"errors"

	"github.com/urfave/cli/v2"
)

func newNetworkInspectCommand(a *app) *cli.Command {
	return &cli.Command{
		Name:        "inspect",
		Usage:       "show all there is to know of networks, as JSON",
		ArgsUsage:   "NETWORK [NETWORK...]",
		Description: "It has Docker's fields, and after them those that only Podman has, by Podman's names.",
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "format", Aliases: []string{"f"}, Usage: "json or a Go `TEMPLATE` for each"},
		},
		Action: func(c *cli.Context) error { return failed(runNetworkInspect(a, c)) },
	}
}

func runNetworkInspect(a *app, c *cli.Context) []error {
	if c.NArg() == 0 {
		return []error{errors.New("network inspect takes at least one network; `proa network ls` lists them")}
	}
	var t *rowTemplate
	var err error
	if f := c.String("format"); f != "json" {
		if t, err = parseTemplate(f); err != nil {
			return []error{err}
		}
	}
	e, s, err := a.networks(c.Context)
	if err != nil {
		return []error{err}
	}
	var errs []error
	found := []any{}
	for _, name := range c.Args().Slice() {
		n, err := s.Get(name)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		v, err := e.InspectNetwork(n)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		found = append(found, v)
	}
	if t == nil {
		enc := json.NewEncoder(a.out)
		enc.SetEscapeHTML(false)
		enc.SetIndent("", "    ")
		return append(errs, enc.Encode(found))
	}
	for _, v := range found {
		errs = append(errs, printEither(a, t, v))
	}
	return errs
}
