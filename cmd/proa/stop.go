package main

import (
	"fmt"

	"github.com/proa-containers/proa/libpod"
	"github.com/urfave/cli/v2"
)

func newStopCommand(a *app) *cli.Command {
	return &cli.Command{
		Name:      "stop",
		Usage:     "stop one or more running containers",
		ArgsUsage: "CONTAINER [CONTAINER...]",
		Flags:     stopFlags(),
		Action: func(c *cli.Context) error {
			return a.each(c, 1, func(e *libpod.Engine, ctr *libpod.Container, ref string) error {
				if err := e.Stop(c.Context, ctr, c.String("signal"), stopTime(c)); err != nil {
					return err
				}
				fmt.Fprintln(a.out, ref)
				return nil
			})
		},
	}
}

func stopFlags() []cli.Flag {
	return []cli.Flag{
		&cli.IntFlag{Name: "time", Aliases: []string{"t", "timeout"}, Usage: "`SECONDS` to wait before killing the container, -1 for ever (default: the container's, else 10)"},
		&cli.StringFlag{Name: "signal", Aliases: []string{"s"}, Usage: "`SIGNAL` to send (default: the container's, else SIGTERM)"},
	}
}

// stopTime is --time, nil when it was not given.
func stopTime(c *cli.Context) *int {
	if !c.IsSet("time") {
		return nil
	}
	t := c.Int("time")
	return &t
}
