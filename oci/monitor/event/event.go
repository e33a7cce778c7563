// Package event owns the log of what happened to containers, volumes and images: one JSON object a line, in a directory on tmpfs that the
// user's proa processes and monitors write to. It is read by libpod. It links into proa and into proa-init, so it
// imports next to nothing.
//
//	DIR/log    the current file
//	DIR/log.1  the one before; together they hold the last MaxSize to 2*MaxSize bytes
package event

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// The files of a log's directory.
const (
	File = "log"
	Old  = "log.1"
)

// MaxSize of a file in bytes.
const MaxSize = 1 << 20

// Event is one thing that happened, in Docker's words.
type Event struct {
	Type       string            `json:"type"`
	Action     string            `json:"action"`
	ID         string            `json:"id"` // of what it happened to
	Attributes map[string]string `json:"attr,omitempty"`
	Time       int64             `json:"time"` // nanoseconds
}

// Source is what the events of one container have in common.
type Source struct {
	Dir        string
	ID         string
	Attributes map[string]string // its image and name, and its labels
}

// Say appends an event of the container; pairs are further attributes.
func (s Source) Say(action string, pairs ...string) error {
	e := Event{Type: "container", Action: action, ID: s.ID, Attributes: s.Attributes}
	if len(pairs) > 0 {
		e.Attributes = make(map[string]string, len(s.Attributes)+len(pairs)/2)
		for k, v := range s.Attributes {
			e.Attributes[k] = v
		}
		for i := 0; i+1 < len(pairs); i += 2 {
			e.Attributes[pairs[i]] = pairs[i+1]
		}
	}
	return Append(s.Dir, e)
}

// Image is an event of the image id, or for a pull of the name it was pulled by. As with Docker its labels are attributes
// too.
func Image(action, id, name string, labels map[string]string) Event {
	attributes := make(map[string]string, len(labels)+1)
	for k, v := range labels {
		attributes[k] = v
	}
	attributes["name"] = name
	return Event{Type: "image", Action: action, ID: id, Attributes: attributes}
}

// Append writes an event that happens now to the log in dir. Nothing is synced: the log is of this boot.
func Append(dir string, e Event) error {
	if err := write(dir, e); err != nil {
		return fmt.Errorf("writing an event: %w", err)
	}
	return nil
}

func write(dir string, e Event) error {
	path := filepath.Join(dir, File)
	for {
		f, err := open(dir, path)
		if err != nil {
			return err
		}
		done, err := appendTo(f, dir, path, e)
		unix.Close(f) // and with it goes the lock
		if done || err != nil {
			return err
		}
	}
}

func open(dir, path string) (int, error) {
	const flags = unix.O_WRONLY | unix.O_APPEND | unix.O_CREAT | unix.O_CLOEXEC | unix.O_NOFOLLOW
	f, err := unix.Open(path, flags, 0o600)
	if errors.Is(err, fs.ErrNotExist) {
		if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
			return -1, err
		}
		f, err = unix.Open(path, flags, 0o600)
	}
	return f, err
}

// appendTo writes e under the file's lock, so that the times in the file rise; false says that the file was full and the
// event belongs into the next.
func appendTo(f int, dir, path string, e Event) (bool, error) {
	if err := lock(f); err != nil {
		return false, err
	}
	var st unix.Stat_t
	if err := unix.Fstat(f, &st); err != nil {
		return false, err
	}
	if st.Size >= MaxSize {
		return false, rotate(&st, dir, path)
	}
	e.Time = time.Now().UnixNano()
	_, err := unix.Write(f, e.line())
	return true, err
}

func lock(f int) error {
	for {
		if err := unix.Flock(f, unix.LOCK_EX); err != unix.EINTR {
			return err
		}
	}
}

// rotate renames the full file unless another writer has done so since it was opened. The caller has its lock.
func rotate(full *unix.Stat_t, dir, path string) error {
	var now unix.Stat_t
	if err := unix.Lstat(path, &now); err != nil || now.Ino != full.Ino {
		return nil
	}
	return os.Rename(path, filepath.Join(dir, Old))
}

// line is the event as it is written. By hand: reflection would take longer than all the rest.
func (e *Event) line() []byte {
	b := make([]byte, 0, 512)
	b = append(append(b, `{"type":`...), quote(e.Type)...)
	b = append(append(b, `,"action":`...), quote(e.Action)...)
	b = append(append(b, `,"id":`...), quote(e.ID)...)
	if len(e.Attributes) > 0 {
		sep := byte('{')
		b = append(b, `,"attr":`...)
		for k, v := range e.Attributes {
			b = append(append(b, sep), quote(k)...)
			b = append(append(b, ':'), quote(v)...)
			sep = ','
		}
		b = append(b, '}')
	}
	b = strconv.AppendInt(append(b, `,"time":`...), e.Time, 10)
	return append(b, '}', '\n')
}

func quote(s string) []byte {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c > '~' || c == '"' || c == '\\' {
			b, err := json.Marshal(s)
			if err != nil {
				return []byte(`""`)
			}
			return b
		}
	}
	return append(append([]byte{'"'}, s...), '"')
}
