package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/docker/go-units"
	"github.com/proa-containers/proa/libpod"
	"github.com/urfave/cli/v2"
	"golang.org/x/term"
)

func newStatsCommand(a *app) *cli.Command {
	return &cli.Command{
		Name:      "stats",
		Usage:     "show what running containers use",
		ArgsUsage: "[CONTAINER...]",
		Description: "It goes on until it is interrupted; without names it shows the containers that run at each moment. CPU % is of one processor, " +
			"over the time since the last table, and in the first one over a fortieth of a second. What the host does not delegate the cgroup " +
			"controller for is shown as --.",
		Flags: []cli.Flag{
			&cli.BoolFlag{Name: "all", Aliases: []string{"a"}, Usage: "also containers that do not run"},
			&cli.StringFlag{Name: "format", Usage: "table, json or a Go `TEMPLATE`, with \"table \" before it for a table"},
			latestFlag(),
			&cli.IntFlag{Name: "interval", Aliases: []string{"i"}, Value: 1, Usage: "`SECONDS` between two tables"},
			&cli.BoolFlag{Name: "no-reset", Usage: "do not clear the terminal between two tables"},
			&cli.BoolFlag{Name: "no-stream", Usage: "one table alone"},
			&cli.BoolFlag{Name: "no-trunc", Usage: "do not shorten ids"},
		},
		Action: func(c *cli.Context) error { return runStats(a, c) },
	}
}

// statsRow has Docker's fields.
type statsRow struct {
	BlockIO, CPUPerc, Container, ID, MemPerc, MemUsage, Name, NetIO, PIDs string
}

const statsTable = "table {{.ID}}\t{{.Name}}\t{{.CPUPerc}}\t{{.MemUsage}}\t{{.MemPerc}}\t{{.NetIO}}\t{{.BlockIO}}\t{{.PIDs}}"

// stats is one run of the command.
type stats struct {
	app    *app
	engine *libpod.Engine
	refs   []string
	all    bool
	whole  bool
	format string
	clear  bool
	last   map[string]cpuTime
	warned bool
}

func runStats(a *app, c *cli.Context) error {
	s := &stats{app: a, refs: c.Args().Slice(), all: c.Bool("all"), whole: c.Bool("no-trunc"), format: c.String("format"), last: map[string]cpuTime{}}
	every := time.Duration(c.Int("interval")) * time.Second
	switch {
	case s.all && len(s.refs) > 0:
		return errors.New("stats takes either --all or the names of containers, not both")
	case c.Bool("latest") && (s.all || len(s.refs) > 0):
		return errors.New("stats takes either --latest, --all or the names of containers")
	case every <= 0:
		return fmt.Errorf("invalid --interval %d: a number of seconds, at least 1", c.Int("interval"))
	}
	if s.format == "" || s.format == "table" {
		s.format = statsTable
	}
	if _, err := parseTemplate(strings.TrimPrefix(s.format, "table ")); err != nil {
		return err
	}
	out, ok := a.out.(*os.File)
	s.clear = ok && term.IsTerminal(int(out.Fd())) && !c.Bool("no-reset") && !c.Bool("no-stream") && strings.HasPrefix(s.format, "table ")
	var err error
	if s.engine, err = a.engine(c.Context); err != nil {
		return err
	}
	if c.Bool("latest") {
		ctr, _, err := one(c, s.engine)
		if err != nil {
			return &exitError{1, err}
		}
		s.refs = []string{ctr.ID}
	}
	if err := s.run(c.Context, every, c.Bool("no-stream")); err != nil {
		return &exitError{1, err}
	}
	return nil
}

// window is the time that the first table's use of the processors is measured over. The kernel accounts for a process that
// computes at each of its ticks, of which there are 100 to 1000 a second.
const window = 25 * time.Millisecond

func (s *stats) run(ctx context.Context, every time.Duration, once bool) error {
	list, err := s.open(ctx)
	if err != nil {
		return err
	}
	due := time.After(window)
	if err := read(list, (*reading).readCPU); err != nil {
		return err
	}
	s.keep(list)
	for first := true; ; first = false {
		if !first {
			if !wait(ctx, due) {
				return nil
			}
			if list, err = s.open(ctx); err != nil {
				return err
			}
		}
		if err := read(list, (*reading).readUsage); err != nil {
			return err
		}
		if first && !wait(ctx, due) {
			return nil
		}
		if err := read(list, (*reading).readCPU); err != nil {
			return err
		}
		if err := s.print(s.rows(list)); err != nil || once {
			return err
		}
		due = time.After(every)
	}
}

// wait tells whether due came before the end of ctx.
func wait(ctx context.Context, due <-chan time.Time) bool {
	select {
	case <-ctx.Done():
		return false
	case <-due:
		return true
	}
}

// open finds the gauges of all containers.
func (s *stats) open(ctx context.Context) ([]*reading, error) {
	list, err := s.containers(ctx)
	if err != nil {
		return nil, err
	}
	out := make([]*reading, 0, len(list))
	for _, c := range list {
		g, err := s.engine.Gauge(c)
		var wrong *libpod.WrongStateError
		if err != nil && !errors.As(err, &wrong) {
			return nil, err
		}
		out = append(out, &reading{Container: c, gauge: g})
	}
	return out, nil
}

// keep remembers the processors' use for the next table.
func (s *stats) keep(list []*reading) {
	s.last = map[string]cpuTime{}
	for _, r := range list {
		if r.gauge != nil {
			s.last[r.ID] = r.cpu
		}
	}
}

// rows compares the readings with those of the last table.
func (s *stats) rows(list []*reading) []statsRow {
	rows := make([]statsRow, 0, len(list))
	for _, r := range list {
		if r.gauge != nil {
			s.missing(r.Usage)
		} else if !s.all && len(s.refs) == 0 {
			continue
		}
		rows = append(rows, s.row(r))
	}
	s.keep(list)
	return rows
}

func (s *stats) containers(ctx context.Context) ([]*libpod.Container, error) {
	var out []*libpod.Container
	for _, ref := range s.refs {
		c, err := s.engine.Lookup(ref)
		if err != nil {
			return nil, err
		}
		out = append(out, c)
	}
	if len(s.refs) > 0 {
		return out, nil
	}
	list, err := s.engine.List(ctx)
	if err != nil {
		return nil, err
	}
	for _, l := range list {
		if s.all || l.Status.State == libpod.Running || l.Status.State == libpod.Paused {
			out = append(out, l.Container)
		}
	}
	return out, nil
}

// missing says once what the host does not tell.
func (s *stats) missing(u libpod.Usage) {
	if s.warned || len(u.Missing) == 0 {
		return
	}
	s.warned = true
	s.app.warn(fmt.Errorf("some figures are missing: the host does not delegate the cgroup controllers %s; `proa doctor` says how it does", strings.Join(u.Missing, ", ")))
}

func (s *stats) row(u *reading) statsRow {
	id := u.ID
	if !s.whole {
		id = id[:12]
	}
	r := statsRow{Container: id, ID: id, Name: u.Name, BlockIO: "--", CPUPerc: "--", MemPerc: "--", MemUsage: "-- / --", NetIO: "--", PIDs: "--"}
	if u.gauge == nil {
		return r
	}
	r.NetIO = pair(u.Rx, u.Tx)
	if u.Read >= 0 {
		r.BlockIO = pair(u.Read, u.Write)
	}
	if before, ok := s.last[u.ID]; ok && u.cpu.used >= before.used && u.cpu.at.After(before.at) {
		r.CPUPerc = fmt.Sprintf("%.2f%%", 100*float64(u.cpu.used-before.used)/float64(u.cpu.at.Sub(before.at)))
	}
	if u.Memory >= 0 {
		r.MemUsage = units.BytesSize(float64(u.Memory)) + " / " + units.BytesSize(float64(u.MemoryLimit))
		if u.MemoryLimit > 0 {
			r.MemPerc = fmt.Sprintf("%.2f%%", 100*float64(u.Memory)/float64(u.MemoryLimit))
		}
	}
	if u.PIDs >= 0 {
		r.PIDs = strconv.FormatInt(u.PIDs, 10)
	}
	return r
}

func pair(in, out int64) string {
	return units.HumanSizeWithPrecision(float64(in), 3) + " / " + units.HumanSizeWithPrecision(float64(out), 3)
}

func (s *stats) print(rows []statsRow) error {
	if s.format == "json" {
		return printJSONLines(s.app, rows)
	}
	head := statsRow{"BLOCK I/O", "CPU %", "CONTAINER", "CONTAINER ID", "MEM %", "MEM USAGE / LIMIT", "NAME", "NET I/O", "PIDS"}
	if !s.clear {
		return printRows(s.app, s.format, &head, rows)
	}
	// The table is written over the last one, each line erased behind its end, and the rest of the screen after it.
	var text strings.Builder
	to := *s.app
	to.out = &text
	if err := printRows(&to, s.format, &head, rows); err != nil {
		return err
	}
	lines := strings.SplitAfter(text.String(), "\n")
	_, err := fmt.Fprint(s.app.out, "\x1b[H\x1b[K", strings.Join(lines, "\x1b[K"), "\x1b[J")
	return err
}
