package main

import (
	"errors"
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/docker/go-units"
	"github.com/proa-containers/proa/libpod"
	"github.com/proa-containers/proa/oci/spec"
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
			&cli.BoolFlag{Name: "no-trunc", Usage: "do not shorten anything"},
			&cli.IntFlag{Name: "last", Aliases: []string{"n"}, Value: -1, Usage: "the last `NUMBER` made, running or not"},
			&cli.BoolFlag{Name: "latest", Aliases: []string{"l"}, Usage: "the last one made, running or not"},
			&cli.StringSliceFlag{Name: "filter", Aliases: []string{"f"}, Usage: "`KEY=VALUE` with id, name, label, exited, status, ancestor, before, since or volume"},
			&cli.StringFlag{Name: "format", Usage: "table, json or a Go `TEMPLATE`, with \"table \" before it for a table"},
		},
		Action: func(c *cli.Context) error { return runPs(a, c) },
	}
}

// psRow has Docker's fields.
type psRow struct {
	Command, CreatedAt, ID, Image, Labels, LocalVolumes, Mounts, Names, Networks, Ports, RunningFor, State, Status string
}

func runPs(a *app, c *cli.Context) error {
	if c.Args().Present() {
		return fmt.Errorf("ps takes no arguments, but has %q", c.Args().First())
	}
	e, err := a.engine(c.Context)
	if err != nil {
		return err
	}
	list, err := e.List(c.Context)
	if err != nil {
		return err
	}
	if list, err = selectContainers(c, list); err != nil {
		return err
	}
	rows := make([]psRow, 0, len(list))
	for _, l := range list {
		rows = append(rows, newPsRow(l, c.Bool("no-trunc")))
	}
	format := c.String("format")
	switch {
	case c.Bool("quiet") && format == "":
		format = "{{.ID}}"
	case format == "json":
		return printJSONLines(a, rows)
	case format == "", format == "table":
		format = "table {{.ID}}\t{{.Image}}\t{{.Command}}\t{{.RunningFor}}\t{{.Status}}\t{{.Ports}}\t{{.Names}}"
	}
	head := psRow{"COMMAND", "CREATED AT", "CONTAINER ID", "IMAGE", "LABELS", "LOCAL VOLUMES", "MOUNTS", "NAMES", "NETWORKS", "PORTS", "CREATED", "STATE", "STATUS"}
	return printRows(a, format, head, rows)
}

func selectContainers(c *cli.Context, list []libpod.Listed) ([]libpod.Listed, error) {
	last := c.Int("last")
	if c.Bool("latest") {
		last = 1
	}
	all := c.Bool("all") || last > 0
	for _, f := range c.StringSlice("filter") {
		key, value, ok := strings.Cut(f, "=")
		if !ok {
			return nil, fmt.Errorf("invalid --filter %q: KEY=VALUE", f)
		}
		keep, err := containerFilter(key, value, list)
		if err != nil {
			return nil, fmt.Errorf("invalid --filter %q: %w", f, err)
		}
		all = all || key == "status" || key == "exited"
		list = slices.DeleteFunc(slices.Clone(list), func(l libpod.Listed) bool { return !keep(l) })
	}
	if !all {
		list = slices.DeleteFunc(slices.Clone(list), func(l libpod.Listed) bool {
			return l.Status.State != libpod.Running && l.Status.State != libpod.Paused
		})
	}
	if last > 0 {
		list = list[:min(last, len(list))]
	}
	return list, nil
}

func containerFilter(key, value string, list []libpod.Listed) (func(libpod.Listed) bool, error) {
	switch key {
	case "id":
		return func(l libpod.Listed) bool { return strings.HasPrefix(l.ID, value) }, nil
	case "name":
		return func(l libpod.Listed) bool { return strings.Contains(l.Name, strings.TrimPrefix(value, "/")) }, nil
	case "label":
		k, v, set := strings.Cut(value, "=")
		return func(l libpod.Listed) bool {
			got, ok := l.Labels[k]
			return ok && (!set || got == v)
		}, nil
	case "status":
		if !slices.Contains([]string{"created", "running", "paused", "exited"}, value) {
			return nil, errors.New("created, running, paused or exited")
		}
		return func(l libpod.Listed) bool { return string(l.Status.State) == value }, nil
	case "exited":
		code, err := strconv.Atoi(value)
		if err != nil {
			return nil, errors.New("an exit code")
		}
		return func(l libpod.Listed) bool {
			return l.Status.State == libpod.Exited && l.Status.Run.ExitCode == code
		}, nil
	case "ancestor":
		return func(l libpod.Listed) bool {
			return strings.HasPrefix(l.ImageID, strings.TrimPrefix(value, "sha256:")) || path.Base(l.Image) == value || l.Image == value ||
				strings.TrimSuffix(path.Base(l.Image), ":latest") == value
		}, nil
	case "volume":
		return func(l libpod.Listed) bool {
			return slices.ContainsFunc(l.Config.Mounts.List, func(m spec.Mount) bool {
				return m.Volume != nil && m.Volume.Name == value || m.Type == "bind" && m.Source == value || m.Target == value
			})
		}, nil
	case "before", "since":
		for _, o := range list {
			if o.Name == value || strings.HasPrefix(o.ID, value) {
				at := o.Created
				return func(l libpod.Listed) bool {
					return key == "before" && l.Created.Before(at) || key == "since" && l.Created.After(at)
				}, nil
			}
		}
		return nil, errors.New("no such container")
	}
	return nil, errors.New("the key is id, name, label, exited, status, ancestor, before, since or volume")
}

func newPsRow(l libpod.Listed, whole bool) psRow {
	id, command := l.ID[:12], strings.Join(l.Config.Process.Args, " ")
	if whole {
		id = l.ID
	} else if len(command) > 20 {
		command = command[:19] + "…"
	}
	image := l.Image
	if image == "" {
		image = l.ImageID[:min(12, len(l.ImageID))]
	}
	var labels, mounts []string
	for k, v := range l.Labels {
		labels = append(labels, k+"="+v)
	}
	slices.Sort(labels)
	for _, m := range l.Config.Mounts.List {
		switch {
		case m.Source != "":
			mounts = append(mounts, m.Source)
		case m.Volume != nil && len(m.Volume.Name) > 15 && !whole:
			mounts = append(mounts, m.Volume.Name[:14]+"…")
		case m.Volume != nil:
			mounts = append(mounts, m.Volume.Name)
		}
	}
	return psRow{
		Command: strconv.Quote(command), CreatedAt: l.Created.Local().Format("2006-01-02 15:04:05 -0700 MST"), ID: id, Image: image,
		Labels: strings.Join(labels, ","), LocalVolumes: strconv.Itoa(len(l.VolumeNames())), Mounts: strings.Join(mounts, ","), Names: l.Name,
		Networks: l.Config.Namespaces.Network, RunningFor: units.HumanDuration(time.Since(l.Created)) + " ago",
		State: string(l.Status.State), Status: statusText(l.Status),
	}
}

// statusText is Docker's wording.
func statusText(s libpod.Status) string {
	switch s.State {
	case libpod.Running:
		return "Up " + units.HumanDuration(time.Since(s.Run.StartedAt))
	case libpod.Paused:
		return "Up " + units.HumanDuration(time.Since(s.Run.StartedAt)) + " (Paused)"
	case libpod.Exited:
		return fmt.Sprintf("Exited (%d) %s ago", s.Run.ExitCode, units.HumanDuration(time.Since(s.Run.FinishedAt)))
	}
	return "Created"
}
