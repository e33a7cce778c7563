package main

import (
	"errors"
	"fmt"

	"github.com/proa-containers/proa/libpod"
	"github.com/urfave/cli/v2"
)

func newSystemBootCommand(a *app) *cli.Command {
	return &cli.Command{
		Name:  "boot",
		Usage: "start the containers that their restart policy has running after the host was started",
		Description: "Those are, by Docker's rule for the start of its daemon, the containers with the policy always, those with unless-stopped but for what " +
			"a user has stopped, and those with on-failure that failed or ran when the host went down; of each what was started before.\n\n" +
			"The unit proa-boot.service runs it: `systemctl --user enable proa-boot.service`, and `loginctl enable-linger` for a start before the first login.",
		Action: func(c *cli.Context) error { return runSystemBoot(a, c) },
	}
}

func runSystemBoot(a *app, c *cli.Context) error {
	if c.Args().Present() {
		return fmt.Errorf("system boot takes no argument, not %q", c.Args().First())
	}
	e, err := a.engine(c.Context)
	if err != nil {
		return err
	}
	list, err := e.List(c.Context)
	if err != nil {
		return err
	}
	var errs []error
	for i := len(list) - 1; i >= 0; i-- { // the oldest first: what came later may use it
		l := list[i]
		if !libpod.DueAfterBoot(l.Container, l.Status) {
			continue
		}
		if _, err := e.Start(c.Context, l.Container, libpod.StartOptions{}); err != nil && !running(err) {
			errs = append(errs, fmt.Errorf("starting container %q: %w", l.Name, err))
			continue
		}
		fmt.Fprintln(a.out, l.Name)
	}
	if len(errs) > 0 {
		return &exitError{1, errors.Join(errs...)}
	}
	return nil
}
