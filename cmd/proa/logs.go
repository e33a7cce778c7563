package main

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/proa-containers/proa/libpod"
	"github.com/urfave/cli/v2"
	"golang.org/x/sys/unix"
)

func newLogsCommand(a *app) *cli.Command {
	return &cli.Command{
		Name:      "logs",
		Usage:     "print what containers wrote",
		ArgsUsage: "CONTAINER [CONTAINER...]",
		Flags: []cli.Flag{
			&cli.BoolFlag{Name: "follow", Aliases: []string{"f"}, Usage: "go on until the container ends"},
			&cli.StringFlag{Name: "tail", Aliases: []string{"n"}, Value: "all", Usage: "only the last `LINES`"},
			&cli.StringFlag{Name: "since", Usage: "only what was written after `TIME` (RFC 3339, a Unix time, or a duration as 10m)"},
			&cli.StringFlag{Name: "until", Usage: "only what was written before `TIME`"},
			&cli.BoolFlag{Name: "timestamps", Aliases: []string{"t"}, Usage: "put the time before each line"},
			&cli.BoolFlag{Name: "details", Usage: "put before each line what --log-opt tag, labels and env say of the container"},
			&cli.BoolFlag{Name: "names", Usage: "put the container's name before each line, not its id"},
			&cli.BoolFlag{Name: "color", Aliases: []string{"c"}, Usage: "put the container before each line, each in a colour of its own"},
			latestFlag(),
		},
		Action: func(c *cli.Context) error { return runLogs(a, c) },
	}
}

func runLogs(a *app, c *cli.Context) error {
	latest := c.Bool("latest")
	switch {
	case latest && c.NArg() > 0:
		return errors.New("--latest and the name of a container exclude each other")
	case !latest && c.NArg() == 0:
		return errors.New("logs takes the name or id of at least one container; `proa ps -a` lists them")
	}
	o, err := parseLogs(c)
	if err != nil {
		return err
	}
	e, err := a.engine(c.Context)
	if err != nil {
		return err
	}
	list, err := logged(c, e)
	if err != nil {
		return &exitError{1, err}
	}
	w := newLogWriter(a, c, list)
	o.Times, o.Details, o.Idle = w.stamps, w.details, w.flush
	ctx := c.Context
	if o.Follow {
		// A signal ends it at once, as it would any program, and so does the end of whoever reads.
		signal.Reset(syscall.SIGINT, syscall.SIGTERM)
		var stop func()
		ctx, stop = untilClosed(ctx, a.out)
		defer stop()
	}
	if len(list) == 1 {
		err = e.Logs(ctx, list[0], o, func(l libpod.LogLine) error { return w.write(0, l) })
	} else {
		err = e.LogsOf(ctx, list, o, w.write)
	}
	w.flush()
	if errors.Is(err, context.Canceled) && c.Context.Err() == nil || errors.Is(err, syscall.EPIPE) {
		return &exitError{code: 128 + int(syscall.SIGPIPE)}
	}
	if err != nil {
		return &exitError{1, err}
	}
	return nil
}

func parseLogs(c *cli.Context) (o libpod.LogOptions, err error) {
	o = libpod.LogOptions{Follow: c.Bool("follow"), Tail: -1}
	if t := c.String("tail"); t != "all" {
		if o.Tail, err = strconv.Atoi(t); err != nil {
			return o, fmt.Errorf("invalid --tail %q: a number of lines, or all", t)
		}
	}
	if o.Since, err = parseTime(c.String("since")); err != nil {
		return o, fmt.Errorf("invalid --since %w", err)
	}
	if o.Until, err = parseTime(c.String("until")); err != nil {
		return o, fmt.Errorf("invalid --until %w", err)
	}
	return o, nil
}

// logged are the containers that are asked for.
func logged(c *cli.Context, e *libpod.Engine) ([]*libpod.Container, error) {
	if c.Bool("latest") {
		all, err := e.List(c.Context)
		if err != nil {
			return nil, err
		}
		if len(all) == 0 {
			return nil, errors.New("--latest: there is no container")
		}
		return []*libpod.Container{all[0].Container}, nil
	}
	var list []*libpod.Container
	for _, ref := range c.Args().Slice() {
		ctr, err := e.Lookup(ref)
		if err != nil {
			return nil, err
		}
		list = append(list, ctr)
	}
	return list, nil
}

// untilClosed is a context that also ends when out is a pipe or socket that nobody reads any more: a quiet container
// would keep the command alive until it says something.
func untilClosed(ctx context.Context, out any) (context.Context, func()) {
	ctx, cancel := context.WithCancel(ctx)
	f, ok := out.(*os.File)
	if !ok {
		return ctx, cancel
	}
	st, err := f.Stat()
	if err != nil || st.Mode()&(os.ModeNamedPipe|os.ModeSocket) == 0 {
		return ctx, cancel
	}
	go func() {
		for ctx.Err() == nil {
			p := []unix.PollFd{{Fd: int32(f.Fd())}} // errors alone
			if n, err := unix.Poll(p, -1); n > 0 || err != nil && err != unix.EINTR {
				cancel()
			}
		}
	}()
	return ctx, cancel
}

// parseTime reads a moment as Docker takes it: RFC 3339, its date or minute, a Unix time, or a duration before now.
func parseTime(s string) (time.Time, error) {
	if s == "" {
		return time.Time{}, nil
	}
	if d, err := time.ParseDuration(s); err == nil && s != "0" {
		return time.Now().Add(-d), nil
	}
	for _, layout := range []string{time.RFC3339Nano, "2006-01-02T15:04:05", "2006-01-02T15:04Z07:00", "2006-01-02T15:04", "2006-01-02T15Z07:00", "2006-01-02T15",
		"2006-01-02Z07:00", "2006-01-02"} {
		if t, err := time.ParseInLocation(layout, s, time.Local); err == nil {
			return t, nil
		}
	}
	sec, frac, _ := strings.Cut(s, ".")
	n, err := strconv.ParseInt(sec, 10, 64)
	ns, err2 := strconv.ParseUint((frac + "000000000")[:9], 10, 32)
	if err != nil || err2 != nil || n < 0 || n > math.MaxInt32*100 {
		return time.Time{}, errors.New(strconv.Quote(s) + ": a time as 2026-01-31T12:00:00Z, a Unix time, or a duration as 10m")
	}
	return time.Unix(n, int64(ns)), nil
}
