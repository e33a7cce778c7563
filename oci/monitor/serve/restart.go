package serve

import (
	"io/fs"
	"maps"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/proa-containers/proa/oci/monitor"
	"golang.org/x/sys/unix"
)

// The pauses before a container is started again: each is twice the one before, from the first again after a run that
// lasted.
const (
	firstPause = 100 * time.Millisecond
	lastPause  = time.Minute
	lastingRun = 10 * time.Second
)

// restarter is what the monitor knows of the container's earlier runs.
type restarter struct {
	able  bool // the plan, the root and the cgroup are kept
	count int
	pause time.Duration
	since time.Time // when the run began
	force bool      // start again whatever the policy says: the run was ended for that

	mu   sync.Mutex // of the policy, the name in events, and force
	once sync.Once  // of what is done once, see settleDown
	left sync.Once  // of giveUp
	stay chan struct{}
}

// giveUp ends a wait for the next start, and there will be none.
func (r *restarter) giveUp() { r.left.Do(func() { close(r.stay) }) }

// heedTerm takes a SIGTERM for the end of the session or the host: nothing is started any more.
func (s *server) heedTerm() {
	term := make(chan os.Signal, 1)
	signal.Notify(term, syscall.SIGTERM)
	go func() {
		<-term
		s.again.giveUp()
	}()
}

// next is the pause before the next start.
func (r *restarter) next(now time.Time) time.Duration {
	if r.pause == 0 || now.Sub(r.since) >= lastingRun {
		r.pause = firstPause
	} else {
		r.pause = min(2*r.pause, lastPause)
	}
	return r.pause
}

// change does what a client says of the container.
func (s *server) change(c monitor.Change) {
	s.again.mu.Lock()
	defer s.again.mu.Unlock()
	if c.Restart != nil {
		s.cfg.Restart = *c.Restart
	}
	if c.Name != nil && s.cfg.Events.Attributes != nil {
		attributes := maps.Clone(s.cfg.Events.Attributes) // somebody may be writing the others
		attributes["name"] = *c.Name
		s.cfg.Events.Attributes = attributes
	}
	if c.Stay {
		s.again.giveUp()
	}
}

// wanted tells whether the container that ended with e is to be started again.
func (s *server) wanted(e *monitor.Exit) bool {
	s.again.mu.Lock()
	defer s.again.mu.Unlock()
	if !s.again.able {
		// The policy, or the health check that wants it, came after the start, and with it nothing was kept: the cleanup starts the container again.
		e.Restarting = (s.again.force || s.cfg.Restart.Again(e.Code, 0)) && !s.stays()
		return false
	}
	forced := s.again.force
	s.again.force = false
	return (forced || s.cfg.Restart.Again(e.Code, s.again.count)) && !s.stays()
}

// stays tells whether somebody has ended the container for good.
func (s *server) stays() bool {
	select {
	case <-s.again.stay:
		return true
	default:
		_, err := os.Lstat(filepath.Join(s.cfg.Dir, monitor.StayFile))
		return err == nil
	}
}

// restart starts the container that ended with e again as its policy wants; nil says that this end, or that of a start
// that failed, which is then e, is the last.
func (s *server) restart(e *monitor.Exit) *monitor.Init {
	for s.wanted(e) {
		s.dropRun()
		s.again.count++
		r := monitor.Restarts{Count: s.again.count, Waiting: true, Exit: *e}
		r.Exit.Restarting = true
		if writeJSON(s.cfg.Dir, monitor.RestartFile, r) != nil {
			return nil
		}
		s.clients.endRun(r.Exit)
		select {
		case <-time.After(s.again.next(e.FinishedAt)):
		case <-s.again.stay:
		}
		// Who makes the file looks at the state afterwards: either it is seen here, or the new run is seen there.
		if s.stays() {
			return nil
		}
		proc, err := s.relaunch()
		if err == nil {
			r.Waiting = false
			if err = writeJSON(s.cfg.Dir, monitor.InitFile, proc); err == nil {
				err = writeJSON(s.cfg.Dir, monitor.RestartFile, r)
			}
			if err == nil {
				s.again.since = proc.StartedAt
				return proc
			}
			unix.Kill(proc.PID, unix.SIGKILL)
			s.wait()
		}
		s.again.since = time.Now()
		*e = monitor.Exit{Code: failure(err).Code, Error: err.Error(), FinishedAt: time.Now()}
	}
	return nil
}

// dropRun lets go of what was the last run's: its mounts end before the next run's are made.
func (s *server) dropRun() {
	closeAll(s.parent)
	closeAll(s.held)
	s.parent, s.held = nil, nil
	s.thaw()
	if s.cfg.PidsMax > 0 {
		// The new init has more threads than that until it becomes the command.
		os.WriteFile(filepath.Join(s.cfg.CgroupDir, "pids.max"), []byte("max"), 0)
	}
}

// thaw lets the cgroup of a container go on whose init was killed while it was paused: the next one would begin frozen.
func (s *server) thaw() {
	word := "0"
	if filepath.Base(s.cfg.FreezeFile) == "freezer.state" {
		word = "THAWED"
	}
	if s.cfg.FreezeFile != "" {
		os.WriteFile(s.cfg.FreezeFile, []byte(word), 0)
	}
}

// emptyCgroup kills what outlived the init: in a pid namespace of the container's own, nothing. It does not use
// cgroup.kill: on Linux 6.18 what is born by CLONE_INTO_CGROUP in a cgroup that was ever killed so is killed at once too.
// Frozen processes do not fork while they are killed.
func (s *server) emptyCgroup() {
	if s.cfg.CgroupDir == "" {
		return
	}
	freeze := filepath.Join(s.cfg.CgroupDir, "cgroup.freeze")
	for i := range 100 {
		pids := processes(s.cfg.CgroupDir)
		if len(pids) == 0 {
			break
		}
		if i == 0 {
			os.WriteFile(freeze, []byte("1"), 0)
			defer os.WriteFile(freeze, []byte("0"), 0)
			continue
		}
		for _, pid := range pids {
			unix.Kill(pid, unix.SIGKILL)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// processes are those of a cgroup and of the cgroups that the container has made in it.
func processes(dir string) (pids []int) {
	filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.IsDir() {
			return nil
		}
		b, err := os.ReadFile(filepath.Join(path, "cgroup.procs"))
		if err != nil {
			return nil
		}
		for pid := range strings.FieldsSeq(string(b)) {
			if n, err := strconv.Atoi(pid); err == nil {
				pids = append(pids, n)
			}
		}
		return nil
	})
	return pids
}

func (s *server) relaunch() (*monitor.Init, error) {
	if s.kept != nil {
		root, err := cloneRoot(s.kept)
		if err != nil {
			return nil, err
		}
		s.root = root
	}
	s.embryo = nil
	return s.launch()
}
