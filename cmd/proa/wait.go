package main

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/proa-containers/proa/libpod"
	"github.com/urfave/cli/v2"
)

// waitConditions are what --condition knows, in Docker's and Podman's words.
const waitConditions = "configured, created, exited, healthy, initialized, not-running, paused, removed, running, stopped or unhealthy"

func newWaitCommand(a *app) *cli.Command {
	return &cli.Command{
		Name:      "wait",
		Usage:     "wait until containers end and print their exit codes",
		ArgsUsage: "CONTAINER [CONTAINER...]",
		Flags: []cli.Flag{
			&cli.StringSliceFlag{Name: "condition", Usage: "wait until a container is `STATE` in place of stopped, one of several if given several times: " + waitConditions},
			&cli.StringFlag{Name: "interval", Usage: "look every `DURATION`, as 250ms or 2s, for what the kernel does not announce (default: 250ms)"},
			&cli.BoolFlag{Name: "ignore", Usage: "print -1 for containers that are not there"},
			latestFlag(), cidfilesFlag(),
		},
		Action: objectErrors(func(c *cli.Context) error { return runWait(a, c) }),
	}
}

type waitOptions struct {
	conditions []string
	interval   time.Duration
	ignore     bool
}

func parseWait(c *cli.Context) (waitOptions, error) {
	o := waitOptions{conditions: c.StringSlice("condition"), interval: 250 * time.Millisecond, ignore: c.Bool("ignore")}
	for _, w := range o.conditions {
		if !slices.Contains(strings.Split(strings.ReplaceAll(waitConditions, " or ", ", "), ", "), w) {
			return o, fmt.Errorf("invalid --condition %q: %s", w, waitConditions)
		}
	}
	if s := c.String("interval"); c.IsSet("interval") {
		d, err := time.ParseDuration(s)
		if ms, number := strconv.Atoi(s); number == nil { // milliseconds, as in Podman
			d, err = time.Duration(ms)*time.Millisecond, nil
		}
		if err != nil || d <= 0 {
			return o, fmt.Errorf("invalid --interval %q: a duration above 0, as 250ms or 2s", s)
		}
		o.interval = d
	}
	return o, nil
}

func runWait(a *app, c *cli.Context) error {
	o, err := parseWait(c)
	if err != nil {
		return err
	}
	if err := checkChoice(c); err != nil {
		return err
	}
	e, err := a.engine(c.Context)
	if err != nil {
		return err
	}
	list, errs, err := choose(c, e, nil)
	if err != nil {
		return err
	}
	// All at once: what one waits for may have passed while another is waited for.
	return a.inOrder(c.Context, list, errs, max(len(list), 1), func(t chosen) (string, error) {
		if t.Container == nil {
			return "-1", nil
		}
		return o.wait(c.Context, e, t.Container)
	})
}

// wait returns the exit code, or -1 when it has waited for something else than the end.
func (o waitOptions) wait(ctx context.Context, e *libpod.Engine, ctr *libpod.Container) (string, error) {
	if !slices.ContainsFunc(o.conditions, func(w string) bool { return !end(w) }) {
		run, err := e.Wait(ctx, ctr)
		return strconv.Itoa(run.ExitCode), err
	}
	for {
		now, err := e.Lookup(ctr.ID) // another command may have written down how it ended
		if missing(err) {
			if slices.Contains(o.conditions, "removed") {
				return "-1", nil
			}
			return "", fmt.Errorf("container %q was removed before it was %s", ctr.Name, strings.Join(o.conditions, " or "))
		}
		if err != nil {
			return "", err
		}
		st, err := e.Refresh(now)
		if err != nil {
			return "", err
		}
		for _, w := range o.conditions {
			if !holds(w, libpod.Listed{Container: now, Status: st, Health: e.Health(now, st)}) {
				continue
			}
			if end(w) {
				return strconv.Itoa(st.Run.ExitCode), nil
			}
			return "-1", nil
		}
		if err := sleep(ctx, o.interval); err != nil {
			return "", err
		}
	}
}

// end tells whether a condition is that the container has ended: its exit code is then known.
func end(condition string) bool {
	return condition == "stopped" || condition == "exited" || condition == "not-running"
}

// holds tells whether a container that is there is as a condition says.
func holds(condition string, l libpod.Listed) bool {
	switch condition {
	case "healthy", "unhealthy":
		return healthOf(l) == condition
	case "configured":
		return l.Status.State == libpod.Created
	case "stopped", "not-running": // one that never ran does not run
		return l.Status.State == libpod.Created || l.Status.State == libpod.Exited
	}
	return string(l.Status.State) == condition
}

func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
