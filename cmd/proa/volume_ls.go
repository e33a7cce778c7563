package main

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/proa-containers/proa/libpod"
	"github.com/proa-containers/proa/libpod/volume"
	"github.com/urfave/cli/v2"
)

func newVolumeLsCommand(a *app) *cli.Command {
	return &cli.Command{
		Name:    "ls",
		Aliases: []string{"list"},
		Usage:   "list volumes",
		Flags: []cli.Flag{
			stringList("filter", "f", "only those with `KEY=VALUE`: name=PATTERN, label=KEY[=VALUE], label!=, opt=KEY[=VALUE], dangling=BOOL, driver=, scope=, until=TIME, since=VOLUME"),
			&cli.StringFlag{Name: "format", Usage: "table, json or a Go `TEMPLATE`, with \"table \" before it for a table"},
			&cli.BoolFlag{Name: "noheading", Aliases: []string{"n"}, Usage: "a table without its first line"},
			&cli.BoolFlag{Name: "quiet", Aliases: []string{"q"}, Usage: "names alone"},
		},
		Action: func(c *cli.Context) error { return failed([]error{runVolumeLs(a, c)}) },
	}
}

// volumeRow has Docker's fields and those of Podman's.
type volumeRow struct {
	Availability, Driver, Group, Labels, Links, Mountpoint, Name, Scope, Size, Status string

	CreatedAt string            `json:"-"`
	Options   string            `json:"-"`
	labels    map[string]string // for Label
}

// Label is the value of one label.
func (r volumeRow) Label(key string) string { return r.labels[key] }

func runVolumeLs(a *app, c *cli.Context) error {
	if c.Args().Present() {
		return fmt.Errorf("volume ls takes no arguments, but has %q", c.Args().First())
	}
	e, s, err := a.volumes(c.Context)
	if err != nil {
		return err
	}
	filters := c.StringSlice("filter")
	if _, err := e.SweepVolumes(c.Context); err != nil {
		a.warn(err)
	}
	list, err := a.listVolumes(s)
	if err != nil {
		return err
	}
	if list, err = selectVolumes(e, list, filters); err != nil {
		return err
	}
	rows := make([]volumeRow, 0, len(list))
	for _, v := range list {
		rows = append(rows, volumeRow{
			Availability: "N/A", Driver: volume.Driver, Group: "N/A", Labels: volume.Text(v.Labels), Links: "N/A", Mountpoint: v.Mountpoint(),
			Name: v.Name, Scope: "local", Size: "N/A", Status: "N/A", CreatedAt: v.CreatedAt.Local().Format("2006-01-02 15:04:05 -0700 MST"),
			Options: volume.Text(v.Options), labels: v.Labels,
		})
	}
	format := c.String("format")
	switch {
	case c.Bool("quiet") && format == "":
		format = "{{.Name}}"
	case format == "json":
		return printJSONLines(a, rows)
	case format == "", format == "table":
		format = "table {{.Driver}}\t{{.Name}}"
	}
	head := &volumeRow{"AVAILABILITY", "DRIVER", "GROUP", "LABELS", "LINKS", "MOUNTPOINT", "VOLUME NAME", "SCOPE", "SIZE", "STATUS", "CREATED AT", "OPTIONS", nil}
	if c.Bool("noheading") {
		head = nil
	}
	return printRows(a, format, head, rows)
}

type volumeFilter func(*volume.Volume) bool

// selectVolumes keeps those that every filter takes; of several values of one key but label one is enough, as with
// Docker.
func selectVolumes(e *libpod.Engine, list []*volume.Volume, filters []string) ([]*volume.Volume, error) {
	any, all := map[string][]volumeFilter{}, []volumeFilter{}
	for _, f := range filters {
		key, value, ok := strings.Cut(f, "=")
		if !ok {
			return nil, fmt.Errorf("invalid --filter %q: KEY=VALUE", f)
		}
		keep, err := parseVolumeFilter(e, list, key, value)
		if err != nil {
			return nil, fmt.Errorf("invalid --filter %q: %w", f, err)
		}
		if key == "name" || key == "driver" || key == "scope" || key == "dangling" {
			any[key] = append(any[key], keep)
		} else {
			all = append(all, keep)
		}
	}
	for _, alternatives := range any {
		all = append(all, func(v *volume.Volume) bool {
			return slices.ContainsFunc(alternatives, func(keep volumeFilter) bool { return keep(v) })
		})
	}
	return slices.DeleteFunc(list, func(v *volume.Volume) bool {
		return slices.ContainsFunc(all, func(keep volumeFilter) bool { return !keep(v) })
	}), nil
}

func parseVolumeFilter(e *libpod.Engine, list []*volume.Volume, key, value string) (volumeFilter, error) {
	has := func(m map[string]string) bool {
		k, want, exact := strings.Cut(value, "=")
		got, ok := m[k]
		return ok && (!exact || got == want)
	}
	switch key {
	case "name":
		pattern, err := regexp.Compile(value)
		if err != nil {
			return nil, err
		}
		return func(v *volume.Volume) bool { return pattern.MatchString(v.Name) }, nil
	case "label":
		return func(v *volume.Volume) bool { return has(v.Labels) }, nil
	case "label!":
		return func(v *volume.Volume) bool { return !has(v.Labels) }, nil
	case "opt":
		return func(v *volume.Volume) bool { return has(v.Options) }, nil
	case "driver":
		return func(*volume.Volume) bool { return value == volume.Driver }, nil
	case "scope":
		return func(*volume.Volume) bool { return value == "local" }, nil
	case "dangling":
		want, err := strconv.ParseBool(value)
		if err != nil {
			return nil, errors.New("true or false")
		}
		used, err := e.VolumeUsers()
		return func(v *volume.Volume) bool { return (len(used[v.Name]) == 0) == want }, err
	case "until":
		t, err := parseTime(value)
		return func(v *volume.Volume) bool { return v.CreatedAt.Before(t) }, err
	case "since", "after":
		for _, o := range list {
			if o.Name == value {
				return func(v *volume.Volume) bool { return v.CreatedAt.After(o.CreatedAt) }, nil
			}
		}
		return nil, volume.ErrNotFound
	}
	return nil, errors.New("the key is name, label, label!, opt, dangling, driver, scope, until or since")
}
