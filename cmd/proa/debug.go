package main

import (
	"errors"
	"fmt"
	"os"

	"github.com/proa-containers/proa/image"
	"github.com/proa-containers/proa/libpod"
	"github.com/urfave/cli/v2"
	"golang.org/x/term"
)

// defaultToolbox is for a container whose own image has no shell.
const defaultToolbox = "docker.io/library/busybox:latest"

func newDebugCommand(a *app) *cli.Command {
	return &cli.Command{
		Name:      "debug",
		Usage:     "run a shell beside a container, with tools of another image",
		ArgsUsage: "CONTAINER [OPTION...] [COMMAND [ARGUMENT...]]",
		Description: "The session has the container's namespaces, privileges and limits, and the root of a toolbox, an image: " +
			"that of --image; without it the container's own, as it was pulled, or " + defaultToolbox + " if that has no shell. The container's files are " +
			"at " + libpod.DebugRoot + ", read-only without --writable. What is changed in the toolbox is in memory, and goes with the session. A container that " +
			"does not run stays so: its session has namespaces of its own, without a network but the host's if the container has that.",
		Flags: append(commandFlags("the toolbox"),
			&cli.StringFlag{Name: "image", Usage: "`IMAGE` of the tools"},
			&cli.BoolFlag{Name: "writable", Usage: "let the session change the container's files, below " + libpod.DebugRoot + "; one that does not run can't be started or removed meanwhile"},
			&cli.BoolFlag{Name: "interactive", Aliases: []string{"i"}, Usage: "connect standard input (default: if it is a terminal, or for a shell)"},
			&cli.BoolFlag{Name: "tty", Aliases: []string{"t"}, Usage: "give the command a terminal (default: if standard input and output are one)"},
			pullFlag(),
			&cli.BoolFlag{Name: "quiet", Aliases: []string{"q"}, Usage: "no progress of a pull, and no word about the session"},
			latestFlag(),
		),
		Action: func(c *cli.Context) error { return runDebug(a, c) },
	}
}

func runDebug(a *app, c *cli.Context) error {
	if c.NArg() == 0 && !c.Bool("latest") {
		return errors.New("debug takes a container: proa debug CONTAINER [OPTION...] [COMMAND [ARGUMENT...]]")
	}
	o, err := debugOptions(a, c)
	if err != nil {
		return err
	}
	e, err := a.engine(c.Context)
	if err != nil {
		return err
	}
	ctr, args, err := oneContainer(c, e)
	if err != nil {
		return &exitError{1, err}
	}
	if err := e.CheckDebug(ctr, o.Writable); err != nil {
		return &exitError{1, err}
	}
	o.Args = args
	a.connect(c, &o)
	if o.Terminal && o.Stdin != nil && !term.IsTerminal(int(a.in.Fd())) {
		return errNoTerminal
	}
	if o.Toolbox, o.Name, err = a.toolbox(c, e, ctr); err != nil {
		return err
	}
	restore := func() {}
	o.Ready = func() (err error) {
		if len(args) == 0 && o.Terminal && !c.Bool("quiet") {
			a.sayWhere(ctr, o)
		}
		restore, err = a.raw(o.ExecOptions)
		return err
	}
	code, err := e.Debug(c.Context, ctr, o)
	restore()
	return commandEnded(code, err)
}

// sayWhere tells who sits down at a shell what is what.
func (a *app) sayWhere(ctr *libpod.Container, o libpod.DebugOptions) {
	access := "read-only"
	if o.Writable {
		access = "writable"
	}
	fmt.Fprintf(a.err, "proa: the files of container %q are at %s, %s; all others are those of toolbox %q, and what changes there goes with this shell\n", ctr.Name, libpod.DebugRoot, access, o.Name)
}

// debugOptions are those that are known before the container is.
func debugOptions(a *app, c *cli.Context) (o libpod.DebugOptions, err error) {
	if o.ExecOptions, err = commandOptions(c); err != nil {
		return o, err
	}
	if c.IsSet("image") && c.String("image") == "" {
		return o, errors.New(`invalid --image "": name an image with the tools`)
	}
	if err := checkPull(c); err != nil {
		return o, err
	}
	if c.String("pull") == "always" && !c.IsSet("image") {
		return o, errors.New("--pull always is about the image of --image: name one")
	}
	o.Writable = c.Bool("writable")
	return o, nil
}

// connect gives the command the streams of proa, and a terminal where proa has one, unless it is told otherwise.
func (a *app) connect(c *cli.Context, o *libpod.DebugOptions) {
	fd := int(a.in.Fd())
	terminal, shell := term.IsTerminal(fd), len(o.Args) == 0
	o.Terminal = terminal && isTerminal(a.out)
	if c.IsSet("tty") {
		o.Terminal = c.Bool("tty")
	}
	interactive := terminal || shell
	if c.IsSet("interactive") {
		interactive = c.Bool("interactive")
	}
	if interactive {
		o.Stdin = a.in
	}
	o.Stdout, o.Stderr, o.Size = os.Stdout, os.Stderr, terminalSize(fd)
}

// toolbox is the image of a session's tools, and its name.
func (a *app) toolbox(c *cli.Context, e *libpod.Engine, ctr *libpod.Container) (*image.Image, string, error) {
	name := c.String("image")
	if name == "" {
		img, err := e.OwnToolbox(ctr)
		if img != nil && err == nil {
			return img, ctr.Image, nil
		}
		if err != nil && !errors.Is(err, image.ErrNotFound) {
			return nil, "", err
		}
		name = defaultToolbox
	}
	img, err := a.findImage(c, e, name, nil)
	return img, name, err
}
