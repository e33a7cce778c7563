package main

import (
	"fmt"
	"strings"

	"github.com/urfave/cli/v2"
)

func newHealthcheckCommand(a *app) *cli.Command {
	return &cli.Command{
		Name:  "healthcheck",
		Usage: "check the health of containers",
		Subcommands: []*cli.Command{{
			Name:      "run",
			Usage:     "check a container's health now: the exit status is 0 when it is healthy, 1 when not",
			ArgsUsage: "CONTAINER",
			Action:    func(c *cli.Context) error { return runHealthcheck(a, c) },
		}},
	}
}

func runHealthcheck(a *app, c *cli.Context) error {
	if c.NArg() != 1 {
		return fmt.Errorf("healthcheck run takes one container, not %d", c.NArg())
	}
	e, err := a.engine(c.Context)
	if err != nil {
		return err
	}
	ctr, err := e.Lookup(c.Args().First())
	if err != nil {
		return err
	}
	r, err := e.CheckHealth(c.Context, ctr)
	if err != nil {
		return err
	}
	if r.ExitCode != 0 {
		if out := strings.TrimRight(r.Output, "\n"); out != "" {
			fmt.Fprintln(a.err, out)
		}
		return &exitError{code: 1}
	}
	return nil
}
