package main

import (
	"errors"
	"fmt"

	"github.com/proa-containers/proa/libpod"
	"github.com/proa-containers/proa/oci/spec"
	"github.com/urfave/cli/v2"
)

func newUpdateCommand(a *app) *cli.Command {
	return &cli.Command{
		Name:      "update",
		Usage:     "change the limits, the restart policy and the health check of containers, at once of those that run",
		ArgsUsage: "CONTAINER [CONTAINER...]",
		Flags:     append(updateFlags(), latestFlag()),
		Action:    objectErrors(func(c *cli.Context) error { return runUpdate(a, c) }),
	}
}

func updateFlags() []cli.Flag {
	return append(append(resourceFlags(), restartFlag()), healthFlags()...)
}

func runUpdate(a *app, c *cli.Context) error {
	if !anySet(c, updateFlags()) {
		return errors.New("update takes at least one option to change, as --memory 512m; `proa update --help` lists them")
	}
	// What is wrong for every container is said once; swap alone goes with the memory that each has.
	if c.IsSet("memory") || !c.IsSet("memory-swap") {
		if err := updateLimits(c, &spec.Resources{}); err != nil {
			return err
		}
	}
	if err := errors.Join(parseRestart(c, &libpod.Container{}), parseHealth(c, &libpod.Container{})); err != nil {
		return err
	}
	return a.eachChosen(c, nil, 1, func(e *libpod.Engine, t chosen) (string, error) {
		return t.ref, e.Update(c.Context, t.Container, func(ctr *libpod.Container) error {
			return errors.Join(parseRestart(c, ctr), updateHealth(c, ctr), updateLimits(c, &ctr.Config.Resources))
		})
	})
}

func anySet(c *cli.Context, flags []cli.Flag) bool {
	for _, f := range flags {
		if c.IsSet(f.Names()[0]) {
			return true
		}
	}
	return false
}

// updateHealth changes what the command line names, and leaves the rest of the health check as it is.
func updateHealth(c *cli.Context, ctr *libpod.Container) error {
	if !anySet(c, healthFlags()) {
		return nil
	}
	if err := parseHealth(c, ctr); err != nil {
		return err
	}
	if !c.Bool("no-healthcheck") && !ctr.Config.Health.Checks() {
		return libpod.ErrNoHealth
	}
	return nil
}

// updateLimits changes what the command line names.
func updateLimits(c *cli.Context, r *spec.Resources) error {
	if err := parseResources(c, r); err != nil {
		return err
	}
	if r.Memory == 0 {
		r.MemorySwap = 0 // it includes the memory
	}
	if r.MemorySwap > 0 && r.MemorySwap < r.Memory {
		return fmt.Errorf("--memory %s is more than the memory and swap that the container may use together; give --memory-swap too", c.String("memory"))
	}
	return nil
}
