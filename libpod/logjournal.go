package libpod

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"strconv"
	"strings"
	"time"
)

// journalReader reads a container's log from the journal, with journalctl: its files' format is systemd's own.
type journalReader struct {
	engine *Engine
	c      *Container
	opts   LogOptions
	cursor string // of the last entry handed on
}

func (r *journalReader) close() {}

func (r *journalReader) past(ctx context.Context, fn func(LogLine) error) error {
	args := []string{}
	if r.opts.Tail >= 0 {
		args = append(args, "-n", strconv.Itoa(r.opts.Tail))
	}
	if t := r.opts.Since; !t.IsZero() {
		args = append(args, "--since", "@"+strconv.FormatInt(t.Unix(), 10))
	}
	err := r.read(ctx, args, fn)
	if r.opts.Follow && errors.Is(err, errNoJournal) {
		return nil // its first entry will make it
	}
	return err
}

// errNoJournal says that the user has no journal file to read: none of his own yet, and no right to the system's.
var errNoJournal = errors.New("you may read no journal: nothing of yours is in it yet, or it is kept in memory only; join the group systemd-journal, or use --log-driver k8s-file")

const (
	// settled is how long the journal may take to file what a container wrote last.
	settled = 100 * time.Millisecond
	// journalLook is between two looks at whether the container has ended, of which the journal knows nothing.
	journalLook = 250 * time.Millisecond
)

type journalEntry struct {
	line   LogLine
	cursor string
}

// follow hands entries on as they come. When the container has ended and its last entries are filed, so is the log.
func (r *journalReader) follow(ctx context.Context, fn func(LogLine) error) error {
	for {
		ended, err := r.stream(ctx, fn)
		if err != nil {
			return err
		}
		if ended {
			break
		}
	}
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(settled):
		}
		before := r.cursor
		if err := r.read(ctx, r.after(), fn); err != nil {
			return err
		}
		r.opts.Idle()
		if r.cursor == before {
			return nil
		}
	}
}

func (r *journalReader) after() []string {
	if r.cursor == "" {
		return nil
	}
	return []string{"--after-cursor", r.cursor}
}

// stream follows the journal until the container has ended, or until journalctl has.
func (r *journalReader) stream(ctx context.Context, fn func(LogLine) error) (ended bool, err error) {
	ctx, cancel := context.WithCancel(ctx)
	cmd := exec.CommandContext(ctx, "journalctl", append([]string{"-q", "-f", "-n", "all", "-o", "json", "--all", "CONTAINER_ID_FULL=" + r.c.ID}, r.after()...)...)
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		cancel()
		return false, fmt.Errorf("following the journal: %w", err)
	}
	defer cmd.Wait()
	defer cancel()
	entries := make(chan journalEntry)
	go func() {
		defer close(entries)
		readEntries(out, func(e journalEntry) error {
			select {
			case entries <- e:
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		})
	}()
	tick := time.NewTicker(journalLook)
	defer tick.Stop()
	over := false
	for {
		select {
		case <-ctx.Done():
			return false, ctx.Err()
		case e, ok := <-entries:
			if !ok {
				over, entries = true, nil // the next look starts another
				continue
			}
			if err := r.hand(e, fn); err != nil {
				return false, err
			}
			r.opts.Idle()
		case <-tick.C:
			r.engine.wake(r.c.ID)
			st := r.engine.Status(r.c).State
			switch {
			case st == Exited || st == Created:
				return true, nil
			case !r.opts.Until.IsZero() && time.Now().After(r.opts.Until):
				return false, errUntil
			case over:
				return false, nil
			}
		}
	}
}

// hand hands one entry on if it is one that is wanted.
func (r *journalReader) hand(e journalEntry, fn func(LogLine) error) error {
	r.cursor = e.cursor
	if e.line.Time.Before(r.opts.Since) {
		return nil
	}
	if !r.opts.Until.IsZero() && e.line.Time.After(r.opts.Until) {
		return errUntil
	}
	return fn(e.line)
}

func (r *journalReader) read(ctx context.Context, args []string, fn func(LogLine) error) error {
	if _, err := exec.LookPath("journalctl"); err != nil {
		return fmt.Errorf("reading the log of container %q from the journal: journalctl is not installed", r.c.Name)
	}
	reading, cancel := context.WithCancel(ctx)
	defer cancel()
	cmd := exec.CommandContext(reading, "journalctl", append([]string{"-o", "json", "--all", "--no-pager", "CONTAINER_ID_FULL=" + r.c.ID}, args...)...)
	var complaint bytes.Buffer
	cmd.Stderr = &complaint
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		return fmt.Errorf("reading the journal: %w", err)
	}
	err = readEntries(out, func(e journalEntry) error { return r.hand(e, fn) })
	if err != nil {
		cancel()
		cmd.Wait()
		return err
	}
	err = cmd.Wait()
	switch said := complaint.String(); {
	case ctx.Err() != nil:
		return ctx.Err()
	case strings.Contains(said, "insufficient permissions"), strings.Contains(said, "No journal files were found"):
		return fmt.Errorf("reading the log of container %q: %w", r.c.Name, errNoJournal)
	case err != nil:
		return fmt.Errorf("reading the log of container %q from the journal: %s", r.c.Name, lastLine(said, err))
	}
	return nil
}

func lastLine(text string, err error) string {
	if text = strings.TrimSpace(text); text == "" {
		return err.Error()
	}
	return text[strings.LastIndexByte(text, '\n')+1:]
}

func readEntries(out io.Reader, fn func(journalEntry) error) error {
	br := bufio.NewReaderSize(out, 64<<10)
	for {
		b, err := br.ReadBytes('\n')
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("reading the journal: %w", err)
		}
		line, cursor, err := parseJournal(b)
		if err != nil {
			return fmt.Errorf("reading the journal: %w", err)
		}
		if err := fn(journalEntry{line, cursor}); err != nil {
			return err
		}
	}
}

// parseJournal reads an entry of journalctl -o json: a field is a string, or its bytes where it is no text.
func parseJournal(b []byte) (l LogLine, cursor string, err error) {
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(b, &fields); err != nil {
		return l, "", err
	}
	value := func(name string) []byte {
		raw := fields[name]
		if len(raw) > 0 && raw[0] == '[' {
			var numbers []uint16
			if json.Unmarshal(raw, &numbers) != nil {
				return nil
			}
			out := make([]byte, len(numbers))
			for i, n := range numbers {
				out[i] = byte(n)
			}
			return out
		}
		var s string
		json.Unmarshal(raw, &s)
		return []byte(s)
	}
	us, err := strconv.ParseInt(string(value("__REALTIME_TIMESTAMP")), 10, 64)
	if err != nil {
		return l, "", fmt.Errorf("an entry without a time: %w", err)
	}
	l = LogLine{Time: time.UnixMicro(us), Stderr: string(value("PRIORITY")) == "3", Text: value("MESSAGE"), Attrs: map[string]string{}}
	l.Partial = string(value("CONTAINER_PARTIAL_MESSAGE")) == "true"
	for name := range fields {
		switch {
		case strings.HasPrefix(name, "_"), strings.HasPrefix(name, "CONTAINER_"), strings.HasPrefix(name, "SYSLOG_"),
			name == "MESSAGE", name == "PRIORITY", name == "IMAGE_NAME":
		default:
			l.Attrs[name] = string(value(name))
		}
	}
	return l, string(value("__CURSOR")), nil
}
