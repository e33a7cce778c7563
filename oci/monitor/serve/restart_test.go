package serve

import (
	"testing"
	"time"
)

func TestPauses(t *testing.T) {
	var r restarter
	now := time.Now()
	r.since = now
	for _, want := range []time.Duration{100 * time.Millisecond, 200 * time.Millisecond, 400 * time.Millisecond} {
		if got := r.next(now.Add(time.Second)); got != want {
			t.Errorf("%v, want %v", got, want)
		}
	}
	for range 20 {
		r.next(now)
	}
	if got := r.next(now); got != time.Minute {
		t.Errorf("the longest pause is %v", got)
	}
	if got := r.next(now.Add(lastingRun)); got != firstPause {
		t.Errorf("%v after a run that lasted", got)
	}
}
