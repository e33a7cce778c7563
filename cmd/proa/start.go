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
		Flags: append(append(attachFlags(), chooseFlags("f")...),
			&cli.BoolFlag{Name: "attach", Aliases: []string{"a"}, Usage: "stay attached to its output, and end with its exit status"},
			&cli.BoolFlag{Name: "interactive", Aliases: []string{"i"}, Usage: "stay attached to its standard input too"},
			allFlag("all containers that do not run"),
		),
		Action: func(c *cli.Context) error {
			if c.Bool("attach") || c.Bool("interactive") {
				return startAttached(a, c)
			}
			return a.eachChosen(c, inState(libpod.Created, libpod.Exited), 1, func(e *libpod.Engine, t chosen) (string, error) {
				if _, err := e.Start(c.Context, t.Container, libpod.StartOptions{}); err != nil && !running(err) {
					return "", startFailed(err)
				}
				return t.ref, nil
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
	if err := checkChoice(c); err != nil {
		return &exitError{1, err}
	}
	e, err := a.engine(c.Context)
	if err != nil {
		return err
	}
	list, errs, err := choose(c, e, inState(libpod.Created, libpod.Exited))
	if err = errors.Join(append(errs, err)...); err != nil {
		return &exitError{1, err}
	}
	if len(list) != 1 {
		return &exitError{1, fmt.Errorf("--attach and --interactive take one container, not %d", len(list))}
	}
	ctr := list[0].Container
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
		Flags: append(append(stopFlags(), chooseFlags("f")...),
			allFlag("all containers, running or not", "a"), &cli.BoolFlag{Name: "running", Usage: "all running containers"}),
		Action: objectErrors(func(c *cli.Context) error {
			o, err := parseStopOptions(c)
			if err != nil {
				return err
			}
			all := func(l libpod.Listed) bool { return !c.Bool("running") || up(l) }
			return a.eachChosen(c, all, 1, func(e *libpod.Engine, t chosen) (string, error) {
				err := e.Restart(c.Context, t.Container, o.signal, o.seconds)
				if running(err) { // another command was faster to start it again
					err = nil
				}
				return t.ref, startFailed(err)
			})
		}),
	}
}
