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
		Flags:     append(append(stopFlags(), allFlag("all running containers", "a"), ignoreFlag()), chooseFlags("f")...),
		Action: objectErrors(func(c *cli.Context) error {
			o, err := parseStopOptions(c)
			if err != nil {
				return err
			}
			return a.eachChosen(c, up, stopsAtOnce, func(e *libpod.Engine, t chosen) (string, error) {
				return t.ref, e.Stop(c.Context, t.Container, o.signal, o.seconds)
			})
		}),
	}
}

// stopOptions are how a command stops containers.
type stopOptions struct {
	signal  string
	seconds *int // nil: the container's own
}

func stopFlags() []cli.Flag {
	return []cli.Flag{
		timeFlag("`SECONDS` to wait before killing the container, -1 for ever (default: the container's, else 10)"),
		&cli.StringFlag{Name: "signal", Aliases: []string{"s"}, Usage: "`SIGNAL` to send (default: the container's, else SIGTERM)"},
	}
}

func timeFlag(usage string) cli.Flag {
	return &cli.IntFlag{Name: "time", Aliases: []string{"t", "timeout"}, Usage: usage}
}

func parseStopOptions(c *cli.Context) (o stopOptions, err error) {
	if o.signal = c.String("signal"); c.IsSet("signal") {
		if _, err := libpod.Signal(o.signal); err != nil {
			return o, fmt.Errorf("--signal: %w", err)
		}
	}
	o.seconds, err = parseStopTime(c)
	return o, err
}

// parseStopTime is --time, nil when it was not given.
func parseStopTime(c *cli.Context) (*int, error) {
	if !c.IsSet("time") {
		return nil, nil
	}
	t := c.Int("time")
	if t < -1 {
		return nil, fmt.Errorf("invalid --time %d: seconds, 0 to kill at once, or -1 for ever", t)
	}
	return &t, nil
}
