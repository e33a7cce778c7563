package main

import (
	"fmt"
	"io"
	"net/url"
	"os"
	"slices"
	"strings"

	"github.com/proa-containers/proa/libpod"
	"github.com/urfave/cli/v2"
)

// logBuffer is how much of a log is written at once.
const logBuffer = 64 << 10

// logWriter prints lines of logs, those of standard output and of standard error apart. What it holds back it writes
// when the other stream comes, and in flush.
type logWriter struct {
	out, err        io.Writer
	stamps, details bool
	prefixes        []string // of each container; "" for none
	many            bool

	buf     []byte
	stderr  bool        // what buf is for
	written error       // of a flush that nobody asked about
	open    [2]openLine // of each stream
}

// openLine is a line whose end has not been printed.
type openLine struct {
	open bool
	of   int // the container's index
}

// The colours of containers, in the order that Podman uses them.
const logColours = "\x1b[37m \x1b[31m \x1b[33m \x1b[34m \x1b[35m \x1b[36m \x1b[32m"

func newLogWriter(a *app, c *cli.Context, list []*libpod.Container) *logWriter {
	w := &logWriter{out: a.out, err: a.err, stamps: c.Bool("timestamps"), details: c.Bool("details"), many: len(list) > 1}
	colours := strings.Fields(logColours)
	widest := 0
	for _, ctr := range list {
		widest = max(widest, len(ctr.Name))
	}
	for i, ctr := range list {
		prefix := ""
		switch {
		case c.Bool("names"):
			prefix = fmt.Sprintf("%-*s ", widest, ctr.Name)
		case w.many || c.Bool("color"):
			prefix = ctr.ID[:12] + " "
		}
		if c.Bool("color") && os.Getenv("NO_COLOR") == "" {
			prefix = colours[i%len(colours)] + strings.TrimSuffix(prefix, " ") + "\x1b[0m "
		}
		w.prefixes = append(w.prefixes, prefix)
	}
	return w
}

func (w *logWriter) write(i int, l libpod.LogLine) error {
	if l.Stderr != w.stderr || len(w.buf)+len(l.Text) > logBuffer {
		w.flush()
		w.stderr = l.Stderr
	}
	k := 0
	if l.Stderr {
		k = 1
	}
	line := &w.open[k]
	if line.open && line.of != i { // another container's, which is not to go on in this one's line
		w.buf = append(w.buf, '\n')
		line.open = false
	}
	if !line.open {
		w.begin(i, l)
	}
	w.buf = append(w.buf, l.Text...)
	if !l.Partial {
		w.buf = append(w.buf, '\n')
	}
	line.open, line.of = l.Partial, i
	return w.written
}

// begin starts a line: whose it is, when it was written, and its details in Docker's form.
func (w *logWriter) begin(i int, l libpod.LogLine) {
	w.buf = append(w.buf, w.prefixes[i]...)
	if w.stamps {
		w.buf = append(l.Time.UTC().AppendFormat(w.buf, "2006-01-02T15:04:05.000000000Z07:00"), ' ')
	}
	if w.details {
		var pairs []string
		for k, v := range l.Attrs {
			pairs = append(pairs, url.QueryEscape(k)+"="+url.QueryEscape(v))
		}
		slices.Sort(pairs)
		w.buf = append(append(w.buf, strings.Join(pairs, ",")...), ' ')
	}
}

func (w *logWriter) flush() {
	if len(w.buf) == 0 {
		return
	}
	to := w.out
	if w.stderr {
		to = w.err
	}
	if _, err := to.Write(w.buf); err != nil && w.written == nil {
		w.written = err
	}
	w.buf = w.buf[:0]
}
