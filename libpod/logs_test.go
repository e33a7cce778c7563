package libpod

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/proa-containers/proa/oci/monitor"
)

// logged is a container with a log, whose lines are of the seconds from 1 up.
func logged(t *testing.T, e *Engine, driver string, lines ...string) *Container {
	t.Helper()
	c := newContainer(t, e, fmt.Sprintf("log%d", time.Now().UnixNano()))
	c.Log = monitor.Log{Driver: driver, Path: filepath.Join(t.TempDir(), "ctr.log")}
	appendLog(t, c.Log.Path, lines...)
	return c
}

func appendLog(t *testing.T, path string, lines ...string) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteString(strings.Join(lines, "")); err != nil {
		t.Fatal(err)
	}
}

func at(second int) time.Time { return time.Date(2030, 1, 1, 0, 0, second, 0, time.UTC) }

func k8s(second int, rest string) string {
	return at(second).Format(time.RFC3339Nano) + " " + rest + "\n"
}

func read(t *testing.T, e *Engine, c *Container, o LogOptions) string {
	t.Helper()
	var out []string
	if err := e.Logs(t.Context(), c, o, func(l LogLine) error {
		s := string(l.Text)
		if l.Stderr {
			s = "!" + s
		}
		if l.Partial {
			s += "~"
		}
		out = append(out, s)
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	return strings.Join(out, "|")
}

func TestLogs(t *testing.T) {
	e := newEngine(t)
	k := logged(t, e, "k8s-file", k8s(1, "stdout F one"), k8s(2, "stderr F two words"), k8s(3, "stdout P part"), k8s(4, "stdout F "), k8s(5, "stdout F last"))
	j := logged(t, e, "json-file",
		`{"log":"one\n","stream":"stdout","time":"2030-01-01T00:00:01Z"}`+"\n", `{"log":"two words\n","stream":"stderr","time":"2030-01-01T00:00:02Z"}`+"\n",
		`{"log":"part","stream":"stdout","time":"2030-01-01T00:00:03Z"}`+"\n", `{"log":"\n","stream":"stdout","time":"2030-01-01T00:00:04Z"}`+"\n",
		`{"log":"last\n","stream":"stdout","time":"2030-01-01T00:00:05Z"}`+"\n")
	for _, c := range []*Container{k, j} {
		for _, x := range []struct {
			opts LogOptions
			want string
		}{
			{LogOptions{Tail: -1}, "one|!two words|part~||last"},
			{LogOptions{Tail: 0}, ""},
			{LogOptions{Tail: 2}, "part~||last"},
			{LogOptions{Tail: 1}, "last"},
			{LogOptions{Tail: 99}, "one|!two words|part~||last"},
			{LogOptions{Tail: -1, Since: at(3)}, "part~||last"},
			{LogOptions{Tail: -1, Until: at(2)}, "one|!two words"},
			{LogOptions{Tail: -1, Since: at(2), Until: at(2)}, "!two words"},
			{LogOptions{Tail: 3, Since: at(5)}, "last"},
			{LogOptions{Tail: -1, Since: at(6)}, ""},
		} {
			if got := read(t, e, c, x.opts); got != x.want {
				t.Errorf("%s %+v: %q, want %q", c.Log.Driver, x.opts, got, x.want)
			}
		}
	}
}

func TestLogsThatKeepNothing(t *testing.T) {
	e := newEngine(t)
	for _, driver := range []string{"none", "passthrough"} {
		err := e.Logs(t.Context(), logged(t, e, driver), LogOptions{Tail: -1}, nil)
		mustContain(t, err, driver, "--log-driver k8s-file")
	}
	c := logged(t, e, "k8s-file")
	if err := os.Remove(c.Log.Path); err != nil {
		t.Fatal(err)
	}
	if got := read(t, e, c, LogOptions{Tail: 5}); got != "" {
		t.Errorf("a container that never ran said %q", got)
	}
}

// TestDamagedLog: what a power cut left half written is passed over, a long line comes whole.
func TestDamagedLog(t *testing.T) {
	e := newEngine(t)
	long := strings.Repeat("x", 200<<10)
	c := logged(t, e, "k8s-file", k8s(1, "stdout F one"), "2030-01-01T00:0\x00\x00\x00\n", "\n", k8s(2, "stdout F "+long), "no time stdout F x\n", k8s(3, "stdout F three")+"2030-01-01T00:00:04Z stdout F unfin")
	if got := read(t, e, c, LogOptions{Tail: -1}); got != "one|"+long+"|three" {
		t.Errorf("%.40q and %d bytes", got, len(got))
	}
}

func TestRotatedLog(t *testing.T) {
	e := newEngine(t)
	c := logged(t, e, "k8s-file", k8s(5, "stdout F five"), k8s(6, "stdout F six"))
	appendLog(t, c.Log.Path+".1", k8s(3, "stdout F three"), k8s(4, "stdout F four"))
	appendLog(t, c.Log.Path+".2", k8s(1, "stdout F one"), k8s(2, "stdout F two"))
	for tail, want := range map[int]string{-1: "one|two|three|four|five|six", 6: "one|two|three|four|five|six", 5: "two|three|four|five|six", 3: "four|five|six", 1: "six"} {
		if got := read(t, e, c, LogOptions{Tail: tail}); got != want {
			t.Errorf("the last %d: %q", tail, got)
		}
	}
}

// TestFollow reads along while another writes and rotates, until the container ends, and misses nothing.
func TestFollow(t *testing.T) {
	for _, files := range []int{1, 2, 4} {
		e := newEngine(t)
		c := logged(t, e, "k8s-file", k8s(0, "stdout F 0"))
		cmd, init := sleeper(t)
		leave(t, e, c, monitor.InitFile, init)
		got := make(chan string, 1000)
		done := make(chan error)
		go func() {
			done <- e.Logs(t.Context(), c, LogOptions{Tail: -1, Follow: true}, func(l LogLine) error { got <- string(l.Text); return nil })
		}()
		n := 1
		expect := func() {
			t.Helper()
			for ; n > 0; n-- {
				select {
				case s := <-got:
					if s == "lost" {
						t.Error("a line of before")
					}
				case <-time.After(20 * time.Second):
					t.Fatalf("with %d files, %d lines were never read", files, n)
				}
			}
		}
		expect()
		for round := range 3 {
			// Half of a record is there when the reader comes by; then its rest, more, and the file goes.
			record := k8s(round, fmt.Sprintf("stdout F %d", round))
			appendLog(t, c.Log.Path, record[:10])
			time.Sleep(time.Millisecond)
			appendLog(t, c.Log.Path, record[10:], record)
			n = 2
			if files == 1 {
				expect() // what is in a file that is removed before it is read is gone
				if err := os.Remove(c.Log.Path); err != nil {
					t.Fatal(err)
				}
			}
			for i := files - 1; i > 0; i-- {
				from := c.Log.Path
				if i > 1 {
					from += fmt.Sprintf(".%d", i-1)
				}
				os.Rename(from, fmt.Sprintf("%s.%d", c.Log.Path, i))
			}
			appendLog(t, c.Log.Path, record, record, record)
			n += 3
			expect()
		}
		cmd.Process.Kill()
		cmd.Wait()
		leave(t, e, c, monitor.ExitFile, monitor.Exit{})
		if err := <-done; err != nil {
			t.Errorf("with %d files: %v", files, err)
		}
		if len(got) != 0 {
			t.Errorf("with %d files, read twice: %q", files, <-got)
		}
	}
}

// TestFollowEmptied: somebody empties the log in place.
func TestFollowEmptied(t *testing.T) {
	e := newEngine(t)
	c := logged(t, e, "k8s-file", k8s(0, "stdout F a long line of before"))
	_, init := sleeper(t)
	leave(t, e, c, monitor.InitFile, init)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	got := make(chan string, 10)
	go e.Logs(ctx, c, LogOptions{Tail: -1, Follow: true}, func(l LogLine) error { got <- string(l.Text); return nil })
	<-got
	if err := os.WriteFile(c.Log.Path, []byte(k8s(1, "stdout F new")), 0o600); err != nil {
		t.Fatal(err)
	}
	select {
	case s := <-got:
		if s != "new" {
			t.Errorf("read %q", s)
		}
	case <-time.After(20 * time.Second):
		t.Error("the new line was never read")
	}
}

func TestFollowEndsWithItsCaller(t *testing.T) {
	e := newEngine(t)
	c := logged(t, e, "k8s-file", k8s(0, "stdout F 0"))
	_, init := sleeper(t)
	leave(t, e, c, monitor.InitFile, init)
	ctx, cancel := context.WithCancel(t.Context())
	err := e.Logs(ctx, c, LogOptions{Tail: -1, Follow: true}, func(LogLine) error { cancel(); return nil })
	if err != context.Canceled {
		t.Errorf("%v", err)
	}
}

func FuzzLogLine(f *testing.F) {
	f.Add([]byte("2030-01-01T00:00:01Z stdout F text"))
	f.Add([]byte("2030-01-01T00:00:01Z stderr P "))
	f.Add([]byte(`{"log":"one\n","stream":"stdout","time":"2030-01-01T00:00:01Z"}`))
	f.Add([]byte(`{"log":"a\\\"b\u2028\\\\","stream":"stderr","time":"2030-01-01T00:00:01Z"}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		if l, err := parseK8s(b, &LogOptions{}); err == nil && !strings.HasSuffix(string(b), string(l.Text)) {
			t.Errorf("%q has the text %q", b, l.Text)
		}
		plain, ok := parsePlainJSON(bytes.Clone(b), &LogOptions{Times: true})
		var v struct {
			Log, Stream string
			Time        time.Time
		}
		if err := json.Unmarshal(b, &v); ok && err == nil {
			text, whole := strings.CutSuffix(v.Log, "\n")
			kept := string([]rune(string(plain.Text))) // encoding/json makes U+FFFD of a byte that is no UTF-8, proa leaves it
			if kept != text || plain.Partial == whole || plain.Stderr != (v.Stream == "stderr") || !plain.Time.Equal(v.Time) {
				t.Errorf("%q was read as %+v, want %+v", b, plain, v)
			}
		}
		_, _ = parseJSON(b, &LogOptions{})
	})
}

func TestJournalEntry(t *testing.T) {
	l, cursor, err := parseJournal([]byte(`{"__CURSOR":"s=1","__REALTIME_TIMESTAMP":"1893456001000000","PRIORITY":"3","MESSAGE":[97,255,10],"CONTAINER_PARTIAL_MESSAGE":"true","CONTAINER_ID":"x","_UID":"1","A":"b"}`))
	if err != nil || cursor != "s=1" || !l.Stderr || !l.Partial || string(l.Text) != "a\xff\n" || !l.Time.Equal(at(1)) || len(l.Attrs) != 1 || l.Attrs["A"] != "b" {
		t.Errorf("%+v %q %v", l, cursor, err)
	}
	for _, bad := range []string{"", "{}", "[]", `{"__REALTIME_TIMESTAMP":"x"}`} {
		if _, _, err := parseJournal([]byte(bad)); err == nil {
			t.Errorf("%q is an entry", bad)
		}
	}
}

func FuzzJournalEntry(f *testing.F) {
	f.Add([]byte(`{"__CURSOR":"s=1","__REALTIME_TIMESTAMP":"1893456001000000","PRIORITY":"6","MESSAGE":"text","A":null}`))
	f.Add([]byte(`{"__REALTIME_TIMESTAMP":"1","MESSAGE":[1,2,300],"":"x"}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		if l, _, err := parseJournal(b); err == nil && len(l.Text) > 3*len(b) {
			t.Errorf("%q has the text %q", b, l.Text)
		}
	})
}

func TestJournalField(t *testing.T) {
	for in, want := range map[string]string{"a": "A", "com.example/role": "COM_EXAMPLE_ROLE", "_x": "X", "9lives": "LIVES", "é": "", strings.Repeat("a", 80): strings.Repeat("A", 64)} {
		if got := journalField(in); got != want {
			t.Errorf("%q became %q, want %q", in, got, want)
		}
	}
}
