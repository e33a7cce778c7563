package libpod

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"time"

	"github.com/proa-containers/proa/libpod/volume"
	"github.com/proa-containers/proa/oci/monitor/event"
	"golang.org/x/sys/unix"
)

func (e *Engine) eventDir() string { return e.paths.EventDir() }

// eventSource is what the events of c have in common: as with Docker the labels are attributes too.
func (e *Engine) eventSource(c *Container) event.Source {
	attributes := make(map[string]string, len(c.Labels)+2)
	maps.Copy(attributes, c.Labels)
	attributes["name"] = c.Name
	if c.Image != "" {
		attributes["image"] = c.Image
	}
	return event.Source{Dir: e.eventDir(), ID: c.ID, Attributes: attributes}
}

// say writes an event of c. What was done is done: an error is a warning.
func (e *Engine) say(c *Container, action string, pairs ...string) {
	if err := e.eventSource(c).Say(action, pairs...); err != nil {
		e.warn(err)
	}
}

// SayVolume writes an event of the volume name, "create" or "destroy".
func (e *Engine) SayVolume(action, name string) {
	err := event.Append(e.eventDir(), event.Event{Type: "volume", Action: action, ID: name, Attributes: map[string]string{"driver": volume.Driver}})
	if err != nil {
		e.warn(err)
	}
}

// SayImage writes an event of the image id, which has the labels.
func (e *Engine) SayImage(action, id, name string, labels map[string]string) {
	if err := event.Append(e.eventDir(), event.Image(action, "sha256:"+id, name, labels)); err != nil {
		e.warn(err)
	}
}

// EventOptions choose what Events reads.
type EventOptions struct {
	Since, Until time.Time // zero: from now on, without an end
	Follow       bool      // wait for what is to come, up to Until
}

// Events hands what happened to fn, in order, until there is no more to come or ctx ends. Without Follow a zero Since is
// the first event that is kept.
func (e *Engine) Events(ctx context.Context, o EventOptions, fn func(event.Event) error) error {
	if err := os.MkdirAll(e.eventDir(), 0o700); err != nil {
		return fmt.Errorf("reading events: %w", err)
	}
	r := &eventReader{dir: e.eventDir(), opts: o, fn: fn}
	defer r.close()
	if o.Since.IsZero() && o.Follow {
		r.opts.Since = time.Now()
	}
	var watch *os.File
	if o.Follow {
		var err error
		if watch, err = watchDir(e.eventDir()); err != nil {
			return fmt.Errorf("waiting for events: %w", err)
		}
		defer watch.Close()
	}
	if err := r.readOld(); err != nil {
		return ignoreUntil(err)
	}
	for {
		if err := r.read(); err != nil || watch == nil {
			return ignoreUntil(err)
		}
		if !await(ctx, watch, o.Until) {
			return ctx.Err()
		}
	}
}

// watchDir hears of what is written, made and renamed in dir.
func watchDir(dir string) (*os.File, error) {
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	if err != nil {
		return nil, err
	}
	f := os.NewFile(uintptr(fd), "inotify")
	if _, err := unix.InotifyAddWatch(fd, dir, unix.IN_MODIFY|unix.IN_CREATE|unix.IN_MOVED_FROM); err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// await waits for something to be heard; false says that ctx or the time ended first.
func await(ctx context.Context, watch *os.File, until time.Time) bool {
	stop := context.AfterFunc(ctx, func() { watch.SetReadDeadline(time.Now()) })
	defer stop()
	watch.SetReadDeadline(until) // zero: none
	if ctx.Err() != nil {
		return false
	}
	_, err := watch.Read(make([]byte, 4096))
	return err == nil
}

type eventReader struct {
	dir  string
	opts EventOptions
	fn   func(event.Event) error
	file *os.File // the current log
	rest []byte   // the start of a line whose end is not yet written
}

func (r *eventReader) close() {
	if r.file != nil {
		r.file.Close()
		r.file, r.rest = nil, nil
	}
}

// readOld reads the file before the current one, if that is old enough to matter.
func (r *eventReader) readOld() error {
	f, err := os.Open(filepath.Join(r.dir, event.Old))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("reading events: %w", err)
	}
	r.file = f
	defer r.close()
	if st, err := f.Stat(); err == nil && st.ModTime().Before(r.opts.Since) {
		return nil
	}
	return r.drain()
}

// read reads what has been written since, over a change of the file.
func (r *eventReader) read() error {
	for {
		if r.file == nil {
			f, err := os.Open(filepath.Join(r.dir, event.File))
			if errors.Is(err, fs.ErrNotExist) {
				return nil
			}
			if err != nil {
				return fmt.Errorf("reading events: %w", err)
			}
			r.file = f
		}
		// Looked at before the file is read to its end: who finds it renamed has read all of it then.
		renamed := r.renamed()
		if err := r.drain(); err != nil || !renamed {
			return err
		}
		r.close()
	}
}

func (r *eventReader) renamed() bool {
	mine, err := r.file.Stat()
	if err != nil {
		return true
	}
	now, err := os.Stat(filepath.Join(r.dir, event.File))
	return err != nil || !os.SameFile(mine, now)
}

func (r *eventReader) drain() error {
	buf := make([]byte, 64<<10)
	for {
		n, err := r.file.Read(buf)
		r.rest = append(r.rest, buf[:n]...)
		for {
			line, rest, whole := bytes.Cut(r.rest, []byte{'\n'})
			if !whole {
				break
			}
			r.rest = rest
			if err := r.hand(line); err != nil {
				return err
			}
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return fmt.Errorf("reading events: %w", err)
		}
	}
}

// hand passes on what is within the times. A line that is none was cut off by a full file system.
func (r *eventReader) hand(line []byte) error {
	var e event.Event
	if json.Unmarshal(line, &e) != nil {
		return nil
	}
	switch {
	case e.Time < r.opts.Since.UnixNano() && !r.opts.Since.IsZero():
		return nil
	case !r.opts.Until.IsZero() && e.Time > r.opts.Until.UnixNano():
		return errUntil
	}
	return r.fn(e)
}
