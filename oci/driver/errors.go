package driver

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// Error is a runtime's refusal.
type Error struct {
	Runtime string // its name
	Verb    string
	Text    string // its own words
	Silent  bool   // it logged none: they may be on its standard error
}

func (e *Error) Error() string { return e.Runtime + " " + e.Verb + ": " + e.Text }

// ExitCode is Docker's code for the failure: 127 when the container's command is not there, 126 when it can't be
// executed, else 125.
func (e *Error) ExitCode() int {
	if e.Verb != "create" && e.Verb != "start" && e.Verb != "exec" {
		return 125
	}
	return exitCode(e.Text)
}

// log is a runtime's log file, in memory.
type log struct{ file *os.File }

func newLog() (*log, error) {
	fd, err := unix.MemfdCreate("runtime log", unix.MFD_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("making a memory file: %w", err)
	}
	return &log{os.NewFile(uintptr(fd), "runtime log")}, nil
}

// path is for the runtime, whose descriptors are not ours.
func (l *log) path() string { return fmt.Sprintf("/proc/%d/fd/%d", os.Getpid(), l.file.Fd()) }

func (l *log) close() { l.file.Close() }

// failure is the *Error for a runtime that ended with err.
func (l *log) failure(runtime, verb string, err error) error {
	e := &Error{Runtime: runtime, Verb: verb}
	if _, seek := l.file.Seek(0, io.SeekStart); seek == nil {
		b, _ := io.ReadAll(io.LimitReader(l.file, 1<<20))
		e.Text = strings.TrimPrefix(logged(string(b)), runtime+" ")
		e.Text = strings.TrimPrefix(e.Text, verb+" failed: ") // runc's, and said by Error already
	}
	if e.Text == "" {
		e.Text, e.Silent = "it ended without a word: "+err.Error(), true
	}
	return e
}

// logged is the last error in a log of one JSON object a line, as runc writes it; of another format, the last line.
func logged(text string) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	for i := len(lines) - 1; i >= 0; i-- {
		var entry struct{ Level, Msg string }
		if json.Unmarshal([]byte(lines[i]), &entry) != nil {
			return strings.TrimSpace(lines[len(lines)-1])
		}
		if entry.Level == "error" || entry.Level == "fatal" {
			return entry.Msg
		}
	}
	return ""
}

// exitCode tells from a runtime's words whether it could not execute the container's command. Words about other things
// that are missing or forbidden, as the source of a mount, are no such failure.
func exitCode(text string) int {
	t := strings.ToLower(text)
	has := func(list ...string) bool {
		for _, s := range list {
			if strings.Contains(t, s) {
				return true
			}
		}
		return false
	}
	switch {
	// crun: executable file `X` not found in $PATH; runc: exec: "X": executable file not found in $PATH
	case has("executable file") && has("not found"):
		return 127
	// crun: open executable: REASON; runc: exec: "X": REASON; proa: execute "X": REASON
	case !has(`exec: "`, "open executable: ", `execute "`, "exec container process"):
		return 125
	case has("no such file or directory"):
		return 127
	case has("permission denied", "operation not permitted", "is a directory", "exec format error"):
		return 126
	}
	return 125
}
