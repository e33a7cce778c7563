// Package main is proa-build: it builds images from Dockerfiles. It holds everything that links BuildKit, so that proa's
// own commands and proa-image start without it. proa executes it inside the user's namespace, in a mount namespace of its
// own, with the words of its own command line.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime/debug"
	"slices"
	"strings"
	"syscall"

	"github.com/sirupsen/logrus"
	"github.com/urfave/cli/v2"
	"golang.org/x/sys/unix"

	"github.com/proa-containers/proa/internal/argv"
	"github.com/proa-containers/proa/internal/manual"
	"github.com/proa-containers/proa/libpod/config"
	"github.com/proa-containers/proa/libpod/rootless"
	"github.com/proa-containers/proa/storage"
)

// app is what every command constructor receives.
type app struct {
	in       *os.File
	out, err *os.File
	paths    config.Paths
}

// exitError ends proa-build with a code; what was wrong has been said.
type exitError struct{ code int }

func (e *exitError) Error() string { return fmt.Sprintf("exit status %d", e.code) }

// store opens the store that the flags and storage.conf name.
func (a *app) store(c *cli.Context) (*storage.Store, error) {
	if os.Geteuid() != 0 {
		return nil, errors.New("proa-build is started by proa, inside the user namespace; use proa build")
	}
	var err error
	if a.paths, err = config.Resolve(rootless.OuterUID(), rootless.Rootless()); err != nil {
		return nil, err
	}
	return storage.Open(c.Context, storage.Options{Rootless: rootless.Inside(), OuterUID: rootless.OuterUID()})
}

func newApp(a *app) *cli.App {
	cli.HelpFlag = &cli.BoolFlag{Name: "help", Usage: "show help"}
	out := &cli.App{
		Name:                      "proa-build",
		HelpName:                  "proa", // what its users type
		Usage:                     "build images from Dockerfiles",
		Commands:                  []*cli.Command{newBuild(a), newPrune(a), manual.New()},
		Writer:                    a.out,
		ErrWriter:                 a.err,
		DisableSliceFlagSeparator: true,
		HideHelpCommand:           true,
		ExitErrHandler:            func(*cli.Context, error) {},
	}
	for _, c := range out.Commands {
		c.HideHelpCommand = true
		c.OnUsageError = func(c *cli.Context, err error, _ bool) error {
			return usage(err)
		}
	}
	return out
}

// absent are options of Docker, Buildx and Podman that are not there yet.
var absent = strings.Fields("annotation attest builder cache-from cache-to cap-add cap-drop cgroup-parent cpu-period cpu-quota cpu-shares cpus " +
	"cpuset-cpus cpuset-mems cw device dns dns-option dns-search env http-proxy identity-label ignorefile inherit-labels isolation layer-label " +
	"logfile manifest memory memory-swap os-feature os-version policy push retry retry-delay security-opt unsetenv userns volume")

// usage names an option that users of those programs know, and any other as unknown.
func usage(err error) error {
	_, name, _ := strings.Cut(err.Error(), "flag provided but not defined: -")
	if name = strings.TrimLeft(name, "-"); slices.Contains(absent, name) {
		return fmt.Errorf("--%s is not supported yet; see docs/build.md for what is", name)
	}
	return fmt.Errorf("%w; see `proa build --help`", err)
}

func main() {
	if storage.Reexec() {
		return
	}
	logrus.SetOutput(io.Discard) // the libraries log what they also return
	unix.Umask(0o022)            // the user's is no part of what is built
	debug.SetGCPercent(100)
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	context.AfterFunc(ctx, stop) // a second Ctrl-C does not wait for the cleaning up; the next build does that then
	a := &app{in: os.Stdin, out: os.Stdout, err: os.Stderr}
	cmds := newApp(a)
	err := cmds.RunContext(ctx, argv.Canonical(cmds, os.Args))
	stop()
	var exit *exitError
	if errors.As(err, &exit) {
		os.Exit(exit.code)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "proa:", err)
		os.Exit(125)
	}
}
