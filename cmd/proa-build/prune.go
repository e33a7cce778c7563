package main

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/docker/go-units"
	"github.com/urfave/cli/v2"

	"github.com/proa-containers/proa/build/layers"
)

func newPrune(a *app) *cli.Command {
	return &cli.Command{
		Name:      "prune",
		Usage:     "remove what builds have kept for the next ones",
		ArgsUsage: " ",
		Flags: []cli.Flag{
			&cli.BoolFlag{Name: "all", Aliases: []string{"a"}, Usage: "what was used a moment ago, and the files of cache mounts, too"},
			&cli.StringFlag{Name: "filter", Usage: "only what was not used for a `TIME`: until=24h"},
			&cli.BoolFlag{Name: "force", Aliases: []string{"f"}, Usage: "do not ask; nothing is asked anyway"},
			&cli.StringFlag{Name: "keep-storage", Aliases: []string{"max-used-space"}, Usage: "keep what was used last, up to a `SIZE`"},
		},
		Action: func(c *cli.Context) error { return runPrune(a, c) },
	}
}

func runPrune(a *app, c *cli.Context) error {
	if c.NArg() != 0 {
		return errors.New("builder prune takes no argument")
	}
	o := layers.PruneOptions{All: c.Bool("all")}
	var err error
	if o.Age, err = parseUntil(c.String("filter")); err != nil {
		return err
	}
	if v := c.String("keep-storage"); v != "" {
		if o.Keep, err = units.RAMInBytes(v); err != nil || o.Keep < 0 {
			return fmt.Errorf("--keep-storage %q: want a size, as 10g", v)
		}
	}
	s, err := a.store(c)
	if err != nil {
		return err
	}
	freed, err := layers.Prune(c.Context, s, o)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(a.out, "Total reclaimed space: %s\n", units.HumanSize(float64(freed)))
	return err
}

// parseUntil reads --filter until=DURATION.
func parseUntil(s string) (time.Duration, error) {
	if s == "" {
		return 0, nil
	}
	v, ok := strings.CutPrefix(s, "until=")
	d, err := time.ParseDuration(v)
	if !ok || err != nil || d < 0 {
		return 0, fmt.Errorf("--filter %q: want until=DURATION, as until=24h", s)
	}
	return d, nil
}
