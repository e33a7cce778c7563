package main

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/proa-containers/proa/libpod"
	"github.com/urfave/cli/v2"
)

func newLogsCommand(a *app) *cli.Command {
	return &cli.Command{
		Name:      "logs",
		Usage:     "print what a container wrote",
		ArgsUsage: "CONTAINER",
		Flags: []cli.Flag{
			&cli.BoolFlag{Name: "follow", Aliases: []string{"f"}, Usage: "go on until the container ends"},
			&cli.StringFlag{Name: "tail", Aliases: []string{"n"}, Value: "all", Usage: "only the last `LINES`"},
			&cli.StringFlag{Name: "since", Usage: "only what was written after `TIME` (RFC 3339, a Unix time, or a duration as 10m)"},
			&cli.StringFlag{Name: "until", Usage: "only what was written before `TIME`"},
			&cli.BoolFlag{Name: "timestamps", Aliases: []string{"t"}, Usage: "put the time before each line"},
		},
		Action: func(c *cli.Context) error { return runLogs(a, c) },
	}
}

func runLogs(a *app, c *cli.Context) error {
	if c.NArg() != 1 {
		return fmt.Errorf("logs takes one container, not %d", c.NArg())
	}
	o := libpod.LogOptions{Follow: c.Bool("follow"), Tail: -1}
	if t := c.String("tail"); t != "all" {
		n, err := strconv.Atoi(t)
		if err != nil {
			return fmt.Errorf("invalid --tail %q: a number of lines, or all", t)
		}
		o.Tail = n
	}
	var err error
	if o.Since, err = parseTime(c.String("since")); err != nil {
		return fmt.Errorf("invalid --since %w", err)
	}
	if o.Until, err = parseTime(c.String("until")); err != nil {
		return fmt.Errorf("invalid --until %w", err)
	}
	e, err := a.engine(c.Context)
	if err != nil {
		return err
	}
	ctr, err := e.Lookup(c.Args().First())
	if err != nil {
		return err
	}
	stamps := c.Bool("timestamps")
	return e.Logs(c.Context, ctr, o, func(l libpod.LogLine) error {
		var b []byte
		if stamps {
			b = append(l.Time.UTC().AppendFormat(b, time.RFC3339Nano), ' ')
		}
		b = append(b, l.Text...)
		if !l.Partial {
			b = append(b, '\n')
		}
		w := a.out
		if l.Stderr {
			w = a.err
		}
		_, err := w.Write(b)
		return err
	})
}

// parseTime reads a moment as Docker takes it: RFC 3339, its date or minute, a Unix time, or a duration before now.
func parseTime(s string) (time.Time, error) {
	if s == "" {
		return time.Time{}, nil
	}
	if d, err := time.ParseDuration(s); err == nil {
		return time.Now().Add(-d), nil
	}
	for _, layout := range []string{time.RFC3339Nano, "2006-01-02T15:04:05", "2006-01-02T15:04", "2006-01-02"} {
		if t, err := time.ParseInLocation(layout, s, time.Local); err == nil {
			return t, nil
		}
	}
	sec, frac, _ := strings.Cut(s, ".")
	n, err := strconv.ParseInt(sec, 10, 64)
	if err != nil {
		return time.Time{}, errors.New(strconv.Quote(s) + ": a time as 2026-01-31T12:00:00Z, a Unix time, or a duration as 10m")
	}
	ns, _ := strconv.ParseInt((frac + "000000000")[:9], 10, 64)
	return time.Unix(n, ns), nil
}
