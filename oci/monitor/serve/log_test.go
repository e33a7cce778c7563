package serve

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/proa-containers/proa/oci/monitor"
)

func openTestLog(t *testing.T, l monitor.Log) (logger, string) {
	t.Helper()
	if l.Path == "" {
		l.Path = filepath.Join(t.TempDir(), "ctr.log")
	}
	log, err := openLog(l)
	if err != nil {
		t.Fatal(err)
	}
	return log, l.Path
}

func mustWrite(t *testing.T, l logger, stream string, chunk []byte) {
	t.Helper()
	if err := l.write(stream, chunk); err != nil {
		t.Fatal(err)
	}
}

func lines(t *testing.T, path string) []string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if len(b) > 0 && b[len(b)-1] != '\n' {
		t.Errorf("%s ends within a record: %q", path, b)
	}
	if len(b) == 0 {
		return nil
	}
	return strings.Split(strings.TrimSuffix(string(b), "\n"), "\n")
}

func TestK8sFile(t *testing.T) {
	l, path := openTestLog(t, monitor.Log{Driver: "k8s-file"})
	mustWrite(t, l, "stdout", []byte("one\ntwo\n\npart"))
	mustWrite(t, l, "stderr", []byte("err or \x00\xff\n"))
	mustWrite(t, l, "stdout", nil)
	if err := l.close(); err != nil {
		t.Fatal(err)
	}
	want := []string{"stdout F one", "stdout F two", "stdout F ", "stdout P part", "stderr F err or \x00\xff"}
	got := lines(t, path)
	if len(got) != len(want) {
		t.Fatalf("%q", got)
	}
	for i, line := range got {
		stamp, rest, _ := strings.Cut(line, " ")
		if rest != want[i] {
			t.Errorf("record %d is %q, want %q", i, rest, want[i])
		}
		if at, err := time.Parse(time.RFC3339Nano, stamp); err != nil || time.Since(at) > time.Hour || time.Since(at) < 0 {
			t.Errorf("record %d is of %q", i, stamp)
		}
	}
	if st, err := os.Stat(path); err != nil || st.Mode().Perm() != 0o600 {
		t.Errorf("the log is for others: %v", st.Mode())
	}
}

func TestJSONFile(t *testing.T) {
	l, path := openTestLog(t, monitor.Log{Driver: "json-file"})
	mustWrite(t, l, "stdout", []byte("one \"<ü>\"\npart"))
	mustWrite(t, l, "stderr", []byte("two\n"))
	var got []string
	for _, line := range lines(t, path) {
		var r struct {
			Log, Stream string
			Time        time.Time
		}
		if err := json.Unmarshal([]byte(line), &r); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		if r.Time.Location() != time.UTC || time.Since(r.Time) > time.Hour {
			t.Errorf("%q: its time is %v", line, r.Time)
		}
		got = append(got, r.Stream+" "+r.Log)
	}
	if want := fmt.Sprintf("%q", []string{"stdout one \"<ü>\"\n", "stdout part", "stderr two\n"}); fmt.Sprintf("%q", got) != want {
		t.Errorf("got %q\nwant %s", got, want)
	}
}

// TestJSONKeepsCharacters: a chunk ends wherever the pipe's reader had room, often within a character.
func TestJSONKeepsCharacters(t *testing.T) {
	text := strings.Repeat("aé€😀", 50)
	for size := 1; size < 12; size++ {
		l, path := openTestLog(t, monitor.Log{Driver: "json-file"})
		for b := []byte(text + "\n"); len(b) > 0; {
			n := min(size, len(b))
			mustWrite(t, l, "stdout", b[:n])
			mustWrite(t, l, "stderr", []byte("x"))
			b = b[n:]
		}
		if err := l.close(); err != nil {
			t.Fatal(err)
		}
		if got := joined(t, path, "stdout"); got != text+"\n" {
			t.Errorf("in chunks of %d it became %q", size, got)
		}
	}
	// What is no text is replaced, as Docker does, and what is held back for a character that never ends is not lost.
	l, path := openTestLog(t, monitor.Log{Driver: "json-file"})
	mustWrite(t, l, "stdout", []byte("a\xffb\xe2\x82"))
	if err := l.close(); err != nil {
		t.Fatal(err)
	}
	if got := joined(t, path, "stdout"); got != "a\ufffdb\ufffd\ufffd" {
		t.Errorf("bytes that are no text became %q", got)
	}
}

func joined(t *testing.T, path, stream string) string {
	t.Helper()
	var out strings.Builder
	for _, line := range lines(t, path) {
		var r struct{ Log, Stream string }
		if err := json.Unmarshal([]byte(line), &r); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		if r.Stream == stream {
			out.WriteString(r.Log)
		}
	}
	return out.String()
}

func TestNoLog(t *testing.T) {
	for _, driver := range []string{"none", "passthrough"} {
		l, path := openTestLog(t, monitor.Log{Driver: driver})
		mustWrite(t, l, "stdout", []byte("x\n"))
		if _, err := os.Stat(path); !os.IsNotExist(err) {
			t.Errorf("%s made a file: %v", driver, err)
		}
		if err := l.close(); err != nil {
			t.Error(err)
		}
	}
	if _, err := openLog(monitor.Log{Driver: "syslog", Path: "x"}); err == nil || !strings.Contains(err.Error(), `"syslog"`) {
		t.Errorf("an unknown driver: %v", err)
	}
	if _, err := openLog(monitor.Log{Driver: "k8s-file", Path: "/nowhere/log"}); err == nil || !strings.Contains(err.Error(), "opening the log") {
		t.Errorf("no directory: %v", err)
	}
}

func TestRotation(t *testing.T) {
	for _, c := range []struct{ maxFiles, want int }{{0, 1}, {1, 1}, {2, 2}, {3, 3}} {
		l, path := openTestLog(t, monitor.Log{Driver: "k8s-file", MaxSize: 300, MaxFiles: c.maxFiles})
		const n = 40
		for i := range n {
			mustWrite(t, l, "stdout", fmt.Appendf(nil, "line %03d\n", i))
		}
		files, err := filepath.Glob(path + "*")
		if err != nil || len(files) != c.want {
			t.Errorf("max-file %d: %v", c.maxFiles, files)
		}
		// The newest lines are there without a gap, the newest of all in the file without a number.
		var all []string
		for i := len(files) - 1; i >= 0; i-- {
			name := path
			if i > 0 {
				name = fmt.Sprintf("%s.%d", path, i)
			}
			st, err := os.Stat(name)
			if err != nil || st.Size() > 300 {
				t.Errorf("max-file %d: %s: %v, %v", c.maxFiles, name, st, err)
			}
			all = append(all, lines(t, name)...)
		}
		for i, line := range all {
			if want := fmt.Sprintf("line %03d", n-len(all)+i); !strings.HasSuffix(line, want) {
				t.Errorf("max-file %d: record %d of %d is %q, want %q", c.maxFiles, i, len(all), line, want)
			}
		}
	}
}

// TestRotationCountsWhatWasThere: a restarted container goes on with its log.
func TestRotationCountsWhatWasThere(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	o := monitor.Log{Driver: "k8s-file", Path: path, MaxSize: 100, MaxFiles: 2}
	for range 2 {
		l, _ := openTestLog(t, o)
		mustWrite(t, l, "stdout", []byte("some line of some length\n"))
		if err := l.close(); err != nil {
			t.Fatal(err)
		}
	}
	if n := len(lines(t, path)); n != 1 {
		t.Errorf("%d records in the file", n)
	}
	if n := len(lines(t, path+".1")); n != 1 {
		t.Errorf("%d records in the rotated file", n)
	}
	// One record larger than the limit is kept whole.
	l, _ := openTestLog(t, monitor.Log{Driver: "k8s-file", Path: path, MaxSize: 10, MaxFiles: 2})
	mustWrite(t, l, "stdout", bytes.Repeat([]byte("x"), 5000))
	if got := lines(t, path); len(got) != 1 || len(got[0]) < 5000 {
		t.Errorf("a large record: %d records", len(got))
	}
}

// TestFullDisk: no write fails for good, no record is torn, and the loss is told.
func TestFullDisk(t *testing.T) {
	for _, driver := range []string{"k8s-file", "json-file"} {
		l, path := openTestLog(t, monitor.Log{Driver: driver})
		mustWrite(t, l, "stdout", []byte("before\n"))
		log := l.(*fileLog)
		file, full := log.f, must(os.OpenFile("/dev/full", os.O_WRONLY, 0))
		log.f = full
		for range 3 {
			if err := l.write("stdout", bytes.Repeat([]byte("gone\n"), 40000)); err == nil {
				t.Error("a full disk takes everything")
			}
		}
		log.f = file
		mustWrite(t, l, "stdout", []byte("after\n"))
		mustWrite(t, l, "stdout", []byte("last\n"))
		if err := l.close(); err != nil {
			t.Fatal(err)
		}
		got := lines(t, path)
		if len(got) != 4 || !strings.Contains(got[1], "600000 bytes of output were lost here: no space left on device") || !strings.Contains(got[1], "stderr") {
			t.Errorf("%q", got)
		}
		full.Close()
	}
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// TestJSONKeepsBytes: what is no text stands beside what Docker would make of it.
func TestJSONKeepsBytes(t *testing.T) {
	l, path := openTestLog(t, monitor.Log{Driver: "json-file", Attrs: map[string]string{"tag": "<x>", "a": "b"}})
	mustWrite(t, l, "stdout", []byte("a\xffb\n"))
	mustWrite(t, l, "stdout", []byte("text\u2028\x1b\n"))
	for i, want := range []string{`{"log":"a\ufffdb\n","stream":"stdout","raw":"Yf9iCg==","attrs":{"a":"b","tag":"\u003cx\u003e"},"time":"`,
		`{"log":"text\u2028\u001b\n","stream":"stdout","attrs":{"a":"b","tag":"\u003cx\u003e"},"time":"`} {
		if got := lines(t, path)[i]; !strings.HasPrefix(got, want) {
			t.Errorf("record %d is %s, want %s", i, got, want)
		}
	}
}

// FuzzJSONString: the strings are those of encoding/json, but for the two short forms that it has besides.
func FuzzJSONString(f *testing.F) {
	f.Add("a\"b\\c<>&\u2028\xff\x00\t\r\n\x7f")
	f.Fuzz(func(t *testing.T, text string) {
		want, err := json.Marshal(text)
		if err != nil {
			t.Fatal(err)
		}
		want = bytes.ReplaceAll(bytes.ReplaceAll(want, []byte(`\b`), []byte(`\u0008`)), []byte(`\f`), []byte(`\u000c`))
		got, whole := appendString(nil, []byte(text))
		if !strings.Contains(text, `\`) && string(got) != string(want) || whole != utf8.ValidString(text) {
			t.Errorf("%q became %s, want %s; whole: %v", text, got, want, whole)
		}
		var back string
		if err := json.Unmarshal(got, &back); err != nil || whole && back != text {
			t.Errorf("%s reads as %q: %v", got, back, err)
		}
	})
}

// FuzzLog: whatever is written, in whatever chunks, each record is one line, and k8s-file gives the bytes back.
func FuzzLog(f *testing.F) {
	f.Add([]byte("one\ntwo"), uint8(3), int64(0))
	f.Add([]byte("\n\n\xff\xe2\x82\xac\r\n"), uint8(1), int64(100))
	f.Fuzz(func(t *testing.T, data []byte, size uint8, max int64) {
		if size == 0 {
			return
		}
		for _, driver := range []string{"k8s-file", "json-file"} {
			l, path := openTestLog(t, monitor.Log{Driver: driver, MaxSize: max, MaxFiles: 2})
			for b := data; len(b) > 0; {
				n := min(int(size), len(b))
				mustWrite(t, l, "stdout", b[:n])
				b = b[n:]
			}
			if err := l.close(); err != nil {
				t.Fatal(err)
			}
			if driver == "json-file" && (!utf8.Valid(data) || max > 0) {
				continue
			}
			if driver == "json-file" {
				if got := joined(t, path, "stdout"); len(data) > 0 && got != string(data) {
					t.Errorf("json-file made %q of %q", got, data)
				}
				continue
			}
			if max > 0 {
				continue
			}
			var back []byte
			file, err := os.Open(path)
			if err != nil {
				t.Fatal(err)
			}
			for sc := bufio.NewScanner(file); sc.Scan(); {
				p := bytes.SplitN(sc.Bytes(), []byte(" "), 4)
				back = append(back, p[3]...)
				if string(p[2]) == "F" {
					back = append(back, '\n')
				}
			}
			file.Close()
			if !bytes.Equal(bytes.ReplaceAll(back, []byte("\r"), nil), bytes.ReplaceAll(data, []byte("\r"), nil)) {
				t.Errorf("k8s-file made %q of %q", back, data)
			}
		}
	})
}
