package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/proa-containers/proa/libpod"
	"github.com/proa-containers/proa/libpod/config"
	"github.com/proa-containers/proa/libpod/initbin"
	"github.com/proa-containers/proa/libpod/rootless"
	"github.com/urfave/cli/v2"
)

// enter makes this process root over the user's containers; it may execute proa again, which then gets further.
func (a *app) enter() (config.Paths, error) {
	paths, err := config.Resolve(rootless.OuterUID(), rootless.Rootless())
	if err != nil {
		return paths, explain(err)
	}
	err = rootless.Enter(rootless.Options{
		RunDir: paths.RunDir,
		Init: func() (*os.File, error) {
			return initbin.Open(rootless.Holder(filepath.Join(paths.RunDir, "pause.lock")))
		},
		Warn: a.warn,
	})
	return paths, explain(err)
}

func (a *app) warn(err error) { fmt.Fprintln(a.err, "proa: warning:", explain(err)) }

// engine opens the engine for a command.
func (a *app) engine(ctx context.Context) (*libpod.Engine, error) {
	paths, err := a.enter()
	if err != nil {
		return nil, &exitError{exitEngine, err} // proa can't work at all here, whatever the command
	}
	return libpod.New(ctx, libpod.Options{Paths: paths, Cgroupfs: a.cgroupfs, Warn: a.warn})
}

// each runs fn for every container named on the command line, at least atLeast, and goes on after an error.
func (a *app) each(c *cli.Context, atLeast int, fn func(*libpod.Engine, *libpod.Container, string) error) error {
	if c.NArg() < atLeast {
		return fmt.Errorf("%s takes the name or id of at least %d container; `proa ps -a` lists them", c.Command.Name, atLeast)
	}
	e, err := a.engine(c.Context)
	if err != nil {
		return err
	}
	var errs []error
	for _, ref := range c.Args().Slice() {
		ctr, err := e.Lookup(ref)
		if err == nil {
			err = fn(e, ctr, ref)
		}
		if err != nil && !(c.Bool("force") && missing(err)) {
			errs = append(errs, err)
		}
	}
	if len(errs) > 0 {
		// Docker's status for an object command that failed, apart from run's own 125.
		return &exitError{1, errors.Join(errs...)}
	}
	return nil
}
