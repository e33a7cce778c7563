package main

import (
	"errors"
	"fmt"
	"time"

	"github.com/proa-containers/proa/storage"
	"github.com/urfave/cli/v2"
)

func newSystemCommand(a *app) *cli.Command {
	return &cli.Command{
		Name:        "system",
		Usage:       "look after proa itself",
		Subcommands: []*cli.Command{newSystemBootCommand(a), newSystemCheckCommand(a)},
	}
}

// newSystemCheckCommand has Podman's options.
func newSystemCheckCommand(a *app) *cli.Command {
	return &cli.Command{
		Name:  "check",
		Usage: "compare what is recorded of images and containers with what is on disk",
		Description: "It prints what is damaged, or is there without what it belongs to, and exits with 1 if there is anything of the kind.\n\n" +
			"A repair removes damaged images, which can be pulled again, and what belongs to nothing; damaged containers, those of other tools included, only with --force.",
		Flags: []cli.Flag{
			&cli.BoolFlag{Name: "quick", Aliases: []string{"q"}, Usage: "do not read every layer to compare its digest"},
			&cli.BoolFlag{Name: "repair", Aliases: []string{"r"}, Usage: "remove what is damaged and what belongs to nothing"},
			&cli.BoolFlag{Name: "force", Aliases: []string{"f"}, Usage: "with --repair, remove damaged containers too"},
			&cli.DurationFlag{Name: "max", Aliases: []string{"m"}, Value: 24 * time.Hour, Usage: "`AGE` that a layer of no image and no container may reach, as one that is being pulled"},
		},
		Action: func(c *cli.Context) error { return runSystemCheck(a, c) },
	}
}

func runSystemCheck(a *app, c *cli.Context) error {
	if c.Args().Present() {
		return fmt.Errorf("system check takes no argument, not %q", c.Args().First())
	}
	if c.Bool("force") && !c.Bool("repair") {
		return errors.New("--force says what --repair removes; give both")
	}
	e, err := a.engine(c.Context)
	if err != nil {
		return err
	}
	s, err := e.Store()
	if err != nil {
		return err
	}
	orphans, err := e.Orphans(c.Context)
	if err != nil {
		return err
	}
	report, err := s.Check(c.Context, storage.CheckOptions{Quick: c.Bool("quick"), MaxAge: c.Duration("max")})
	if err != nil {
		return err
	}
	damaged := 0
	for _, o := range orphans {
		fmt.Fprintf(a.out, "%s %.12s: %v\n", o.Kind, o.ID, o.Err)
		if o.Kind == "container" {
			damaged++
		}
	}
	for _, p := range report.Problems {
		fmt.Fprintf(a.out, "%s %.12s: %v\n", p.Kind, p.ID, p.Err)
		if p.Kind == "container" {
			damaged++
		}
	}
	switch {
	case len(orphans)+len(report.Problems) == 0:
		return nil
	case !c.Bool("repair"):
		return &exitError{1, errors.New("the store is damaged: `proa system check --repair` removes what is listed above")}
	}
	var errs []error
	for _, o := range orphans {
		if o.Kind != "container" || c.Bool("force") {
			errs = append(errs, e.Mend(o))
		}
	}
	errs = append(errs, report.Repair(c.Context, c.Bool("force")))
	if damaged > 0 && !c.Bool("force") {
		errs = append(errs, fmt.Errorf("%d damaged containers were left: --force removes them, with what they wrote", damaged))
	}
	if err := errors.Join(errs...); err != nil {
		return &exitError{1, err}
	}
	return nil
}
