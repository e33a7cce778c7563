package serve

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/proa-containers/proa/oci/monitor"
	"golang.org/x/sys/unix"
)

// logger keeps the container's output.
type logger interface {
	// write appends a chunk of one stream, "stdout" or "stderr". What can't be kept is told in the log when it can be
	// again: the container is never held up.
	write(stream string, chunk []byte) error
	// release gives back what memory a quiet container does not need.
	release()
	close() error
}

type noLog struct{}

func (noLog) write(string, []byte) error { return nil }
func (noLog) release()                   {}
func (noLog) close() error               { return nil }

func openLog(l monitor.Log) (logger, error) {
	log, err := openDriver(l)
	if err == nil && l.Buffer > 0 {
		log = newRing(log, l.Buffer)
	}
	return log, err
}

func openDriver(l monitor.Log) (logger, error) {
	log := &fileLog{opts: l}
	switch l.Driver {
	case "none", "passthrough":
		return noLog{}, nil
	case "journald":
		return openJournal(l)
	case "k8s-file":
		log.encode = appendK8s
	case "json-file":
		log.held = map[string][]byte{}
		log.attrs = encodeAttrs(l.Attrs)
		log.encode = log.appendJSON
	default:
		return nil, fmt.Errorf("unknown log driver %q", l.Driver)
	}
	if l.Lazy {
		return log, nil
	}
	return log, log.open()
}

// maxLine is the longest part of a line in one record, as Docker's and CRI's.
const maxLine = 16 << 10

// flushAt is how much is written at once.
const flushAt = 64 << 10

// fileLog is a log of one record a line. A line that is cut by the end of a chunk becomes a partial record, so that
// nothing is held back and binary output comes back as it was. JSON has text only: there the start of a character waits
// for its end.
type fileLog struct {
	opts   monitor.Log
	f      *os.File // nil before the first output of a lazy log
	size   int64    // of the file, without what is in buf
	held   map[string][]byte
	attrs  []byte
	at     time.Time // of what is written next; zero for now
	encode func(buf, stamp []byte, stream string, line []byte) []byte

	memory scratch
	buf    []byte // whole records not yet written, in memory
	raw    int64  // how much output they are
	lost   int64  // output that could not be written
	told   int64  // the part of lost that buf tells of
	why    error

	packing *packing // of the files that were rotated away; nil when none goes on
}

func (l *fileLog) open() error {
	f, err := os.OpenFile(l.opts.Path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return fmt.Errorf("opening the log: %w", err)
	}
	st, err := f.Stat()
	if err != nil {
		f.Close()
		return fmt.Errorf("opening the log: %w", err)
	}
	l.f, l.size = f, st.Size()
	return nil
}

// openLate makes a lazy log.
func (l *fileLog) openLate() error {
	if err := os.MkdirAll(filepath.Dir(l.opts.Path), 0o700); err != nil {
		return fmt.Errorf("opening the log: %w", err)
	}
	return l.open()
}

func (l *fileLog) write(stream string, chunk []byte) error {
	if l.held == nil {
		return l.writeWhole(stream, chunk)
	}
	var errs error
	held := l.held[stream]
	if len(held) > 0 {
		for len(chunk) > 0 && !utf8.FullRune(held) {
			held, chunk = append(held, chunk[0]), chunk[1:]
		}
		if utf8.FullRune(held) {
			errs = l.writeWhole(stream, held)
			held = held[:0]
		}
	}
	whole := len(chunk) - cutCharacter(chunk)
	l.held[stream] = append(held, chunk[whole:]...)
	return errors.Join(errs, l.writeWhole(stream, chunk[:whole]))
}

// cutCharacter is the length of the unfinished UTF-8 character at the end of b.
func cutCharacter(b []byte) int {
	for n := 1; n < utf8.UTFMax && n <= len(b); n++ {
		if end := b[len(b)-n:]; utf8.RuneStart(end[0]) {
			if utf8.FullRune(end) {
				return 0
			}
			return n
		}
	}
	return 0
}

// stampLayout has a fixed width, so that records sort.
const stampLayout = "2006-01-02T15:04:05.000000000Z07:00"

func (l *fileLog) writeWhole(stream string, chunk []byte) error {
	if len(chunk) == 0 {
		return nil
	}
	if l.f == nil {
		if err := l.openLate(); err != nil {
			l.lose(int64(len(chunk)), err)
			return err
		}
	}
	if l.memory == nil {
		// The longest record: every byte escaped, and once more as base64.
		l.memory = newScratch(flushAt + 8*maxLine + len(l.attrs) + page)
	}
	var at [len(stampLayout)]byte
	now := l.at
	if now.IsZero() {
		now = time.Now()
	}
	stamp := now.UTC().AppendFormat(at[:0], stampLayout)
	var errs error
	if l.lost > 0 {
		l.told = l.lost
		note := fmt.Sprintf("proa: %d bytes of output were lost here: %v\n", l.lost, l.why)
		errs = l.add(stamp, "stderr", []byte(note), 0)
	}
	for len(chunk) > 0 {
		n := lineLength(chunk)
		errs = errors.Join(errs, l.add(stamp, stream, chunk[:n], int64(n)))
		chunk = chunk[n:]
	}
	return errors.Join(errs, l.flush())
}

// add appends one record to buf, in the next file if it does not fit in this one.
func (l *fileLog) add(stamp []byte, stream string, line []byte, raw int64) error {
	if l.buf == nil {
		l.buf = l.memory[:0]
	}
	start := len(l.buf)
	l.buf = l.encode(l.buf, stamp, stream, line)
	record := l.buf[start:]
	before := l.size + int64(start)
	if l.opts.MaxSize > 0 && before > 0 && before+int64(len(record)) > l.opts.MaxSize {
		l.buf = l.buf[:start]
		err := l.flush()
		if before = l.size; before > 0 {
			err = errors.Join(err, l.rotate())
		}
		l.buf = append(l.memory[:0], record...)
		l.raw = raw
		return err
	}
	l.raw += raw
	if len(l.buf) >= flushAt {
		return l.flush()
	}
	return nil
}

// flush writes what is in buf, all of it or nothing.
func (l *fileLog) flush() error {
	if len(l.buf) == 0 {
		return nil
	}
	_, err := l.f.Write(l.buf)
	if err != nil {
		unix.Ftruncate(int(l.f.Fd()), l.size)
		l.lose(l.raw, err)
	} else {
		l.size += int64(len(l.buf))
		l.lost -= l.told
	}
	l.buf, l.raw, l.told = l.buf[:0], 0, 0
	return err
}

func (l *fileLog) lose(n int64, err error) {
	l.lost += n
	var path *os.PathError
	if errors.As(err, &path) {
		err = path.Err
	}
	l.why = err
}

// rotate moves log to log.1, log.1 to log.2 and so on, keeping MaxFiles in all. The log is always a new file: a reader
// that follows it tells by that.
func (l *fileLog) rotate() error {
	l.packing.end()
	if l.opts.MaxFiles <= 1 {
		os.Remove(l.opts.Path)
	}
	for i := l.opts.MaxFiles - 1; i > 0; i-- {
		from, to := rotated(l.opts.Path, i-1), rotated(l.opts.Path, i)
		if l.opts.Compress {
			os.Remove(to)
			if os.Rename(from+packed, to+packed) != nil {
				os.Remove(to + packed) // of a file before
			}
		}
		os.Rename(from, to)
	}
	f, err := os.OpenFile(l.opts.Path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC|os.O_APPEND, 0o600)
	if err != nil {
		return fmt.Errorf("rotating the log: %w", err)
	}
	l.f.Close()
	l.f, l.size = f, 0
	if l.opts.Compress {
		l.packing = startPacking(l.opts)
	}
	return nil
}

// rotated is the name of the file that was the log i rotations ago.
func rotated(path string, i int) string {
	if i == 0 {
		return path
	}
	return path + "." + strconv.Itoa(i)
}

func (l *fileLog) stamp(at time.Time) { l.at = at }

func (l *fileLog) release() {
	l.memory.release()
	l.buf = nil
}

func (l *fileLog) close() error {
	var errs []error
	for stream, rest := range l.held {
		errs = append(errs, l.writeWhole(stream, rest))
	}
	if l.f != nil {
		errs = append(errs, l.f.Close())
	}
	return errors.Join(errs...)
}
