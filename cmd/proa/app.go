// Package main is the proa command line: it parses and validates arguments, calls the engine and prints.
// It runs as the invoking user, inside the user namespace kept by the pause process (see libpod/rootless).
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/proa-containers/proa/internal/argv"
	"github.com/proa-containers/proa/storage"
	"github.com/sirupsen/logrus"
	"github.com/urfave/cli/v2"
)

// Exit codes of proa's own errors, as Docker's.
const (
	exitEngine       = 125 // proa itself
	exitNotInvokable = 126 // the command was found and can't be run
	exitNotFound     = 127 // the command was not found in the container
)

// app is what every command constructor receives.
type app struct {
	in       *os.File
	out, err io.Writer
	cgroupfs bool // --cgroup-manager cgroupfs
}

// exitError ends proa with a code; a nil err prints nothing.
type exitError struct {
	code int
	err  error
}

func (e *exitError) Error() string {
	if e.err == nil {
		return fmt.Sprintf("exit status %d", e.code)
	}
	return e.err.Error()
}
func (e *exitError) Unwrap() error { return e.err }

// exitCode is the process's exit status for err.
func exitCode(err error) int {
	var e *exitError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &e):
		return e.code
	default:
		return exitEngine
	}
}

func newApp(a *app) *cli.App {
	// The library's own -h would collide with run's --hostname.
	cli.HelpFlag = &cli.BoolFlag{Name: "help", Usage: "show help"}
	out := &cli.App{
		Name:                      "proa",
		Usage:                     "run containers without root and without a daemon",
		Commands:                  commands(a),
		Writer:                    a.out,
		ErrWriter:                 a.err,
		DisableSliceFlagSeparator: true,
		HideHelpCommand:           true,
		HideVersion:               true,
		ExitErrHandler:            func(*cli.Context, error) {},
		OnUsageError:              usageError,
		Flags: []cli.Flag{
			&cli.BoolFlag{Name: "version", Aliases: []string{"v"}, Usage: "print the version"},
			&cli.StringFlag{Name: "runtime", Usage: "the `RUNTIME` of the containers that the command makes, as with its own --runtime"},
			&cli.StringFlag{Name: "cgroup-manager", Value: "systemd", Usage: "`MANAGER` of cgroups: systemd, where it runs, or cgroupfs, proa alone"},
		},
		Before: func(c *cli.Context) error {
			m := c.String("cgroup-manager")
			if m != "systemd" && m != "cgroupfs" {
				return fmt.Errorf("invalid --cgroup-manager %q: systemd or cgroupfs", m)
			}
			a.cgroupfs = m == "cgroupfs"
			return nil
		},
		Action: func(c *cli.Context) error {
			if c.Bool("version") {
				_, err := fmt.Fprintln(a.out, "proa version", version)
				return err
			}
			if c.Args().Present() {
				return unknownCommand(c.Args().First(), "proa", c.App.Commands)
			}
			return cli.ShowAppHelp(c)
		},
	}
	prepare(out.Commands)
	return out
}

// prepare makes every command treat its arguments as docker does.
func prepare(list []*cli.Command) {
	for _, c := range list {
		c.OnUsageError, c.HideHelpCommand = usageError, true
		if len(c.Subcommands) > 0 {
			c.Action = func(ctx *cli.Context) error {
				if ctx.Args().Present() {
					return unknownCommand(ctx.Args().First(), "proa "+ctx.Command.Name, ctx.Command.Subcommands)
				}
				return cli.ShowSubcommandHelp(ctx)
			}
		}
		prepare(c.Subcommands)
	}
}

func main() {
	if storage.Reexec() { // a layer is being unpacked
		return
	}
	logrus.SetLevel(logrus.ErrorLevel) // the store's library tells of every repair it makes
	a := &app{in: os.Stdin, out: os.Stdout, err: os.Stderr}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	cmds := newApp(a)
	err := cmds.RunContext(ctx, argv.Canonical(cmds, os.Args))
	stop()
	var e *exitError
	if err != nil && (!errors.As(err, &e) || e.err != nil) {
		fmt.Fprintln(a.err, "proa:", err)
	}
	os.Exit(exitCode(err))
}
