package serve

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/proa-containers/proa/oci/monitor"
)

// logger writes the container's output to its log file.
type logger interface {
	// write appends a chunk of one stream, "stdout" or "stderr".
	write(stream string, chunk []byte) error
	close() error
}

type noLog struct{}

func (noLog) write(string, []byte) error { return nil }
func (noLog) close() error               { return nil }

func openLog(l monitor.Log) (logger, error) {
	var encode func(buf *bytes.Buffer, now time.Time, stream string, line []byte)
	switch l.Driver {
	case "none", "passthrough":
		return noLog{}, nil
	case "k8s-file":
		encode = encodeK8s
	case "json-file":
		encode = encodeJSON
	default:
		return nil, fmt.Errorf("unknown log driver %q", l.Driver)
	}
	log := &fileLog{opts: l, encode: encode}
	if l.Driver == "json-file" {
		log.held = map[string][]byte{}
	}
	if l.Lazy {
		return log, nil
	}
	return log, log.open()
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

// fileLog is a log of one record a line. A line that is cut by the end of a chunk becomes a partial record, so that
// nothing is held back and, in a k8s-file, binary output comes back as it was. JSON has text only: there the start of
// a character waits for its end.
type fileLog struct {
	opts   monitor.Log
	f      *os.File // nil before the first output of a lazy log
	size   int64
	buf    bytes.Buffer
	held   map[string][]byte // by stream; nil where any byte can be written
	encode func(*bytes.Buffer, time.Time, string, []byte)
}

func (l *fileLog) write(stream string, chunk []byte) error {
	if l.held != nil {
		if held := l.held[stream]; len(held) > 0 {
			chunk = append(held, chunk...)
		}
		whole := len(chunk) - cutCharacter(chunk)
		l.held[stream] = bytes.Clone(chunk[whole:])
		chunk = chunk[:whole]
	}
	return l.writeWhole(stream, chunk)
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

func (l *fileLog) writeWhole(stream string, chunk []byte) error {
	if len(chunk) == 0 {
		return nil
	}
	if l.f == nil {
		if err := l.openLate(); err != nil {
			return err
		}
	}
	now := time.Now()
	l.buf.Reset()
	for len(chunk) > 0 {
		n := bytes.IndexByte(chunk, '\n') + 1
		if n == 0 {
			n = len(chunk)
		}
		l.encode(&l.buf, now, stream, chunk[:n])
		chunk = chunk[n:]
	}
	if l.opts.MaxSize > 0 && l.size > 0 && l.size+int64(l.buf.Len()) > l.opts.MaxSize {
		if err := l.rotate(); err != nil {
			return err
		}
	}
	n, err := l.f.Write(l.buf.Bytes())
	l.size += int64(n)
	return err
}

// rotate moves log to log.1, log.1 to log.2 and so on, keeping MaxFiles in all. The log is always a new file: a reader
// that follows it tells by that.
func (l *fileLog) rotate() error {
	if l.opts.MaxFiles <= 1 {
		os.Remove(l.opts.Path)
	}
	for i := l.opts.MaxFiles - 1; i > 0; i-- {
		from := l.opts.Path
		if i > 1 {
			from += "." + strconv.Itoa(i-1)
		}
		os.Rename(from, l.opts.Path+"."+strconv.Itoa(i))
	}
	f, err := os.OpenFile(l.opts.Path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC|os.O_APPEND, 0o600)
	if err != nil {
		return fmt.Errorf("rotating the log: %w", err)
	}
	l.f.Close()
	l.f, l.size = f, 0
	return nil
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

// encodeK8s writes "TIME STREAM F|P LINE\n", F for a whole line and P for a part of one (the CRI log format).
func encodeK8s(buf *bytes.Buffer, now time.Time, stream string, line []byte) {
	buf.Write(now.AppendFormat(buf.AvailableBuffer(), time.RFC3339Nano))
	tag := " P "
	if line[len(line)-1] == '\n' {
		tag, line = " F ", line[:len(line)-1]
	}
	buf.WriteByte(' ')
	buf.WriteString(stream)
	buf.WriteString(tag)
	buf.Write(line)
	buf.WriteByte('\n')
}

// encodeJSON writes Docker's json-file record.
func encodeJSON(buf *bytes.Buffer, now time.Time, stream string, line []byte) {
	b, err := json.Marshal(struct {
		Log    string `json:"log"`
		Stream string `json:"stream"`
		Time   string `json:"time"`
	}{string(line), stream, now.UTC().Format(time.RFC3339Nano)})
	if err != nil {
		return
	}
	buf.Write(b)
	buf.WriteByte('\n')
}
