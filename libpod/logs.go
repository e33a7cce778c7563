package libpod

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"sync"
	"time"
)

// LogOptions choose what Logs reads.
type LogOptions struct {
	Follow  bool
	Tail    int // the last lines; negative: all
	Since   time.Time
	Until   time.Time
	Times   bool // LogLine.Time is wanted
	Details bool // LogLine.Attrs is wanted
	// Idle is called when everything written so far has been handed on; it may be nil.
	Idle func()
}

func (o *LogOptions) times() bool { return o.Times || !o.Since.IsZero() || !o.Until.IsZero() }

// LogLine is one record of a log.
type LogLine struct {
	Time    time.Time
	Stderr  bool
	Partial bool   // no line end follows
	Text    []byte // until the next line is asked for
	Attrs   map[string]string
}

// logSource reads the log of one container.
type logSource interface {
	// past hands on what has been written so far.
	past(ctx context.Context, fn func(LogLine) error) error
	// follow goes on from there until the container has ended.
	follow(ctx context.Context, fn func(LogLine) error) error
	close()
}

func (e *Engine) logSource(c *Container, o LogOptions) (logSource, error) {
	if o.Idle == nil {
		o.Idle = func() {}
	}
	switch c.Log.Driver {
	case "k8s-file":
		return &logReader{engine: e, c: c, opts: o, parse: parseK8s}, nil
	case "json-file":
		return &logReader{engine: e, c: c, opts: o, parse: parseJSON}, nil
	case "journald":
		return &journalReader{engine: e, c: c, opts: o}, nil
	}
	return nil, fmt.Errorf("container %q has the log driver %q, which keeps nothing to read; run it with --log-driver k8s-file, json-file or journald", c.Name, c.Log.Driver)
}

// Logs hands every line of the container's log to fn, in order, and with Follow goes on until the container ends.
func (e *Engine) Logs(ctx context.Context, c *Container, o LogOptions, fn func(LogLine) error) error {
	src, err := e.logSource(c, o)
	if err != nil {
		return err
	}
	defer src.close()
	if err := src.past(ctx, fn); err != nil || !o.Follow {
		return ignoreUntil(err)
	}
	return ignoreUntil(src.follow(ctx, fn))
}

// errUntil ends the reading at LogOptions.Until.
var errUntil = errors.New("past the end")

func ignoreUntil(err error) error {
	if errors.Is(err, errUntil) {
		return nil
	}
	return err
}

// LogsOf is Logs for several containers at once: what has been written comes in the order of its time, what is
// followed as it comes. fn hears the container's index; it is never called twice at once.
func (e *Engine) LogsOf(ctx context.Context, list []*Container, o LogOptions, fn func(int, LogLine) error) error {
	var mu sync.Mutex
	if idle := o.Idle; idle != nil {
		o.Idle = func() {
			mu.Lock()
			defer mu.Unlock()
			idle()
		}
	}
	o.Times = true
	var sources []logSource
	defer func() {
		for _, s := range sources {
			s.close()
		}
	}()
	for _, c := range list {
		s, err := e.logSource(c, o)
		if err != nil {
			return err
		}
		sources = append(sources, s)
	}
	if err := mergePast(ctx, sources, fn); err != nil || !o.Follow {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	errs := make([]error, len(sources))
	var wg sync.WaitGroup
	for i, s := range sources {
		wg.Go(func() {
			errs[i] = ignoreUntil(s.follow(ctx, func(l LogLine) error {
				mu.Lock()
				defer mu.Unlock()
				return fn(i, l)
			}))
			if errs[i] != nil {
				cancel()
			}
		})
	}
	wg.Wait()
	for _, err := range errs {
		if err != nil && !errors.Is(err, context.Canceled) {
			return err
		}
	}
	return errors.Join(errs...)
}

// mergePast hands on the oldest of all sources' next lines until none has any.
func mergePast(ctx context.Context, sources []logSource, fn func(int, LogLine) error) error {
	type head struct {
		line LogLine
		ok   bool
	}
	heads := make([]head, len(sources))
	next := make([]func() (LogLine, bool), len(sources))
	errs := make([]error, len(sources))
	for i, s := range sources {
		pull, stop := iter.Pull(func(yield func(LogLine) bool) {
			errs[i] = ignoreUntil(s.past(ctx, func(l LogLine) error {
				if !yield(l) {
					return errUntil
				}
				return nil
			}))
		})
		defer stop()
		next[i] = pull
		heads[i].line, heads[i].ok = pull()
	}
	for {
		first := -1
		for i, h := range heads {
			if h.ok && (first < 0 || h.line.Time.Before(heads[first].line.Time)) {
				first = i
			}
		}
		if first < 0 {
			return errors.Join(errs...)
		}
		if err := fn(first, heads[first].line); err != nil {
			return err
		}
		heads[first].line, heads[first].ok = next[first]()
	}
}
