package serve

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/proa-containers/proa/oci/monitor"
)

// ring is a log that never holds the container up: output waits in a buffer of a fixed size for the log behind it. What
// has no room there is dropped, by whole lines where that can be, and the log says how much that was.
//
// The buffer is a circle of records, each a head of headSize bytes and its text, which go on at the start of the buffer
// where they reach its end.
type ring struct {
	log logger
	out scratch // the text that is being written

	mu      sync.Mutex
	wake    sync.Cond // there is something to write, or the end
	buf     scratch
	start   int // of the oldest record
	used    int
	written int  // records
	writing bool // log and out are in use
	quiet   bool // memory is to be given back once all is written
	over    bool
	done    chan struct{} // closed when all is written after the end

	cut      map[string]bool // the start of a stream's current line was dropped
	bytes    int             // dropped since the last note
	messages int
}

// stamper is a log that can be told the time of what it writes next.
type stamper interface{ stamp(time.Time) }

const (
	headSize = 1 + 8 + 4 // of a record: the stream, the time, the length of the text
	noteSize = headSize + 200
)

func newRing(log logger, size int64) *ring {
	r := &ring{log: log, out: newScratch(monitor.MaxPayload), buf: newScratch(int(size)), cut: map[string]bool{}, done: make(chan struct{})}
	r.wake.L = &r.mu
	go r.run()
	return r
}

func (r *ring) write(stream string, chunk []byte) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.cut[stream] { // the rest of a line is dropped with its start
		n := bytes.IndexByte(chunk, '\n') + 1
		if n == 0 {
			n = len(chunk)
		}
		r.cut[stream] = chunk[n-1] != '\n'
		r.bytes += n
		chunk = chunk[n:]
	}
	room := len(r.buf) - r.used - headSize
	if r.bytes > 0 {
		room -= noteSize
	}
	keep := min(len(chunk), max(room, 0))
	if keep < len(chunk) && (r.used > 0 || bytes.IndexByte(chunk[:keep], '\n') >= 0) { // of a line longer than all, the start is kept
		keep = bytes.LastIndexByte(chunk[:keep], '\n') + 1
	}
	if keep > 0 {
		now := time.Now()
		if r.bytes > 0 {
			r.put("stderr", now, r.note())
		}
		r.put(stream, now, chunk[:keep])
		r.wake.Signal()
	}
	r.drop(stream, chunk[keep:])
	return nil
}

// drop counts what has no room.
func (r *ring) drop(stream string, rest []byte) {
	if len(rest) == 0 {
		return
	}
	r.cut[stream] = rest[len(rest)-1] != '\n'
	r.bytes += len(rest)
	r.messages += bytes.Count(rest, []byte{'\n'})
	if r.cut[stream] {
		r.messages++
	}
}

// note is the record of what was dropped, which counts from the beginning after it.
func (r *ring) note() []byte {
	defer func() { r.bytes, r.messages = 0, 0 }()
	return fmt.Appendf(nil, "proa: %d messages, %d bytes of output, were dropped here: the log is slower than the container, which does not wait for it (mode=non-blocking)\n",
		r.messages, r.bytes)
}

// put appends a record, for which there is room.
func (r *ring) put(stream string, at time.Time, text []byte) {
	var head [headSize]byte
	if stream == "stderr" {
		head[0] = 1
	}
	binary.LittleEndian.PutUint64(head[1:], uint64(at.UnixNano()))
	binary.LittleEndian.PutUint32(head[9:], uint32(len(text)))
	for _, b := range [][]byte{head[:], text} {
		end := (r.start + r.used) % len(r.buf)
		n := copy(r.buf[end:], b)
		copy(r.buf, b[n:])
		r.used += len(b)
	}
}

// take removes the oldest record; its text is in out.
func (r *ring) take() (stream string, at time.Time, text []byte) {
	var head [headSize]byte
	r.shift(head[:])
	text = r.out[:binary.LittleEndian.Uint32(head[9:])]
	r.shift(text)
	if stream = "stdout"; head[0] == 1 {
		stream = "stderr"
	}
	return stream, time.Unix(0, int64(binary.LittleEndian.Uint64(head[1:]))), text
}

func (r *ring) shift(to []byte) {
	n := copy(to, r.buf[r.start:])
	copy(to[n:], r.buf)
	r.start = (r.start + len(to)) % len(r.buf)
	r.used -= len(to)
}

// run writes what is in the buffer to the log until the end.
func (r *ring) run() {
	defer close(r.done)
	stamped, _ := r.log.(stamper)
	r.mu.Lock()
	defer r.mu.Unlock()
	for {
		for r.used == 0 && r.bytes == 0 && !r.over {
			if r.quiet {
				r.giveBack()
			}
			r.wake.Wait()
		}
		if r.used == 0 && r.bytes == 0 {
			return
		}
		if r.used == 0 { // no output may come that the note would go before
			r.put("stderr", time.Now(), r.note())
		}
		stream, at, text := r.take()
		r.writing = true
		r.mu.Unlock()
		if stamped != nil {
			stamped.stamp(at)
		}
		_ = r.log.write(stream, text) // what it loses it tells itself
		r.mu.Lock()
		r.writing = false
		r.written++
	}
}

func (r *ring) release() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.used > 0 || r.writing {
		r.quiet = true
	} else {
		r.giveBack()
	}
}

// giveBack is called with nothing to write.
func (r *ring) giveBack() {
	r.quiet = false
	r.buf.release()
	r.out.release()
	r.log.release()
}

// close waits for what is left to be written, as long as the log takes some of it: the end of the container does not wait
// for a log that is stuck.
func (r *ring) close() error {
	r.mu.Lock()
	r.over = true
	r.wake.Signal()
	before := -1
	for {
		written := r.written
		r.mu.Unlock()
		if written == before {
			return errors.New("the log takes no output any more")
		}
		before = written
		select {
		case <-r.done:
			return r.log.close()
		case <-time.After(drainTime):
		}
		r.mu.Lock()
	}
}
