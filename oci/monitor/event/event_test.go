package event

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"testing"
)

func read(t *testing.T, path string) (events []Event) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for line := range bytes.Lines(b) {
		var e Event
		if err := json.Unmarshal(line, &e); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		events = append(events, e)
	}
	return events
}

func TestLine(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "events")
	want := Event{Type: "container", Action: "exec_create: sh -c \"echo\t\x01\"", ID: "id", Attributes: map[string]string{"é": "a\nb\\", "name": "n"}}
	if err := Append(dir, want); err != nil {
		t.Fatal(err)
	}
	got := read(t, filepath.Join(dir, File))[0]
	if want.Time = got.Time; got.Time == 0 || !reflect.DeepEqual(got, want) {
		t.Errorf("%+v, want %+v", got, want)
	}
}

// TestRotate has many writers fill the log more than twice: every line stays whole, times rise, and of the last nothing
// is lost.
func TestRotate(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "events")
	pad := strings.Repeat("x", 2000)
	var writers sync.WaitGroup
	for w := range 8 {
		writers.Go(func() {
			for i := range 150 {
				if err := (Source{Dir: dir, ID: fmt.Sprint(w)}).Say("test", "n", fmt.Sprint(i), "pad", pad); err != nil {
					t.Error(err)
				}
			}
		})
	}
	writers.Wait()
	all := append(read(t, filepath.Join(dir, Old)), read(t, filepath.Join(dir, File))...)
	if n := len(all); n < MaxSize/2200 || n > 3*MaxSize/2000 {
		t.Errorf("%d events are left", n)
	}
	last, at := map[string]string{}, int64(0)
	for _, e := range all {
		if e.Time < at {
			t.Errorf("an event of %d stands behind one of %d", e.Time, at)
		}
		at, last[e.ID] = e.Time, e.Attributes["n"]
	}
	for w := range 8 {
		if n := last[fmt.Sprint(w)]; n != "149" && n != "" {
			t.Errorf("the last event of writer %d is %s", w, n)
		}
	}
}

func BenchmarkSay(b *testing.B) {
	s := Source{Dir: filepath.Join(b.TempDir(), "events"), ID: strings.Repeat("a", 64), Attributes: map[string]string{"name": "n", "image": "alpine"}}
	for b.Loop() {
		if err := s.Say("die", "exitCode", "0"); err != nil {
			b.Fatal(err)
		}
	}
}
