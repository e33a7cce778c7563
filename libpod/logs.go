package libpod

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"
)

// LogOptions choose what Logs reads.
type LogOptions struct {
	Follow bool
	Tail   int // the last lines; negative: all
	Since  time.Time
	Until  time.Time
}

// LogLine is one record of a log.
type LogLine struct {
	Time    time.Time
	Stderr  bool
	Partial bool // no line end follows
	Text    []byte
}

// Logs hands every line of the container's log to fn, in order, and with Follow goes on until the container ends.
func (e *Engine) Logs(ctx context.Context, c *Container, o LogOptions, fn func(LogLine) error) error {
	var parse func([]byte) (LogLine, error)
	switch c.Log.Driver {
	case "k8s-file":
		parse = parseK8s
	case "json-file":
		parse = parseJSON
	default:
		return fmt.Errorf("container %q has the log driver %q, which keeps nothing to read; run it with --log-driver k8s-file or json-file", c.Name, c.Log.Driver)
	}
	r := &logReader{engine: e, c: c, opts: o, parse: parse, fn: fn}
	return r.run(ctx)
}

type logReader struct {
	engine *Engine
	c      *Container
	opts   LogOptions
	parse  func([]byte) (LogLine, error)
	fn     func(LogLine) error
	file   *os.File
	rest   []byte // the start of a record whose end is not yet written
}

var errUntil = errors.New("past the end")

func (r *logReader) run(ctx context.Context) error {
	skip, err := r.skip()
	if err != nil {
		return err
	}
	defer r.close()
	if err := r.readAll(r.rotated(), &skip); err != nil || !r.opts.Follow {
		return ignoreUntil(err)
	}
	return ignoreUntil(r.follow(ctx, &skip))
}

// readAll reads the files, the oldest first, and keeps the last one open.
func (r *logReader) readAll(paths []string, skip *int) error {
	for _, path := range paths {
		r.close()
		if err := r.open(path); err != nil {
			return err
		}
		if r.file == nil {
			continue // rotated away meanwhile
		}
		if err := r.drain(skip); err != nil {
			return err
		}
	}
	return nil
}

func (r *logReader) close() {
	if r.file != nil {
		r.file.Close()
		r.file = nil
	}
}

func ignoreUntil(err error) error {
	if errors.Is(err, errUntil) {
		return nil
	}
	return err
}

// rotated names the log's files, the oldest first.
func (r *logReader) rotated() []string {
	paths := []string{r.c.Log.Path}
	for i := 1; ; i++ {
		p := r.c.Log.Path + "." + strconv.Itoa(i)
		if _, err := os.Stat(p); err != nil {
			return paths
		}
		paths = append([]string{p}, paths...)
	}
}

func (r *logReader) open(path string) error {
	f, err := os.Open(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("opening the log of container %q: %w", r.c.Name, err)
	}
	r.file, r.rest = f, nil
	return nil
}

// skip counts the records before the last Tail lines.
func (r *logReader) skip() (int, error) {
	if r.opts.Tail < 0 {
		return 0, nil
	}
	lines := 0
	for _, path := range r.rotated() {
		f, err := os.Open(path)
		if err != nil {
			continue
		}
		sc := bufio.NewReaderSize(f, 64<<10)
		for {
			_, err := sc.ReadSlice('\n')
			if errors.Is(err, bufio.ErrBufferFull) {
				continue
			}
			if err != nil {
				break
			}
			lines++
		}
		f.Close()
	}
	return max(0, lines-r.opts.Tail), nil
}

// drain hands on every whole record from here to the end of the file.
func (r *logReader) drain(skip *int) error {
	br := bufio.NewReaderSize(r.file, 64<<10)
	for {
		b, err := br.ReadBytes('\n')
		r.rest = append(r.rest, b...)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("reading the log of container %q: %w", r.c.Name, err)
		}
		record := r.rest[:len(r.rest)-1]
		r.rest = nil
		if *skip > 0 {
			*skip--
			continue
		}
		line, err := r.parse(record)
		if err != nil {
			continue // a record that a power cut left half written
		}
		if line.Time.Before(r.opts.Since) {
			continue
		}
		if !r.opts.Until.IsZero() && line.Time.After(r.opts.Until) {
			return errUntil
		}
		if err := r.fn(line); err != nil {
			return err
		}
	}
}

// followStep is how often a followed log is read, followWake after how many steps its writer is looked after.
const (
	followStep = 50 * time.Millisecond
	followWake = 20
)

func (r *logReader) follow(ctx context.Context, skip *int) error {
	for step := 0; ; step++ {
		if step%followWake == 0 {
			r.engine.wake(r.c.ID) // the log goes on with its monitor
		}
		// The state is asked before the read: what was written before the end is then read after it.
		st := r.engine.Status(r.c).State
		if r.file == nil {
			if err := r.open(r.c.Log.Path); err != nil {
				return err
			}
		}
		if r.file != nil {
			if err := r.drain(skip); err != nil {
				return err
			}
			if next := r.replaced(); next != nil {
				// What was written between the last read and the rotation, and the files that came and went since.
				if err := r.drain(skip); err != nil {
					return err
				}
				if err := r.readAll(next, skip); err != nil {
					return err
				}
				continue
			}
		}
		if st != Running && st != Paused {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(followStep):
		}
	}
}

// replaced names the files that follow the one being read, when it was rotated away or, with a single file, emptied;
// nil when it is still the log.
func (r *logReader) replaced() []string {
	mine, err := r.file.Stat()
	if err != nil {
		return nil
	}
	paths := r.rotated()
	for i, path := range paths {
		now, err := os.Stat(path)
		if err != nil || !os.SameFile(now, mine) {
			continue
		}
		if i < len(paths)-1 {
			return paths[i+1:]
		}
		if at, err := r.file.Seek(0, io.SeekCurrent); err == nil && at > now.Size() {
			return paths[i:]
		}
		return nil
	}
	if _, err := os.Stat(r.c.Log.Path); err != nil {
		return nil // between two renames, or removed
	}
	return paths
}

// parseK8s reads "TIME STREAM F|P LINE".
func parseK8s(b []byte) (LogLine, error) {
	p := strings.SplitN(string(b), " ", 4)
	if len(p) != 4 {
		return LogLine{}, errors.New("no record")
	}
	t, err := time.Parse(time.RFC3339Nano, p[0])
	if err != nil {
		return LogLine{}, err
	}
	return LogLine{Time: t, Stderr: p[1] == "stderr", Partial: p[2] == "P", Text: []byte(p[3])}, nil
}

func parseJSON(b []byte) (LogLine, error) {
	var v struct {
		Log, Stream string
		Time        time.Time
	}
	if err := json.Unmarshal(b, &v); err != nil {
		return LogLine{}, err
	}
	text, whole := strings.CutSuffix(v.Log, "\n")
	return LogLine{Time: v.Time, Stderr: v.Stream == "stderr", Partial: !whole, Text: []byte(text)}, nil
}
