package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/docker/go-units"
	"github.com/proa-containers/proa/libpod"
	"github.com/proa-containers/proa/oci/monitor"
	"github.com/urfave/cli/v2"
)

func newPsCommand(a *app) *cli.Command {
	return &cli.Command{
		Name:    "ps",
		Aliases: []string{"ls", "list"},
		Usage:   "list containers",
		Flags: []cli.Flag{
			&cli.BoolFlag{Name: "all", Aliases: []string{"a"}, Usage: "also those that do not run"},
			&cli.BoolFlag{Name: "quiet", Aliases: []string{"q"}, Usage: "ids alone"},
			&cli.BoolFlag{Name: "size", Aliases: []string{"s"}, Usage: "measure what each wrote, and that with its image"},
			&cli.BoolFlag{Name: "no-trunc", Usage: "do not shorten anything"},
			&cli.BoolFlag{Name: "noheading", Usage: "a table without its first line"},
			&cli.IntFlag{Name: "last", Aliases: []string{"n"}, Value: -1, Usage: "the last `NUMBER` made, running or not"},
			&cli.BoolFlag{Name: "latest", Aliases: []string{"l"}, Usage: "the last one made, running or not"},
			&cli.StringSliceFlag{Name: "filter", Aliases: []string{"f"}, Usage: "`KEY=VALUE` with a key of " + filterKeys},
			&cli.StringFlag{Name: "sort", Usage: "by `FIELD`: command, created, id, image, names, runningfor, size or status (default: the last made first)"},
			&cli.StringFlag{Name: "format", Usage: "table, json or a Go `TEMPLATE`, with \"table \" before it for a table"},
		},
		Action: objectErrors(func(c *cli.Context) error { return runPs(a, c) }),
	}
}

type psOptions struct {
	all, quiet, size, noTrunc, noHeading bool
	last                                 int
	filters                              []string
	sort, format                         string
}

func parsePs(c *cli.Context) (psOptions, error) {
	o := psOptions{
		all: c.Bool("all"), quiet: c.Bool("quiet"), size: c.Bool("size"), noTrunc: c.Bool("no-trunc"), noHeading: c.Bool("noheading"), last: c.Int("last"),
		filters: c.StringSlice("filter"), sort: c.String("sort"), format: c.String("format"),
	}
	switch {
	case c.Args().Present():
		return o, fmt.Errorf("ps takes no arguments, but has %q", c.Args().First())
	case c.IsSet("last") && o.last < -1:
		return o, fmt.Errorf("invalid --last %d: a number of containers", o.last)
	case c.IsSet("last") && c.Bool("latest"):
		return o, errors.New("--last and --latest exclude each other")
	case o.quiet && o.size:
		return o, errors.New("--quiet and --size exclude each other: ids alone have no size")
	case c.IsSet("sort") && psOrder(o.sort) == nil:
		return o, fmt.Errorf("invalid --sort %q: command, created, id, image, names, runningfor, size or status", o.sort)
	}
	if c.Bool("latest") {
		o.last = 1
	}
	// As in Docker, a template that shows the size has it measured.
	o.size = o.size || o.sort == "size" || strings.Contains(o.format, ".Size")
	_, err := parseTemplate(strings.TrimPrefix(o.format, "table "))
	return o, err
}

func runPs(a *app, c *cli.Context) error {
	o, err := parsePs(c)
	if err != nil {
		return err
	}
	e, err := a.engine(c.Context)
	if err != nil {
		return err
	}
	list, err := selectContainers(c.Context, e, o)
	if err != nil {
		return err
	}
	var sizes map[string]libpod.Size
	if o.size {
		if sizes, err = e.Sizes(c.Context, list); err != nil {
			return err
		}
	}
	if less := psOrder(o.sort); less != nil {
		slices.SortStableFunc(list, func(x, y libpod.Listed) int { return less(x, y, sizes) })
	}
	return printPs(a, o, list, sizes)
}

func selectContainers(ctx context.Context, e *libpod.Engine, o psOptions) ([]libpod.Listed, error) {
	fits, err := parseContainerFilters(ctx, e, o.filters)
	if err != nil {
		return nil, err
	}
	list, err := e.List(ctx)
	if err != nil {
		return nil, err
	}
	ended := func(f string) bool { return strings.HasPrefix(f, "status=") || strings.HasPrefix(f, "exited=") }
	all := o.all || o.last > 0 || slices.ContainsFunc(o.filters, ended)
	shown := func(l libpod.Listed) bool { return up(l) && l.Status.State != libpod.Initialized }
	list = slices.DeleteFunc(list, func(l libpod.Listed) bool { return !all && !shown(l) || !fits(l) })
	if o.last > 0 {
		list = list[:min(o.last, len(list))]
	}
	return list, nil
}

// healthText is what Docker adds to the status of a container with a health check.
func healthText(l libpod.Listed) string {
	if l.Health == nil || l.Status.State != libpod.Running {
		return ""
	}
	if l.Health.Status == monitor.Starting {
		return " (health: starting)"
	}
	return " (" + l.Health.Status + ")"
}

// statusText is Docker's wording.
func statusText(s libpod.Status) string {
	switch s.State {
	case libpod.Running:
		return "Up " + units.HumanDuration(time.Since(s.Run.StartedAt))
	case libpod.Paused:
		return "Up " + units.HumanDuration(time.Since(s.Run.StartedAt)) + " (Paused)"
	case libpod.Restarting:
		return fmt.Sprintf("Restarting (%d) %s ago", s.Run.ExitCode, units.HumanDuration(time.Since(s.Run.FinishedAt)))
	case libpod.Exited:
		return fmt.Sprintf("Exited (%d) %s ago", s.Run.ExitCode, units.HumanDuration(time.Since(s.Run.FinishedAt)))
	}
	return strings.ToUpper(string(s.State[:1])) + string(s.State[1:])
}
