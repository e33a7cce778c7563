package main

import (
	"errors"
	"fmt"

	"github.com/proa-containers/proa/libpod"
	"github.com/urfave/cli/v2"
)

func newStartCommand(a *app) *cli.Command {
	return &cli.Command{
		Name:      "start",
		Usage:     "start one or more containers that were created or have ended",
		ArgsUsage: "CONTAINER [CONTAINER...]",
		Flags: append(attachFlags(),
			&cli.BoolFlag{Name: "attach", Aliases: []string{"a"}, Usage: "stay attached to its output, and end with its exit status"},
			&cli.BoolFlag{Name: "interactive", Aliases: []string{"i"}, Usage: "stay attached to its standard input too"},
		),
		Action: func(c *cli.Context) error {
			if c.Bool("attach") || c.Bool("interactive") {
				return startAttached(a, c)
			}
			return a.each(c, 1, func(e *libpod.Engine, ctr *libpod.Container, ref string) error {
				if _, err := e.Start(c.Context, ctr, libpod.StartOptions{}); err != nil && !running(err) {
					return startFailed(err)
				}
				fmt.Fprintln(a.out, ref)
				return nil
			})
		},
	}
}

// running tells whether err says that a container runs already: starting one is not an error then, as in Docker.
func running(err error) bool {
	var wrong *libpod.WrongStateError
	return errors.As(err, &wrong) && (wrong.State == libpod.Running || wrong.State == libpod.Restarting)
}

func startAttached(a *app, c *cli.Context) error {
	if c.NArg() != 1 {
		return fmt.Errorf("--attach and --interactive take one container, not %d", c.NArg())
	}
	e, err := a.engine(c.Context)
	if err != nil {
		return err
	}
	ctr, err := e.Lookup(c.Args().First())
	if err != nil {
		return err
	}
	s, err := newAttached(a, c, e, ctr)
	if err != nil {
		return err
	}
	s.stdin = c.Bool("interactive") && ctr.Stdin
	s.conn, err = e.Start(c.Context, ctr, libpod.StartOptions{Attach: true, Size: terminalSize(int(a.in.Fd()))})
	if running(err) {
		s.conn, err = e.Attach(ctr)
	}
	if err != nil {
		return startFailed(err)
	}
	return s.carry(c.Context)
}

func newRestartCommand(a *app) *cli.Command {
	return &cli.Command{
		Name:      "restart",
		Usage:     "stop containers and start them again; those that do not run are only started",
		ArgsUsage: "CONTAINER [CONTAINER...]",
		Flags:     stopFlags(),
		Action: func(c *cli.Context) error {
			return a.each(c, 1, func(e *libpod.Engine, ctr *libpod.Container, ref string) error {
				if err := e.Restart(c.Context, ctr, c.String("signal"), stopTime(c)); err != nil {
					return startFailed(err)
				}
				fmt.Fprintln(a.out, ref)
				return nil
			})
		},
	}
}
