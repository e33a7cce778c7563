package libpod

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"
)

// logReader reads a log of files, one record a line.
type logReader struct {
	engine *Engine
	c      *Container
	opts   LogOptions
	parse  func([]byte, *LogOptions) (LogLine, error)
	file   *os.File
	buf    *bufio.Reader
	rest   []byte // the start of a record whose end is not yet written
}

func (r *logReader) past(_ context.Context, fn func(LogLine) error) error {
	files, err := r.openAll()
	if err != nil {
		return err
	}
	if r.opts.Tail >= 0 && len(files) > 0 {
		first, at, err := tail(files, r.opts.Tail, r.parse)
		if err != nil {
			closeFiles(files)
			return fmt.Errorf("reading the log of container %q: %w", r.c.Name, err)
		}
		closeFiles(files[:first])
		files = files[first:]
		if _, err := files[0].Seek(at, io.SeekStart); err != nil {
			closeFiles(files)
			return fmt.Errorf("reading the log of container %q: %w", r.c.Name, err)
		}
	}
	return r.readAll(files, fn)
}

// readAll reads the files, the oldest first, and keeps the last one open.
func (r *logReader) readAll(files []logFile, fn func(LogLine) error) error {
	if r.buf == nil {
		r.buf = bufio.NewReaderSize(nil, 256<<10)
	}
	for i := range files {
		r.close()
		if err := files[i].unpack(); err != nil {
			closeFiles(files[i:])
			return fmt.Errorf("reading the log of container %q: %w", r.c.Name, err)
		}
		r.file, r.rest = files[i].File, nil
		r.buf.Reset(r.file)
		if err := r.drain(fn); err != nil {
			closeFiles(files[i+1:])
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

// openAll opens the log's files and returns them the oldest first. They are opened the newest first: a rotation
// meanwhile then shows one of them twice, and leaves none out.
func (r *logReader) openAll() (files []logFile, err error) {
	for i := 0; ; i++ {
		f, err := openLogFile(r.c.Log.Path, i)
		if errors.Is(err, os.ErrNotExist) && i == 0 {
			continue // not yet written, or between two renames
		}
		if errors.Is(err, os.ErrNotExist) {
			return files, nil
		}
		if err != nil {
			closeFiles(files)
			return nil, fmt.Errorf("opening the log of container %q: %w", r.c.Name, err)
		}
		if len(files) > 0 && f.is(files[0].File) {
			f.Close()
			continue
		}
		files = append([]logFile{f}, files...)
	}
}

// drain hands on every whole record from here to the end of the file.
func (r *logReader) drain(fn func(LogLine) error) error {
	for {
		record, err := r.buf.ReadSlice('\n')
		if err != nil || len(r.rest) > 0 {
			r.rest = append(r.rest, record...)
			record = r.rest
		}
		switch {
		case errors.Is(err, bufio.ErrBufferFull):
			continue
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return fmt.Errorf("reading the log of container %q: %w", r.c.Name, err)
		}
		r.rest = r.rest[:0]
		if err := r.hand(record[:len(record)-1], fn); err != nil {
			return err
		}
	}
}

// hand hands one record on if it is one that is wanted.
func (r *logReader) hand(record []byte, fn func(LogLine) error) error {
	line, err := r.parse(record, &r.opts)
	if err != nil {
		return nil // a record that a power cut left half written
	}
	if r.opts.times() {
		if line.Time.Before(r.opts.Since) {
			return nil
		}
		if !r.opts.Until.IsZero() && line.Time.After(r.opts.Until) {
			return errUntil
		}
	}
	return fn(line)
}

func (r *logReader) follow(ctx context.Context, fn func(LogLine) error) error {
	w := newLogWatch(ctx, r.engine.runDir(r.c.ID), r.c.Log.Path)
	defer w.close()
	var woken time.Time
	for {
		if time.Since(woken) >= followLook {
			woken = time.Now()
			r.engine.wake(r.c.ID) // the log goes on with its monitor
		}
		// The state is asked before the read: what was written before the end is then read after it.
		st := r.engine.Status(r.c).State
		if r.file != nil {
			if err := r.drain(fn); err != nil {
				return err
			}
		}
		next, err := r.successors()
		if err != nil {
			return err
		}
		if len(next) > 0 {
			// What was written between the last read and the rotation, and the files that came and went since.
			if r.file != nil {
				err = r.drain(fn)
			}
			if err != nil {
				closeFiles(next)
				return err
			}
			if err := r.readAll(next, fn); err != nil {
				return err
			}
			continue
		}
		r.opts.Idle()
		switch {
		case st == Exited || st == Created:
			return nil
		case !r.opts.Until.IsZero() && time.Now().After(r.opts.Until):
			return errUntil
		}
		if err := w.wait(ctx, r.opts.Until); err != nil {
			return err
		}
	}
}

// successors are the files that follow the one being read, when it was rotated away or, with a single file, emptied.
func (r *logReader) successors() ([]logFile, error) {
	var mine os.FileInfo
	at := int64(0)
	if r.file != nil {
		var err error
		if mine, err = r.file.Stat(); err != nil {
			return nil, fmt.Errorf("reading the log of container %q: %w", r.c.Name, err)
		}
		at, _ = r.file.Seek(0, io.SeekCurrent)
		now, err := os.Stat(r.c.Log.Path)
		if err != nil || os.SameFile(now, mine) && at <= now.Size() {
			return nil, nil // the usual case; or between two renames, or removed
		}
	}
	files, err := r.openAll()
	if err != nil || mine == nil {
		return files, err
	}
	for i, f := range files {
		now, err := f.Stat()
		if err != nil || !f.is(r.file) {
			continue
		}
		if f.packed { // the whole of it was read before it was rotated away
			closeFiles(files[:i+1])
			return files[i+1:], nil
		}
		if at <= now.Size() {
			i++
		}
		closeFiles(files[:i])
		return files[i:], nil
	}
	return files, nil
}
