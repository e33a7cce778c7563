package monitor

import (
	"encoding/json"
	"net/netip"
	"time"
)

// Health is a check that the monitor makes of a running container: a command in it, or a connection within its network
// namespace.
type Health struct {
	Plan    json.RawMessage `json:",omitempty"` // a plan.Plan of the command, for the bundled runtime
	Process json.RawMessage `json:",omitempty"` // a process section of config.json, for another
	HTTP    *Endpoint       `json:",omitempty"`
	TCP     *Endpoint       `json:",omitempty"`

	Interval, Timeout          time.Duration
	StartPeriod, StartInterval time.Duration
	Retries                    int
	OnFailure                  string `json:",omitempty"` // Kill, Restart or Stop; empty: nothing
	StopSignal                 int    `json:",omitempty"` // of Restart and Stop
	StopTimeout                int    // seconds, -1 for ever
	FreezeFile                 string `json:",omitempty"` // cgroup.events of the container, or freezer.state of v1
}

// Checks replaces the health check of a container that runs.
type Checks struct {
	Health *Health // nil: none any more
	Afresh bool    // what the checks before have found does not count: they were of something else
}

// What happens to a container that becomes unhealthy.
const (
	Kill    = "kill"
	Restart = "restart"
	Stop    = "stop"
)

// Endpoint is where a check connects to.
type Endpoint struct {
	Addrs []netip.AddrPort // tried in order
	Host  string           `json:",omitempty"` // of the request
	Path  string           `json:",omitempty"` // with the query
}

// The states of a container with a health check.
const (
	Starting  = "starting"
	Healthy   = "healthy"
	Unhealthy = "unhealthy"
)

// HealthState is how a container's health is: in HealthFile.
type HealthState struct {
	Status        string
	FailingStreak int
	Log           []HealthResult // the last HealthLog checks
}

// HealthLog is how many checks are remembered.
const HealthLog = 5

// HealthResult is one check. A command that took longer than it may, or could not be run, has the code -1.
type HealthResult struct {
	Start, End time.Time
	ExitCode   int
	Output     string // at most MaxOutput bytes
}

// MaxOutput is how much of a check's output is kept.
const MaxOutput = 4096

// Count takes the result into account; within the start period a failure does not count before the first success.
func (h *HealthState) Count(r HealthResult, retries int, starting bool) {
	h.Log = append(h.Log, r)
	if n := len(h.Log); n > HealthLog {
		h.Log = append([]HealthResult(nil), h.Log[n-HealthLog:]...)
	}
	switch {
	case r.ExitCode == 0:
		h.Status, h.FailingStreak = Healthy, 0
	case starting && h.Status == Starting:
	default:
		h.FailingStreak++
		if h.FailingStreak >= retries {
			h.Status = Unhealthy
		}
	}
}
