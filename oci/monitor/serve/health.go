package serve

import (
	"encoding/json"
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"
	"sync"
	"time"

	"github.com/proa-containers/proa/oci/monitor"
	"github.com/proa-containers/proa/oci/plan"
	"golang.org/x/sys/unix"
)

// prober makes the health checks of one run.
type prober struct {
	s     *server
	h     *monitor.Health
	plan  *plan.Plan // of the command; nil without one
	init  monitor.Init
	pidfd *os.File
	stop  chan struct{}
	now   chan chan monitor.HealthResult

	mu    sync.Mutex // of what follows, and of ended against the file
	state monitor.HealthState
	ended bool
}

// probe begins the checks of the run of proc; without a health check it is nil.
func (s *server) probe(proc *monitor.Init) *prober {
	h := s.cfg.Health
	if h == nil {
		return nil
	}
	fd, err := unix.PidfdOpen(proc.PID, 0)
	if err != nil {
		return nil // it has ended
	}
	p := &prober{s: s, h: h, init: *proc, pidfd: os.NewFile(uintptr(fd), "pidfd"), stop: make(chan struct{}), now: make(chan chan monitor.HealthResult)}
	p.state.Status = monitor.Starting
	if h.Plan != nil {
		p.plan, _ = plan.Decode(h.Plan) // libpod has just encoded it
	}
	p.write()
	s.clients.setProber(p)
	go p.run()
	return p
}

// end lets no check change the state any more.
func (p *prober) end() {
	if p == nil {
		return
	}
	p.mu.Lock()
	p.ended = true
	p.mu.Unlock()
	close(p.stop)
	p.s.clients.setProber(nil)
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
	if p.state.Status != before && p.state.Status == monitor.Unhealthy {
		p.act()
	}
}

// write leaves the state for others to read. An error stays: the directory is on tmpfs.
func (p *prober) write() { writeJSON(p.s.cfg.Dir, monitor.HealthFile, p.state) }

// act does what is asked for when the container has become unhealthy.
func (p *prober) act() {
	switch p.h.OnFailure {
	case monitor.Kill:
		p.signal(unix.SIGKILL)
	case monitor.Restart:
		p.s.again.mu.Lock()
		p.s.again.force = true
		p.s.again.mu.Unlock()
		go p.terminate()
	case monitor.Stop:
		if f, err := os.OpenFile(filepath.Join(p.s.cfg.Dir, monitor.StayFile), os.O_CREATE, 0o600); err == nil {
			f.Close()
		}
		go p.terminate()
	}
}

func (p *prober) signal(sig unix.Signal) {
	if raw, err := p.pidfd.SyscallConn(); err == nil {
		raw.Control(func(fd uintptr) { unix.PidfdSendSignal(int(fd), sig, nil, 0) })
	}
}

// terminate asks the container to end and kills it when it does not in time.
func (p *prober) terminate() {
	p.signal(unix.Signal(p.h.StopSignal))
	if p.h.StopTimeout < 0 {
		return
	}
	select {
	case <-p.stop:
	case <-time.After(time.Duration(p.h.StopTimeout) * time.Second):
		p.signal(unix.SIGKILL)
	}
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
