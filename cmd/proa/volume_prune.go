package main

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/docker/go-units"
	"github.com/proa-containers/proa/libpod/volume"
	"github.com/urfave/cli/v2"
)

func newVolumePruneCommand(a *app) *cli.Command {
	return &cli.Command{
		Name:  "prune",
		Usage: "remove the anonymous volumes that no container has",
		Flags: []cli.Flag{
			&cli.BoolFlag{Name: "all", Aliases: []string{"a"}, Usage: "those with a name too"},
			&cli.BoolFlag{Name: "force", Aliases: []string{"f"}, Usage: "do not ask"},
			stringList("filter", "", "only those with `KEY=VALUE`: label=KEY[=VALUE], label!=, all=BOOL and the keys of volume ls"),
		},
		Action: func(c *cli.Context) error { return failed(runVolumePrune(a, c)) },
	}
}

func runVolumePrune(a *app, c *cli.Context) []error {
	if c.Args().Present() {
		return []error{fmt.Errorf("volume prune takes no arguments, but has %q", c.Args().First())}
	}
	all, filters := c.Bool("all"), c.StringSlice("filter")
	for i, f := range filters {
		value, ok := strings.CutPrefix(f, "all=")
		if !ok {
			continue
		}
		on, err := strconv.ParseBool(value)
		if err != nil {
			return []error{fmt.Errorf("invalid --filter %q: true or false", f)}
		}
		all, filters = all || on, slices.Delete(slices.Clone(filters), i, i+1)
		break
	}
	e, s, err := a.volumes(c.Context)
	if err != nil {
		return []error{err}
	}
	what := "anonymous local volumes"
	if all {
		what = "all local volumes"
	}
	question := "WARNING! This will remove " + what + " not used by at least one container.\nAre you sure you want to continue? [y/N] "
	if !c.Bool("force") && !a.confirm(question) {
		return []error{errors.New("nothing was removed")}
	}
	_, err = e.SweepVolumes(c.Context)
	errs := []error{err}
	list, err := unusedVolumes(a, e, s)
	if err != nil {
		return append(errs, err)
	}
	if list, err = selectVolumes(e, list, filters); err != nil {
		return append(errs, err)
	}
	list = slices.DeleteFunc(list, func(v *volume.Volume) bool { return !all && !v.Anonymous() })
	gone, freed, failures := e.RemoveVolumes(c.Context, list)
	if len(gone) > 0 {
		fmt.Fprintln(a.out, "Deleted Volumes:")
		for _, v := range gone {
			fmt.Fprintln(a.out, v.Name)
		}
		fmt.Fprintln(a.out)
	}
	fmt.Fprintln(a.out, "Total reclaimed space:", units.HumanSize(float64(freed)))
	for _, err := range failures {
		var used *volume.UsedError
		if !errors.As(err, &used) && !errors.Is(err, volume.ErrNotFound) { // taken, or removed, since the list was made
			errs = append(errs, err)
		}
	}
	return errs
}
