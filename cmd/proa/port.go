package main

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/proa-containers/proa/libpod"
	"github.com/urfave/cli/v2"
)

func newPortCommand(a *app) *cli.Command {
	return &cli.Command{
		Name:      "port",
		Usage:     "list the published ports of a container",
		ArgsUsage: "CONTAINER [PORT[/PROTOCOL]]",
		Flags:     []cli.Flag{latestFlag()},
		Action:    func(c *cli.Context) error { return runPort(a, c) },
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
	number, protocol, err := parsePort(want)
	if err != nil {
		return err
	}
	e, err := a.engine(c.Context)
	if err != nil {
		return err
	}
	ctr, _, err := one(c, e)
	if err != nil {
		return &exitError{1, err}
	}
	var bound []libpod.Bound
	if e.Status(ctr).PID != 0 {
		if bound, err = e.Bound(ctr); err != nil {
			return err
		}
	}
	slices.SortStableFunc(bound, func(x, y libpod.Bound) int {
		return cmp.Or(cmp.Compare(x.Port, y.Port), cmp.Compare(x.Protocol, y.Protocol))
	})
	found := false
	for _, b := range bound {
		switch {
		case want == "":
			fmt.Fprintf(a.out, "%d/%s -> %v\n", b.Port, b.Protocol, b.Host)
		case b.Port == number && b.Protocol == protocol:
			fmt.Fprintln(a.out, b.Host)
			found = true
		}
	}
	if want != "" && !found {
		return &exitError{1, fmt.Errorf("port %d/%s of container %q is not published", number, protocol, ctr.Name)}
	}
	return nil
}

// parsePort reads PORT[/PROTOCOL]; an empty word is no port.
func parsePort(want string) (uint16, string, error) {
	if want == "" {
		return 0, "", nil
	}
	number, protocol, _ := strings.Cut(want, "/")
	n, err := strconv.ParseUint(number, 10, 16)
	if err != nil || n == 0 {
		return 0, "", fmt.Errorf("invalid port %q: PORT[/PROTOCOL], as 80 or 53/udp", want)
	}
	switch protocol {
	case "":
		protocol = "tcp"
	case "tcp", "udp", "sctp":
	default:
		return 0, "", fmt.Errorf("invalid port %q: the protocol is tcp, udp or sctp", want)
	}
	return uint16(n), protocol, nil
}
