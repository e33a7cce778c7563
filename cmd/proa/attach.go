package main

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/proa-containers/proa/libpod"
	"github.com/urfave/cli/v2"
)

// attachFlags are those of every command that attaches to a container.
func attachFlags() []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: "detach-keys", Value: "ctrl-p,ctrl-q", Usage: "`KEYS` that leave the container, empty for none"},
		&cli.BoolFlag{Name: "sig-proxy", Value: true, Usage: "hand signals to the container"},
	}
}

func newAttachCommand(a *app) *cli.Command {
	return &cli.Command{
		Name:      "attach",
		Usage:     "attach to the streams of a running container, and end with its exit status",
		ArgsUsage: "CONTAINER",
		Flags:     append(attachFlags(), &cli.BoolFlag{Name: "no-stdin", Usage: "leave standard input alone"}, latestFlag()),
		Action:    objectErrors(func(c *cli.Context) error { return runAttach(a, c) }),
	}
}

func runAttach(a *app, c *cli.Context) error {
	switch {
	case c.Bool("latest") && c.Args().Present():
		return errors.New("attach takes either --latest or the name of a container, not both")
	case c.NArg() != 1 && !c.Bool("latest"):
		return fmt.Errorf("attach takes one container, not %d", c.NArg())
	}
	e, err := a.engine(c.Context)
	if err != nil {
		return err
	}
	ctr, _, err := oneContainer(c, e)
	if err != nil {
		return err
	}
	if e.Status(ctr).State == libpod.Paused {
		return fmt.Errorf("container %q is paused: unpause it before attaching to it", ctr.Name)
	}
	if ctr.Log.Driver == "passthrough" {
		return fmt.Errorf("container %q has the log driver passthrough: its streams are those it was started with, and can't be attached to", ctr.Name)
	}
	s, err := newAttached(a, c, e, ctr)
	if err != nil {
		return err
	}
	s.stdin = ctr.Stdin && !c.Bool("no-stdin")
	if s.conn, err = e.Attach(ctr); err != nil {
		return err
	}
	return s.carry(c.Context)
}

// newAttached is a session with ctr by attachFlags.
func newAttached(a *app, c *cli.Context, e *libpod.Engine, ctr *libpod.Container) (*session, error) {
	keys, err := parseKeys(c.String("detach-keys"))
	return &session{app: a, engine: e, ctr: ctr, sigProxy: c.Bool("sig-proxy"), keys: keys, out: a.out, err: a.err}, err
}

// carry carries the session, and cleans up after a container that ended in it.
func (s *session) carry(ctx context.Context) error {
	defer s.engine.Guard(s.ctr)()
	exit, err := s.attach(attachContext(ctx, s.sigProxy))
	s.conn.Close()
	if errors.Is(err, io.EOF) {
		// This process was stopped for so long that the monitor did not wait for it; or the monitor was killed.
		if run, ended := s.engine.Ended(s.ctr); ended {
			exit.Code, err = run.ExitCode, nil
		}
	}
	if err != nil {
		return ended(exit, err) // the container goes on, and its monitor cleans up
	}
	if exit.Restarting {
		return ended(exit, nil) // as with Docker this was the run that proa was attached to
	}
	return errors.Join(s.engine.Finish(s.ctr), ended(exit, nil))
}
