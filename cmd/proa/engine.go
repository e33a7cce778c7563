package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/proa-containers/proa/libpod"
	"github.com/proa-containers/proa/libpod/config"
	"github.com/proa-containers/proa/libpod/initbin"
	"github.com/proa-containers/proa/libpod/rootless"
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
