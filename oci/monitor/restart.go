package monitor

// Policy says whether the monitor starts a container again that has ended.
type Policy struct {
	Name string `json:",omitempty"` // Always, UnlessStopped or OnFailure; empty: never
	Max  int    `json:",omitempty"` // of OnFailure: the most restarts in one run; 0: any number
}

// The policies. Always and UnlessStopped differ after a reboot alone.
const (
	Always        = "always"
	UnlessStopped = "unless-stopped"
	OnFailure     = "on-failure"
)

// Again tells whether a container that ended with code and has been restarted count times is to be started again.
func (p Policy) Again(code, count int) bool {
	switch p.Name {
	case Always, UnlessStopped:
		return true
	case OnFailure:
		return code != 0 && (p.Max == 0 || count < p.Max)
	}
	return false
}

// Restarts is how often the policy has had the container started again.
type Restarts struct {
	Count   int
	Waiting bool // it has ended with Exit and waits for its next start
	Exit    Exit
}

// Change is what a monitor is told of a container that runs; a nil field is left as it is.
type Change struct {
	Restart *Policy `json:",omitempty"`
	Name    *string `json:",omitempty"`
	Stay    bool    `json:",omitempty"` // give up waiting for the next start
}
