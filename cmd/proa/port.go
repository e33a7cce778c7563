package main

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/urfave/cli/v2"
)

func newPortCommand(a *app) *cli.Command {
	return &cli.Command{
		Name:        "port",
		Usage:       "list the published ports of a container",
		ArgsUsage:   "CONTAINER [PORT[/PROTOCOL]]",
		Description: "No container has published ports: networks are not made yet, and run refuses --publish. A port that is asked for is an error.",
		Flags:       []cli.Flag{latestFlag()},
		Action:      func(c *cli.Context) error { return runPort(a, c) },
	}
}

func runPort(a *app, c *cli.Context) error {
	if err := oneCount(c, 1, "a container and perhaps one of its ports"); err != nil {
		return err
	}
	want := c.Args().Get(1)
	if c.Bool("latest") {
		want = c.Args().First()
	}
	if want != "" {
		number, protocol, _ := strings.Cut(want, "/")
		if n, err := strconv.ParseUint(number, 10, 16); err != nil || n == 0 {
			return fmt.Errorf("invalid port %q: PORT[/PROTOCOL], as 80 or 53/udp", want)
		}
		switch protocol {
		case "", "tcp", "udp", "sctp":
		default:
			return fmt.Errorf("invalid port %q: the protocol is tcp, udp or sctp", want)
		}
	}
	e, err := a.engine(c.Context)
	if err != nil {
		return err
	}
	ctr, _, err := one(c, e)
	if err != nil {
		return &exitError{1, err}
	}
	if want != "" {
		return &exitError{1, fmt.Errorf("port %s of container %q is not published: publishing ports needs networking, which proa does not have yet; with --network host a container's ports are the host's", want, ctr.Name)}
	}
	return nil
}
