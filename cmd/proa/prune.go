package main

import (
	"bufio"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/docker/go-units"
	"github.com/proa-containers/proa/libpod"
	"github.com/urfave/cli/v2"
)

func newContainerPruneCommand(a *app) *cli.Command {
	return &cli.Command{
		Name:  "prune",
		Usage: "remove all containers that do not run",
		Flags: []cli.Flag{
			&cli.BoolFlag{Name: "force", Aliases: []string{"f"}, Usage: "do not ask"},
			&cli.StringSliceFlag{Name: "filter", Usage: "only those with `KEY=VALUE`: until=TIME, label=KEY[=VALUE] or label!=KEY[=VALUE]"},
		},
		Action: objectErrors(func(c *cli.Context) error { return runContainerPrune(a, c) }),
	}
}

func runContainerPrune(a *app, c *cli.Context) error {
	if c.Args().Present() {
		return fmt.Errorf("prune takes no arguments, but has %q", c.Args().First())
	}
	for _, f := range c.StringSlice("filter") {
		if key, _, _ := strings.Cut(f, "="); !slices.Contains([]string{"until", "label", "label!"}, key) {
			return fmt.Errorf("invalid --filter %q: want until=TIME, label=KEY[=VALUE] or label!=KEY[=VALUE]", f)
		}
	}
	keep, err := parseContainerFilters(c.Context, nil, c.StringSlice("filter")) // none of them looks anything up
	if err != nil {
		return err
	}
	if !c.Bool("force") && !a.confirm("This removes all containers that do not run, with what they wrote. Go on? [y/N] ") {
		return errors.New("nothing was removed")
	}
	e, err := a.engine(c.Context)
	if err != nil {
		return err
	}
	list, err := e.List(c.Context)
	if err != nil {
		return err
	}
	ended := inState(libpod.Created, libpod.Exited)
	list = slices.DeleteFunc(list, func(l libpod.Listed) bool { return !ended(l) || !keep(l) })
	sizes, err := e.Sizes(c.Context, list)
	if err != nil {
		return err
	}
	return prune(a, c, e, list, sizes)
}

// prune removes the containers and prints what Docker does.
func prune(a *app, c *cli.Context, e *libpod.Engine, list []libpod.Listed, sizes map[string]libpod.Size) error {
	var gone []chosen
	for _, l := range list {
		gone = append(gone, chosen{l.Container, l.ID})
	}
	if len(gone) > 0 {
		fmt.Fprintln(a.out, "Deleted Containers:")
	}
	freed := make(chan int64, len(gone))
	err := a.inOrder(c.Context, gone, nil, removesAtOnce, func(t chosen) (string, error) {
		err := e.Remove(c.Context, t.Container, false)
		var wrong *libpod.WrongStateError
		if missing(err) || errors.As(err, &wrong) { // removed or started meanwhile: it is not one of those any more
			return "", nil
		}
		if err == nil {
			freed <- sizes[t.ID].Written
		}
		return t.ref, err
	})
	if len(gone) > 0 {
		fmt.Fprintln(a.out)
	}
	var total int64
	for range len(freed) {
		total += <-freed
	}
	fmt.Fprintln(a.out, "Total reclaimed space:", units.HumanSize(float64(total)))
	return err
}

// confirm asks on standard output and takes y or yes for an answer.
func (a *app) confirm(question string) bool {
	fmt.Fprint(a.out, question)
	line, _ := bufio.NewReader(a.in).ReadString('\n')
	answer := strings.ToLower(strings.TrimSpace(line))
	return answer == "y" || answer == "yes"
}
