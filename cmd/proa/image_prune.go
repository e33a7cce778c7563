package main

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/docker/go-units"
	"github.com/proa-containers/proa/image"
	"github.com/proa-containers/proa/storage"
	"github.com/urfave/cli/v2"
)

func newImagePruneCommand(a *app) *cli.Command {
	return &cli.Command{
		Name:  "prune",
		Usage: "remove the images that have no name and that no container uses",
		Flags: []cli.Flag{
			&cli.BoolFlag{Name: "all", Aliases: []string{"a"}, Usage: "those with a name too"},
			&cli.BoolFlag{Name: "force", Aliases: []string{"f"}, Usage: "do not ask"},
			&cli.StringSliceFlag{Name: "filter", Usage: "only those with `KEY=VALUE`: until=TIME, label=KEY[=VALUE] or label!=KEY[=VALUE]"},
		},
		Action: func(c *cli.Context) error { return runImagePrune(a, c) },
	}
}

func runImagePrune(a *app, c *cli.Context) error {
	if c.Args().Present() {
		return fmt.Errorf("prune takes no arguments, but has %q", c.Args().First())
	}
	keep, err := parsePruneFilters(c.StringSlice("filter"))
	if err != nil {
		return err
	}
	which := "nameless images"
	if c.Bool("all") {
		which = "images"
	}
	if !c.Bool("force") && !a.confirm("This removes all "+which+" that no container uses. Go on? [y/N] ") {
		return errors.New("nothing was removed")
	}
	s, err := a.store(c.Context)
	if err != nil {
		return err
	}
	list, bad, err := image.List(c.Context, s)
	if err != nil {
		return err
	}
	list = slices.DeleteFunc(list, func(i image.Listed) bool {
		return i.Containers > 0 || i.ReadOnly || i.Intermediate || !c.Bool("all") && len(i.Names) > 0 || !keep(i)
	})
	before, err := layersSize(s)
	if err != nil {
		return err
	}
	errs := bad
	if len(list) > 0 {
		fmt.Fprintln(a.out, "Deleted Images:")
	}
	for _, i := range list {
		done, err := image.Remove(c.Context, s, i.ID, image.RemoveOptions{Force: true})
		for _, n := range done.Untagged {
			fmt.Fprintln(a.out, "untagged:", n)
		}
		for _, id := range done.Deleted {
			fmt.Fprintln(a.out, "deleted: sha256:"+id)
		}
		if err != nil && !errors.Is(err, image.ErrNotFound) && !errors.Is(err, image.ErrInUse) { // neither is one of them any more
			errs = append(errs, err)
		}
	}
	if len(list) > 0 {
		fmt.Fprintln(a.out)
	}
	after, err := layersSize(s)
	fmt.Fprintln(a.out, "Total reclaimed space:", units.HumanSize(float64(max(before-after, 0))))
	return errors.Join(append(errs, err)...)
}

// layersSize is what all layers together hold, as far as it is known.
func layersSize(s *storage.Store) (int64, error) {
	layers, err := s.Layers()
	var n int64
	for _, l := range layers {
		n += max(l.Size, 0)
	}
	return n, err
}

// parsePruneFilters reads the filters of a prune, which all have to hold.
func parsePruneFilters(filters []string) (func(image.Listed) bool, error) {
	var all []func(image.Listed) bool
	for _, f := range filters {
		key, value, _ := strings.Cut(f, "=")
		negated := strings.HasSuffix(key, "!")
		name, text, exact := strings.Cut(value, "=")
		switch {
		case value == "" || key != "until" && strings.TrimSuffix(key, "!") != "label":
			return nil, fmt.Errorf("invalid --filter %q: want until=TIME, label=KEY[=VALUE] or label!=KEY[=VALUE]", f)
		case key == "until":
			t, err := parseTime(value)
			if err != nil {
				return nil, fmt.Errorf("invalid --filter %q: %w", f, err)
			}
			all = append(all, func(i image.Listed) bool { return i.Created.Before(t) })
		default:
			all = append(all, func(i image.Listed) bool {
				got, ok := i.Config.Labels[name]
				return (ok && (!exact || got == text)) != negated
			})
		}
	}
	return func(i image.Listed) bool {
		return !slices.ContainsFunc(all, func(keep func(image.Listed) bool) bool { return !keep(i) })
	}, nil
}
