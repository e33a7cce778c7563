package monitor

import "testing"

func TestPolicyAgain(t *testing.T) {
	for _, c := range []struct {
		p           Policy
		code, count int
		want        bool
	}{
		{Policy{}, 1, 0, false},
		{Policy{Name: Always}, 0, 1000, true},
		{Policy{Name: UnlessStopped}, 0, 0, true},
		{Policy{Name: OnFailure}, 0, 0, false},
		{Policy{Name: OnFailure}, 1, 1000, true},
		{Policy{Name: OnFailure, Max: 2}, 1, 1, true},
		{Policy{Name: OnFailure, Max: 2}, 1, 2, false},
	} {
		if got := c.p.Again(c.code, c.count); got != c.want {
			t.Errorf("%+v after %d restarts and status %d: %v", c.p, c.count, c.code, got)
		}
	}
}

func TestHealthCount(t *testing.T) {
	h := &HealthState{Status: Starting}
	step := func(code int, starting bool, status string, streak int) {
		t.Helper()
		h.Count(HealthResult{ExitCode: code}, 2, starting)
		if h.Status != status || h.FailingStreak != streak {
			t.Errorf("%+v, want %s and %d", h, status, streak)
		}
	}
	step(1, true, Starting, 0)
	step(1, true, Starting, 0)
	step(1, false, Starting, 1)
	step(0, false, Healthy, 0)
	step(1, true, Healthy, 1) // the period ended with the first success
	step(-1, false, Unhealthy, 2)
	step(0, false, Healthy, 0)
	if len(h.Log) != HealthLog || h.Log[HealthLog-2].ExitCode != -1 {
		t.Errorf("the log is %+v", h.Log)
	}
}
