package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/proa-containers/proa/libpod"
	"github.com/urfave/cli/v2"
)

// How many containers a command works on together. A stop does nothing but wait for most of its time.
const (
	removesAtOnce = 8
	stopsAtOnce   = 50
)

// chosen is a container of a command line, and what the command calls it in its output.
type chosen struct {
	*libpod.Container
	ref string
}

// fits tells whether --all or --filter of a command mean a container.
type fits func(libpod.Listed) bool

func inState(states ...libpod.State) fits {
	return func(l libpod.Listed) bool { return slices.Contains(states, l.Status.State) }
}

// up is every state but those of containers that never ran or have ended.
func up(l libpod.Listed) bool { return !inState(libpod.Created, libpod.Exited)(l) }

// chooseFlags choose containers otherwise than by name; --all differs from command to command.
func chooseFlags(filterAliases ...string) []cli.Flag {
	return []cli.Flag{
		&cli.StringSliceFlag{Name: "filter", Aliases: filterAliases, Usage: "those with `KEY=VALUE`, as ps has them"},
		latestFlag(),
		cidfilesFlag(),
	}
}

func latestFlag() cli.Flag {
	return &cli.BoolFlag{Name: "latest", Aliases: []string{"l"}, Usage: "the container that was made last"}
}

func cidfilesFlag() cli.Flag {
	return &cli.StringSliceFlag{Name: "cidfile", Usage: "the container whose id is in `FILE`, as --cidfile of run writes it"}
}

func ignoreFlag() cli.Flag {
	return &cli.BoolFlag{Name: "ignore", Aliases: []string{"i"}, Usage: "do not complain of containers that are not there"}
}

func allFlag(usage string, aliases ...string) cli.Flag {
	return &cli.BoolFlag{Name: "all", Aliases: aliases, Usage: usage}
}

// oneContainer is the container that --latest or else the first argument names, and the arguments behind it.
func oneContainer(c *cli.Context, e *libpod.Engine) (*libpod.Container, []string, error) {
	args := c.Args().Slice()
	if !c.Bool("latest") {
		ctr, err := e.Lookup(args[0])
		return ctr, args[1:], err
	}
	list, err := e.List(c.Context)
	if err == nil && len(list) == 0 {
		err = errNoLatest
	}
	if err != nil {
		return nil, nil, err
	}
	return list[0].Container, args, nil
}

var errNoLatest = errors.New("--latest: there is no container")

// checkChoice refuses a command line that chooses no container, or chooses in two ways that contradict each other.
func checkChoice(c *cli.Context) error {
	name := c.Command.Name
	named := c.Args().Present() || len(c.StringSlice("cidfile")) > 0
	var others []string
	for _, f := range []string{"all", "running", "filter", "latest"} {
		if c.IsSet(f) && (c.Bool(f) || len(c.StringSlice(f)) > 0) {
			others = append(others, "--"+f)
		}
	}
	switch {
	case named && len(others) > 0:
		return fmt.Errorf("%s takes either %s or the names of containers, not both", name, others[0])
	case c.Bool("latest") && len(others) > 1, c.Bool("all") && c.Bool("running"):
		return fmt.Errorf("%s takes either %s or %s, not both", name, others[0], others[len(others)-1])
	case !named && len(others) == 0:
		return fmt.Errorf("%s takes the name or id of at least 1 container; `proa ps -a` lists them", name)
	}
	return nil
}

// choose finds the containers of a command line. Errors about single ones are in errs: the others are worked on.
func choose(c *cli.Context, e *libpod.Engine, all fits) (list []chosen, errs []error, err error) {
	if c.Args().Present() || len(c.StringSlice("cidfile")) > 0 {
		list, errs = chooseNamed(c, e)
		return list, errs, nil
	}
	keep, err := parseContainerFilters(c.Context, e, c.StringSlice("filter"))
	if err != nil {
		return nil, nil, err
	}
	found, err := e.List(c.Context)
	if err != nil {
		return nil, nil, err
	}
	if c.Bool("latest") {
		if len(found) == 0 {
			return nil, nil, errNoLatest
		}
		found, all = found[:1], func(libpod.Listed) bool { return true }
	}
	for _, l := range found {
		if all(l) && keep(l) {
			list = append(list, chosen{l.Container, l.ID})
		}
	}
	return list, nil, nil
}

func chooseNamed(c *cli.Context, e *libpod.Engine) (list []chosen, errs []error) {
	// wait --ignore has an answer for those that are missing, the others have none.
	answered := c.Command.Name == "wait"
	ignored := func(err error) bool {
		return (c.Bool("ignore") || c.Bool("force")) && (missing(err) || errors.Is(err, os.ErrNotExist))
	}
	refs := c.Args().Slice()
	for _, file := range c.StringSlice("cidfile") {
		b, err := os.ReadFile(file)
		if err == nil {
			refs = append(refs, strings.TrimSpace(string(b)))
		} else if !ignored(err) {
			errs = append(errs, fmt.Errorf("reading --cidfile: %w", err))
		}
	}
	for _, ref := range refs {
		ctr, err := e.Lookup(ref)
		if err == nil || answered && ignored(err) {
			list = append(list, chosen{ctr, ref})
		} else if !ignored(err) {
			errs = append(errs, err)
		}
	}
	return list, errs
}

// eachChosen runs do on every container of the command line, limit of them together, and prints what do returns in the
// order of the command line. It goes on after an error; the exit code is then Docker's 1.
func (a *app) eachChosen(c *cli.Context, all fits, limit int, do func(*libpod.Engine, chosen) (string, error)) error {
	if err := checkChoice(c); err != nil {
		return &exitError{1, err}
	}
	e, err := a.engine(c.Context)
	if err != nil {
		return &exitError{1, err}
	}
	list, errs, err := choose(c, e, all)
	if err != nil {
		return &exitError{1, err}
	}
	return a.inOrder(c.Context, list, errs, limit, func(t chosen) (string, error) { return do(e, t) })
}

// inOrder is the second half of eachChosen.
func (a *app) inOrder(ctx context.Context, list []chosen, errs []error, limit int, do func(chosen) (string, error)) error {
	type outcome struct {
		text string
		err  error
	}
	outcomes := make([]chan outcome, len(list))
	for i := range outcomes {
		outcomes[i] = make(chan outcome, 1)
	}
	go func() {
		slots := make(chan struct{}, limit)
		for i, t := range list {
			slots <- struct{}{}
			go func() {
				text, err := do(t)
				outcomes[i] <- outcome{text, err}
				<-slots
			}()
		}
	}()
	for _, c := range outcomes {
		o := <-c
		if ctx.Err() != nil {
			return &exitError{1, ctx.Err()}
		}
		if o.err != nil {
			errs = append(errs, o.err)
		} else if o.text != "" {
			fmt.Fprintln(a.out, o.text)
		}
	}
	if len(errs) > 0 {
		return &exitError{1, errors.Join(errs...)}
	}
	return nil
}

// objectErrors gives what a command returns Docker's exit code for commands on objects, 1; it had none of its own.
func objectErrors(run func(*cli.Context) error) cli.ActionFunc {
	return func(c *cli.Context) error {
		err := run(c)
		var e *exitError
		if err == nil || errors.As(err, &e) {
			return err
		}
		return &exitError{1, err}
	}
}

// one finds the only container of a command line, named or by --latest, and returns the arguments behind it.
func one(c *cli.Context, e *libpod.Engine) (ctr *libpod.Container, rest []string, err error) {
	if !c.Bool("latest") {
		ctr, err = e.Lookup(c.Args().First())
		return ctr, c.Args().Tail(), err
	}
	ctr, err = latestOf(c.Context, e)
	return ctr, c.Args().Slice(), err
}

func latestOf(ctx context.Context, e *libpod.Engine) (*libpod.Container, error) {
	list, err := e.List(ctx)
	if err == nil && len(list) == 0 {
		err = errors.New("--latest: there is no container")
	}
	if err != nil {
		return nil, err
	}
	return list[0].Container, nil
}

// oneCount refuses a command line without a container, or with more than more arguments behind it.
func oneCount(c *cli.Context, more int, want string) error {
	least := 1
	if c.Bool("latest") {
		least = 0
	}
	if n := c.NArg(); n < least || n > least+more {
		return fmt.Errorf("%s takes %s, not %d arguments", c.Command.Name, want, n)
	}
	return nil
}
