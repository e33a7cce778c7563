package main

import (
	"errors"
	"fmt"
	"os"

	"github.com/proa-containers/proa/libpod"
	"github.com/urfave/cli/v2"
	"golang.org/x/sys/unix"
	"golang.org/x/term"
)

func newExecCommand(a *app) *cli.Command {
	return &cli.Command{
		Name:      "exec",
		Usage:     "run a command in a running container",
		ArgsUsage: "CONTAINER COMMAND [ARGUMENT...]",
		Flags: append(commandFlags("the container"),
			&cli.BoolFlag{Name: "interactive", Aliases: []string{"i"}, Usage: "connect standard input"},
			&cli.BoolFlag{Name: "tty", Aliases: []string{"t"}, Usage: "give the command a terminal"},
			&cli.BoolFlag{Name: "detach", Aliases: []string{"d"}, Usage: "leave the command in the background"},
			&cli.StringFlag{Name: "detach-keys", Value: "ctrl-p,ctrl-q", Usage: "`KEYS` that leave a command with a terminal in the background, empty for none"},
			&cli.IntFlag{Name: "preserve-fds", Usage: "hand `N` more descriptors to the command, from 3 on"},
			latestFlag(),
		),
		Action: func(c *cli.Context) error { return runExec(a, c) },
	}
}

// commandFlags are those of a command that is run besides the container's own, with the users and directories of place.
func commandFlags(place string) []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: "user", Aliases: []string{"u"}, Usage: "`NAME|UID[:GROUP|GID]`, as " + place + " knows them"},
		&cli.StringFlag{Name: "workdir", Aliases: []string{"w"}, Usage: "working `DIRECTORY` in " + place},
		&cli.StringSliceFlag{Name: "env", Aliases: []string{"e"}, Usage: "`KEY=VALUE`, or KEY to take it from proa's environment"},
		&cli.StringSliceFlag{Name: "env-file", Usage: "read the environment from `FILE`"},
		&cli.BoolFlag{Name: "privileged", Usage: "all capabilities of your user namespace"},
	}
}

// commandOptions are the options of commandFlags.
func commandOptions(c *cli.Context) (o libpod.ExecOptions, err error) {
	o.User, o.Cwd, o.Privileged = c.String("user"), c.String("workdir"), c.Bool("privileged")
	o.Env, err = parseEnv(c.StringSlice("env-file"), c.StringSlice("env"))
	return o, err
}

var errNoTerminal = errors.New("the input device is not a terminal: run without --tty, or from a terminal")

func runExec(a *app, c *cli.Context) error {
	if c.NArg() < 2 && !(c.NArg() == 1 && c.Bool("latest")) {
		return errors.New("exec takes a container and a command: proa exec [OPTIONS] CONTAINER COMMAND [ARGUMENT...]")
	}
	o, err := commandOptions(c)
	if err != nil {
		return err
	}
	o.Terminal, o.Detach = c.Bool("tty"), c.Bool("detach")
	if o.DetachKeys, err = parseKeys(c.String("detach-keys")); err != nil {
		return err
	}
	if o.Preserve, err = preserved(c.Int("preserve-fds")); err != nil {
		return err
	}
	fd := int(a.in.Fd())
	if o.Terminal && c.Bool("interactive") && !o.Detach && !term.IsTerminal(fd) {
		return errNoTerminal
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
	restore, err := a.raw(o)
	if err != nil {
		return err
	}
	defer restore()
	code, err := e.Exec(c.Context, ctr, o)
	return commandEnded(code, err)
}

// commandEnded maps the end of a command to proa's own.
func commandEnded(code int, err error) error {
	var start *libpod.StartError
	var wrong *libpod.WrongStateError
	switch {
	case errors.Is(err, libpod.ErrDetached):
		return nil
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

// preserved are n descriptors from 3 on, which proa got from its caller.
func preserved(n int) (files []*os.File, err error) {
	if n < 0 {
		return nil, fmt.Errorf("invalid --preserve-fds %d: a number of descriptors", n)
	}
	for fd := 3; fd < 3+n; fd++ {
		flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0)
		if err != nil || flags&unix.FD_CLOEXEC != 0 { // not there, or one of proa's own
			return nil, fmt.Errorf("invalid --preserve-fds %d: proa was started without the descriptor %d", n, fd)
		}
		files = append(files, os.NewFile(uintptr(fd), "preserved"))
	}
	return files, nil
}

// raw puts the user's terminal in raw mode where both that and the command have one.
func (a *app) raw(o libpod.ExecOptions) (restore func(), err error) {
	if !o.Terminal || o.Stdin == nil {
		return func() {}, nil
	}
	fd := int(a.in.Fd())
	old, err := term.MakeRaw(fd)
	if err != nil {
		return func() {}, fmt.Errorf("preparing the terminal: %w", err)
	}
	return func() { term.Restore(fd, old) }, nil
}
