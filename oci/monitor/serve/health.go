package serve

import (
	"encoding/json"
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/proa-containers/proa/oci/monitor"
	"github.com/proa-containers/proa/oci/plan"
	"golang.org/x/sys/unix"
)

// checks are those of the current run.
type checks struct {
	mu     sync.Mutex    // of Config.Health too
	proc   *monitor.Init // nil between two runs
	prober *prober       // nil without a health check
	over   chan struct{} // closed when the run has ended

	children atomic.Bool   // this process has children of checks
	left     chan struct{} // closed when awaitChild leaves them alone
	once     sync.Once     // of that
}

// beginChecks begins the checks of the run of proc, if it has a health check.
func (s *server) beginChecks(proc *monitor.Init) {
	s.checks.mu.Lock()
	defer s.checks.mu.Unlock()
	s.checks.proc, s.checks.over = proc, make(chan struct{})
	s.probe(monitor.HealthState{Status: monitor.Starting})
}

// endChecks lets no check change the state any more.
func (s *server) endChecks() {
	s.checks.mu.Lock()
	defer s.checks.mu.Unlock()
	s.checks.prober.end()
	close(s.checks.over)
	s.checks.proc, s.checks.prober = nil, nil
}

// recheck puts another health check in place of the one there is. A check that is being made counts no more.
func (s *server) recheck(c monitor.Checks) error {
	s.checks.mu.Lock()
	defer s.checks.mu.Unlock()
	if c.Health != nil {
		if err := s.shareChildren(); err != nil {
			return err
		}
	}
	s.cfg.Health = c.Health
	if s.checks.proc == nil {
		return nil // the next run has it
	}
	state := s.checks.prober.end()
	s.checks.prober = nil
	if c.Health == nil {
		os.Remove(filepath.Join(s.cfg.Dir, monitor.HealthFile))
		return nil
	}
	if c.Afresh || state.Status == "" {
		state = monitor.HealthState{Status: monitor.Starting}
	}
	if s.init == nil { // without a health check at the start it was not kept; this process runs the same file
		s.init, _ = os.Open("/proc/self/exe")
		_ = s.openCgroup()
	}
	s.probe(state)
	return nil
}

// prober makes the health checks of one run, or of the part of it with one configuration.
type prober struct {
	s     *server
	h     *monitor.Health
	plan  *plan.Plan // of the command; nil without one
	init  monitor.Init
	pidfd *os.File
	stop  chan struct{}
	over  <-chan struct{} // closed when the run has ended
	now   chan chan monitor.HealthResult

	mu    sync.Mutex // of what follows, and of ended against the file
	state monitor.HealthState
	acted bool // on its being unhealthy
	ended bool
}

// probe begins checks from state on; it does nothing without a health check.
func (s *server) probe(state monitor.HealthState) {
	h, proc := s.cfg.Health, s.checks.proc
	if h == nil {
		return
	}
	fd, err := unix.PidfdOpen(proc.PID, 0)
	if err != nil {
		return // it has ended
	}
	p := &prober{
		s: s, h: h, init: *proc, pidfd: os.NewFile(uintptr(fd), "pidfd"), state: state,
		stop: make(chan struct{}), over: s.checks.over, now: make(chan chan monitor.HealthResult),
	}
	if h.Plan != nil {
		p.plan, _ = plan.Decode(h.Plan) // libpod has just encoded it
	}
	p.write()
	s.checks.prober = p
	s.clients.setProber(p)
	go p.run()
}

// end makes the last state, which it returns, the last. It may be called on nil.
func (p *prober) end() monitor.HealthState {
	if p == nil {
		return monitor.HealthState{}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.ended = true
	close(p.stop)
	p.s.clients.setProber(nil)
	return p.state
}

// freeAfter is how many commands leave their garbage: of an idle container's monitor Go collects none.
const freeAfter = 4

func (p *prober) run() {
	defer p.pidfd.Close()
	timer := time.NewTimer(p.pause())
	defer timer.Stop()
	for made := 0; ; made++ {
		var reply chan monitor.HealthResult
		select {
		case <-p.stop:
			return
		case reply = <-p.now:
		case <-timer.C:
		}
		if reply != nil || !p.frozen() {
			p.check(reply)
		}
		if p.plan != nil && made%freeAfter == 0 {
			debug.FreeOSMemory()
		}
		timer.Reset(p.pause())
	}
}

// starting tells whether the start period lasts.
func (p *prober) starting() bool { return time.Since(p.init.StartedAt) < p.h.StartPeriod }

func (p *prober) pause() time.Duration {
	if p.starting() && p.state.Status == monitor.Starting {
		return min(p.h.StartInterval, max(p.h.StartPeriod-time.Since(p.init.StartedAt), time.Millisecond))
	}
	return p.h.Interval
}

// frozen tells whether the container is paused: nothing can be asked of it then.
func (p *prober) frozen() bool {
	if p.init.Held {
		if _, err := os.Lstat(filepath.Join(p.s.cfg.Dir, monitor.StartFile)); err == nil {
			return true
		}
	}
	b, err := os.ReadFile(p.h.FreezeFile)
	if err != nil {
		return false
	}
	text := string(b)
	return strings.Contains(text, "frozen 1") || strings.HasPrefix(text, "FR")
}

// check makes one check and acts on it.
func (p *prober) check(reply chan monitor.HealthResult) {
	r := p.ask()
	r.Output = strings.ToValidUTF8(r.Output, "\uFFFD")
	if reply != nil {
		reply <- r
	}
	if r.ExitCode != 0 && p.frozen() {
		return // it was paused meanwhile
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ended {
		return
	}
	before := p.state.Status
	p.state.Count(r, p.h.Retries, p.starting())
	p.write()
	if p.state.Status != before {
		p.s.say("health_status: " + p.state.Status)
	}
	if p.state.Status != monitor.Unhealthy {
		p.acted = false
	} else if !p.acted {
		p.acted = true
		p.act()
	}
}

// write leaves the state for others to read. An error stays: the directory is on tmpfs.
func (p *prober) write() { writeJSON(p.s.cfg.Dir, monitor.HealthFile, p.state) }

// act does what is asked for when the container has become unhealthy.
func (p *prober) act() {
	switch p.h.OnFailure {
	case monitor.Kill:
		signalInit(p.pidfd, unix.SIGKILL)
	case monitor.Restart:
		p.s.again.mu.Lock()
		p.s.again.force = true
		p.s.again.mu.Unlock()
		p.terminate()
	case monitor.Stop:
		if f, err := os.OpenFile(filepath.Join(p.s.cfg.Dir, monitor.StayFile), os.O_CREATE, 0o600); err == nil {
			f.Close()
		}
		p.terminate()
	}
}

func signalInit(pidfd *os.File, sig unix.Signal) {
	if raw, err := pidfd.SyscallConn(); err == nil {
		raw.Control(func(fd uintptr) { unix.PidfdSendSignal(int(fd), sig, nil, 0) })
	}
}

// terminate asks the container to end and kills it when it does not in time, also when other checks have taken the
// place of these by then.
func (p *prober) terminate() {
	fd, err := unix.FcntlInt(p.pidfd.Fd(), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return
	}
	pidfd := os.NewFile(uintptr(fd), "pidfd")
	signalInit(pidfd, unix.Signal(p.h.StopSignal))
	go func() {
		defer pidfd.Close()
		if p.h.StopTimeout < 0 {
			return
		}
		select {
		case <-p.over:
		case <-time.After(time.Duration(p.h.StopTimeout) * time.Second):
			signalInit(pidfd, unix.SIGKILL)
		}
	}()
}

// answer makes a check because conn asks for it; a nil prober, of a container that does not run, says so by the end of
// the connection.
func (p *prober) answer(conn *monitor.Conn) {
	if p == nil {
		conn.End()
		return
	}
	reply := make(chan monitor.HealthResult, 1)
	select {
	case p.now <- reply:
	case <-p.stop:
		conn.End()
		return
	}
	r := <-reply
	if b, err := json.Marshal(r); err == nil {
		conn.Send(monitor.Probe, b)
	}
}
