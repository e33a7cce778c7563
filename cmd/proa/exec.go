package main

import (
	"errors"
	"fmt"
	"os"

	"github.com/proa-containers/proa/libpod"
	"github.com/urfave/cli/v2"
	"golang.org/x/term"
)

func newExecCommand(a *app) *cli.Command {
	return &cli.Command{
		Name:      "exec",
		Usage:     "run a command in a running container",
		ArgsUsage: "CONTAINER COMMAND [ARGUMENT...]",
		Flags: []cli.Flag{
			&cli.BoolFlag{Name: "interactive", Aliases: []string{"i"}, Usage: "connect standard input"},
			&cli.BoolFlag{Name: "tty", Aliases: []string{"t"}, Usage: "give the command a terminal"},
			&cli.BoolFlag{Name: "detach", Aliases: []string{"d"}, Usage: "leave the command in the background"},
			&cli.StringFlag{Name: "user", Aliases: []string{"u"}, Usage: "`NAME|UID[:GROUP|GID]`, as the container knows them"},
			&cli.StringFlag{Name: "workdir", Aliases: []string{"w"}, Usage: "working `DIRECTORY` in the container"},
			&cli.StringSliceFlag{Name: "env", Aliases: []string{"e"}, Usage: "`KEY=VALUE`, or KEY to take it from proa's environment"},
			&cli.StringSliceFlag{Name: "env-file", Usage: "read the environment from `FILE`"},
			&cli.BoolFlag{Name: "privileged", Usage: "all capabilities of your user namespace"},
			latestFlag(),
		},
		Action: func(c *cli.Context) error { return runExec(a, c) },
	}
}

func runExec(a *app, c *cli.Context) error {
	if c.NArg() < 2 && !(c.NArg() == 1 && c.Bool("latest")) {
		return errors.New("exec takes a container and a command: proa exec [OPTIONS] CONTAINER COMMAND [ARGUMENT...]")
	}
	o := libpod.ExecOptions{
		User: c.String("user"), Cwd: c.String("workdir"), Privileged: c.Bool("privileged"),
		Terminal: c.Bool("tty"), Detach: c.Bool("detach"),
	}
	var err error
	if o.Env, err = parseEnv(c.StringSlice("env-file"), c.StringSlice("env")); err != nil {
		return err
	}
	fd := int(a.in.Fd())
	if o.Terminal && c.Bool("interactive") && !o.Detach && !term.IsTerminal(fd) {
		return errors.New("the input device is not a terminal: run without --tty, or from a terminal")
	}
	e, err := a.engine(c.Context)
	if err != nil {
		return err
	}
	ctr, args, err := oneContainer(c, e)
	o.Args = args
	if err != nil {
		return &exitError{1, err}
	}
	if !o.Detach {
		if c.Bool("interactive") {
			o.Stdin = a.in
		}
		o.Stdout, o.Stderr = os.Stdout, os.Stderr
		o.Size = terminalSize(fd)
	}
	code, err := execSession(a, c, e, ctr, o)
	var start *libpod.StartError
	var wrong *libpod.WrongStateError
	switch {
	case errors.As(err, &start):
		return &exitError{start.Code, err}
	case errors.As(err, &wrong):
		return &exitError{1, err}
	case err != nil:
		return err
	case code != 0:
		return &exitError{code: code}
	}
	return nil
}

// execSession runs the command with the user's terminal in raw mode where both have one.
func execSession(a *app, c *cli.Context, e *libpod.Engine, ctr *libpod.Container, o libpod.ExecOptions) (int, error) {
	if o.Terminal && o.Stdin != nil {
		old, err := term.MakeRaw(int(a.in.Fd()))
		if err != nil {
			return 0, fmt.Errorf("preparing the terminal: %w", err)
		}
		defer term.Restore(int(a.in.Fd()), old)
	}
	return e.Exec(c.Context, ctr, o)
}
