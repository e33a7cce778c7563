// Package serve is the monitor: the process that owns one running container. It holds the container's standard
// streams or terminal, writes its log, serves clients, and records how it ended. It runs in proa-init as uid 0 of
// proa's user namespace, in a session of its own, and links neither network nor storage code.
package serve

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"

	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/proa-containers/proa/oci/launch"
	"github.com/proa-containers/proa/oci/monitor"
	"golang.org/x/sys/unix"
)

type server struct {
	cfg     monitor.Config
	clients clients
	log     logger
	logMu   sync.Mutex
	streams sync.WaitGroup
	await   func() (syscall.WaitStatus, error) // waits for the init
	after   func()                             // called when it ended; may be nil
	parent  []*os.File                         // the parent's ends of the container's streams, read until their end

	init   *os.File       // proa-init
	root   *os.File       // the root, a detached mount; nil without one
	cgroup *os.File       // nil when the container stays in the monitor's
	embryo *launch.Embryo // the init, forked ahead of its plan
	// plugged says that the embryo's network namespace is to be the container's, whichever init it gets.
	plugged bool
	lockFD  int
	held    []*os.File // namespaces of the container, see hold
	accept  func()     // takes clients for as long as the monitor lives

	kept     *os.File // what the root is made of again, see keepRoot; nil without one
	again    restarter
	checks   checks
	oomKills int // of the earlier runs
}

// Run serves one container from start to end and returns when it ended and all is said.
func Run() error {
	for fd := monitor.FDStarter; fd <= monitor.FDInit; fd++ {
		unix.CloseOnExec(fd)
	}
	starter, err := monitor.NewConn(monitor.FDStarter)
	if err != nil {
		return err
	}
	s := &server{init: os.NewFile(monitor.FDInit, "proa-init")}
	s.again.stay, s.checks.left = make(chan struct{}), make(chan struct{})
	s.clients.change, s.clients.recheck = s.change, s.recheck
	err = s.configure(starter)
	if errors.Is(err, io.EOF) {
		return nil // the starter thought better of it
	}
	var proc *monitor.Init
	if err == nil {
		proc, err = s.start()
	}
	if err != nil {
		starter.SendJSON(monitor.Failed, failure(err))
		return err
	}
	action := "start"
	if proc.Held {
		action = "init"
	}
	s.say(action) // first, or what the starter's next command does would be told before it
	starter.SendJSON(monitor.Started, proc)
	if s.cfg.Attached {
		s.clients.add(starter)
	} else {
		starter.Close()
	}
	s.read()
	go s.accept()
	for {
		s.hold(proc.PID)
		s.dropStreams()
		s.settleDown()
		s.beginChecks(proc)
		e := s.wait()
		s.endChecks()
		s.sayEnd(e)
		if s.again.able {
			s.emptyCgroup()
		}
		s.drain()
		if proc = s.restart(&e); proc == nil {
			return s.finish(e)
		}
		s.say("start")
		s.read()
	}
}

// say writes an event of the container. An error has nobody to hear it.
func (s *server) say(action string, pairs ...string) {
	s.again.mu.Lock()
	events := s.cfg.Events
	s.again.mu.Unlock()
	if events.Dir != "" {
		_ = events.Say(action, pairs...)
	}
}

func (s *server) sayEnd(e monitor.Exit) {
	if e.OOMKilled {
		s.say("oom")
	}
	s.say("die", "exitCode", strconv.Itoa(e.Code))
}

// read starts what carries the container's output.
func (s *server) read() {
	for i, f := range s.parent {
		s.streams.Add(1)
		go s.copy(newStream(f, i))
	}
}

// settleTime is how long a container must live for its monitor to make itself comfortable.
const settleTime = 500 * time.Millisecond

// settleDown does what a short container does not need, and would wait for: each step stops or switches threads.
func (s *server) settleDown() {
	time.AfterFunc(settleTime, func() {
		os.WriteFile("/proc/self/comm", []byte("proa-monitor"), 0) // the kernel named it after its descriptor
		// Caught, not ignored: a command started later would inherit ignored signals through execve.
		s.again.once.Do(func() {
			signal.Notify(make(chan os.Signal, 1), syscall.SIGHUP, syscall.SIGPIPE, syscall.SIGINT, syscall.SIGQUIT)
			s.heedTerm()
		})
	})
}

// configure hears from the starter what to serve, and may fork the init ahead of that.
func (s *server) configure(starter *monitor.Conn) error {
	buf := make([]byte, 4<<10) // the large things come in files
	for {
		kind, payload, files, err := starter.ReceiveFiles(buf)
		if err == nil {
			switch kind {
			case monitor.Prelaunch:
				err = s.conceive(starter, payload, files)
			case monitor.Configure:
				return s.take(files)
			}
		}
		if err != nil {
			s.abort()
			return err
		}
	}
}

// abort ends an init that gets no plan.
func (s *server) abort() {
	if s.embryo != nil {
		s.embryo.Discard()
	}
	if s.cfg.CgroupDir != "" {
		unix.Rmdir(s.cfg.CgroupDir)
	}
}

func (s *server) conceive(starter *monitor.Conn, payload []byte, files []*os.File) error {
	closeAll(files)
	var e monitor.Embryo
	if err := json.Unmarshal(payload, &e); err != nil {
		return fmt.Errorf("reading the init's namespaces: %w", err)
	}
	s.cfg.CgroupDir = e.CgroupDir
	if err := s.openCgroup(); err != nil {
		return err
	}
	if e.Later {
		return nil
	}
	embryo, err := launch.Conceive(s.init, uintptr(e.Flags), s.cgroup)
	if !e.Plugged {
		// Without it the init is forked when its plan is there, and the error, if it stays, is told then.
		s.embryo = embryo
		return nil
	}
	if err != nil {
		return err
	}
	s.embryo, s.plugged = embryo, true
	pid, start := embryo.Identity()
	return starter.SendJSON(monitor.Conceived, monitor.Init{PID: pid, StartTime: start})
}

func (s *server) openCgroup() error {
	if s.cfg.CgroupDir == "" || s.cgroup != nil {
		return nil
	}
	f, err := os.OpenFile(s.cfg.CgroupDir, unix.O_DIRECTORY|os.O_RDONLY, 0)
	if err != nil {
		return fmt.Errorf("opening the container's cgroup: %w", err)
	}
	s.cgroup = f
	return nil
}

// take reads the configuration and keeps the descriptors that came with it.
func (s *server) take(files []*os.File) error {
	if len(files) == 0 {
		return errors.New("reading the monitor's configuration: it was not sent")
	}
	defer files[0].Close()
	if err := readMapped(files[0], &s.cfg); err != nil {
		return fmt.Errorf("reading the monitor's configuration: %w", err)
	}
	if s.cfg.HasRoot {
		if len(files) < 2 {
			return errors.New("reading the monitor's configuration: the root is missing")
		}
		s.root = files[1]
	}
	return s.openCgroup()
}

// readMapped decodes a JSON file where it is: copies of it would stay in a heap that is never collected.
func readMapped(f *os.File, v any) error {
	st, err := f.Stat()
	if err != nil {
		return err
	}
	b, err := unix.Mmap(int(f.Fd()), 0, int(st.Size()), unix.PROT_READ, unix.MAP_PRIVATE)
	if err != nil {
		return err
	}
	defer unix.Munmap(b)
	return json.Unmarshal(b, v)
}

func closeAll(files []*os.File) {
	for _, f := range files {
		f.Close()
	}
}

// failure is what the starter is told; the code is Docker's for a command that can't be run.
func failure(err error) monitor.Failure {
	f := monitor.Failure{Message: err.Error(), Code: 125}
	var e interface{ ExitCode() int } // a *plan.Error or a *driver.Error
	if errors.As(err, &e) {
		f.Code = e.ExitCode()
	}
	return f
}

func (s *server) start() (*monitor.Init, error) {
	if err := s.lock(); err != nil {
		return nil, err
	}
	var err error
	if s.log, err = openLog(s.cfg.Log); err != nil {
		return nil, err
	}
	listener, err := monitor.Listen(s.cfg.Dir)
	if err != nil {
		return nil, err
	}
	s.checks.children.Store(s.cfg.Health != nil)
	if h := s.cfg.Health; s.cfg.Restart.Name != "" || h != nil && h.OnFailure == monitor.Restart {
		if err := s.keep(); err != nil {
			return nil, err
		}
	}
	proc, err := s.launch()
	if err != nil {
		return nil, err
	}
	s.again.since = proc.StartedAt
	s.accept = func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			s.clients.add(conn)
		}
	}
	return proc, writeJSON(s.cfg.Dir, monitor.InitFile, proc)
}

// lock takes the POSIX lock by which others know that this monitor lives. The descriptor stays open: closing any
// descriptor of the file would drop the lock (fcntl(2)).
func (s *server) lock() error {
	path := filepath.Join(s.cfg.Dir, monitor.LockFile)
	fd, err := unix.Open(path, unix.O_CREAT|unix.O_RDWR|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return fmt.Errorf("opening the monitor's lock: %w", err)
	}
	if err := unix.FcntlFlock(uintptr(fd), unix.F_SETLK, &unix.Flock_t{Type: unix.F_WRLCK}); err != nil {
		return fmt.Errorf("taking the monitor's lock: another monitor has this container: %w", err)
	}
	s.lockFD = fd
	return nil
}

func (s *server) launch() (*monitor.Init, error) {
	if s.cfg.Runtime != nil {
		return s.launchForeign(*s.cfg.Runtime)
	}
	c := launch.Config{InitFD: s.init, Encoded: s.cfg.Plan, RootFD: s.root, CgroupFD: s.cgroup, Embryo: s.embryo, Plugged: s.plugged}
	if !s.again.able {
		s.cfg.Plan = nil
	}
	c.Born = s.born
	if s.cfg.PidsMax > 0 {
		c.Limit = func(int) error {
			file := filepath.Join(s.cfg.CgroupDir, "pids.max")
			if err := os.WriteFile(file, strconv.AppendInt(nil, s.cfg.PidsMax, 10), 0); err != nil {
				return fmt.Errorf("limiting the container's processes: %w", err)
			}
			return nil
		}
	}
	defer s.closeInherited()
	held := s.cfg.Hold
	if s.cfg.Hold = false; held { // a run that follows by a policy is not
		fifo, err := s.startFifo()
		if err != nil {
			return nil, err
		}
		defer fifo.Close()
		c.Fifo = fifo
	}
	child, err := s.stdio(&c)
	if err != nil {
		return nil, err
	}
	proc, err := launch.Start(&c)
	for _, f := range child {
		f.Close()
	}
	if err != nil {
		return nil, err
	}
	if proc.Console != nil {
		s.clients.setConsole(proc.Console)
		s.parent = []*os.File{proc.Console}
	}
	proc.PidFD.Close()
	s.await = proc.Wait
	return &monitor.Init{PID: proc.Pid, StartTime: proc.StartTime, StartedAt: time.Now(), Held: held}, nil
}

// born writes down the init before it becomes the command: killed in between, this monitor leaves a process that nothing
// else would name.
func (s *server) born(p *launch.Process) error {
	b := fmt.Appendf(nil, `{"PID":%d,"StartTime":%d}`, p.Pid, p.StartTime)
	err := unix.Ftruncate(s.lockFD, 0) // of the run before, when the container is started again
	if err == nil {
		_, err = unix.Pwrite(s.lockFD, b, 0)
	}
	if err != nil {
		return fmt.Errorf("recording the container's init: %w", err)
	}
	return nil
}

// closeInherited lets go of what only the launch needed: a container's root ends with the last descriptor.
func (s *server) closeInherited() {
	if s.root != nil {
		s.root.Close()
		s.root = nil
	}
	if s.again.able || s.cfg.Health != nil {
		return
	}
	s.init.Close()
	s.init = nil
	if s.cgroup != nil {
		s.cgroup.Close()
		s.cgroup = nil
	}
}

// dropStreams lets go of what the starter handed on with a passthrough log, unless a next run needs it.
func (s *server) dropStreams() {
	if s.again.able {
		return
	}
	null, err := os.OpenFile("/dev/null", os.O_RDWR, 0)
	if err != nil {
		return
	}
	for i := range 3 {
		unix.Dup3(int(null.Fd()), i, 0)
	}
	null.Close()
}

// hold keeps the container's mount namespace until the monitor ends. Otherwise the kernel takes it down while the init
// exits, several milliseconds before anybody learns that it did.
func (s *server) hold(pid int) {
	if f, err := os.Open(fmt.Sprintf("/proc/%d/ns/mnt", pid)); err == nil {
		s.held = append(s.held, f)
	}
}

// stdio makes the container's standard streams and returns the ends that are the child's.
func (s *server) stdio(c *launch.Config) ([]*os.File, error) {
	s.parent = nil
	switch {
	case s.cfg.Terminal:
		return nil, nil
	case s.cfg.Log.Driver == "passthrough":
		c.Stdin, c.Stdout, c.Stderr = os.Stdin, os.Stdout, os.Stderr
		return nil, nil
	}
	var child []*os.File
	pipe := func() (r, w *os.File, err error) {
		if r, w, err = os.Pipe(); err != nil {
			err = fmt.Errorf("making the container's streams: %w", err)
		}
		return r, w, err
	}
	if s.cfg.Stdin {
		r, w, err := pipe()
		if err != nil {
			return nil, err
		}
		c.Stdin = r
		s.clients.setStdin(w)
		child = append(child, r)
	} else {
		null, err := os.Open("/dev/null")
		if err != nil {
			return nil, fmt.Errorf("opening /dev/null: %w", err)
		}
		c.Stdin = null
		child = append(child, null)
	}
	for _, out := range []**os.File{&c.Stdout, &c.Stderr} {
		r, w, err := pipe()
		if err != nil {
			return nil, err
		}
		*out = w
		child, s.parent = append(child, w), append(s.parent, r)
	}
	return child, nil
}

// wait blocks until the init ended.
func (s *server) wait() monitor.Exit {
	ws, err := s.await()
	if s.after != nil {
		defer s.after()
	}
	if err != nil {
		return monitor.Exit{Code: 255, FinishedAt: time.Now()}
	}
	return monitor.Exit{Code: status(ws), FinishedAt: time.Now(), OOMKilled: s.oomKilled()}
}

// status is a shell's exit status for ws.
func status(ws syscall.WaitStatus) int {
	if ws.Signaled() {
		return 128 + int(ws.Signal())
	}
	return ws.ExitStatus()
}

// oomKilled tells whether the kernel killed a process of the container for want of memory.
func (s *server) oomKilled() bool {
	if s.cfg.OOMFile == "" {
		return false
	}
	b, err := os.ReadFile(s.cfg.OOMFile)
	if err != nil {
		return false
	}
	for line := range strings.Lines(string(b)) {
		if n, ok := strings.CutPrefix(strings.TrimSpace(line), "oom_kill "); ok {
			count, err := strconv.Atoi(n)
			before := s.oomKills
			s.oomKills = count
			return err == nil && count > before
		}
	}
	return false
}

// drainTime is how long output is awaited of processes that outlive the init: they can only where the pid namespace
// is not the container's own.
const drainTime = 2 * time.Second

// clientTime is how long the log and the exit status of an ended container wait for its clients.
const clientTime = 100 * time.Millisecond

func (s *server) drain() {
	done := make(chan struct{})
	go func() { s.streams.Wait(); close(done) }()
	select {
	case <-done:
		return
	case <-time.After(clientTime):
	}
	s.clients.outlast()
	select {
	case <-done:
	case <-time.After(drainTime):
	}
}

func (s *server) finish(e monitor.Exit) error {
	s.logMu.Lock()
	s.log.close()
	s.logMu.Unlock()
	os.Remove(filepath.Join(s.cfg.Dir, monitor.AttachFile))
	if err := writeJSON(s.cfg.Dir, monitor.ExitFile, e); err != nil {
		return err
	}
	// From here on the container is its cleaner's: whoever hears of the end finds the lock free.
	if err := unix.FcntlFlock(uintptr(s.lockFD), unix.F_SETLK, &unix.Flock_t{Type: unix.F_UNLCK}); err != nil {
		return fmt.Errorf("giving the monitor's lock back: %w", err)
	}
	if s.clients.end(e) > 0 && !e.Restarting || len(s.cfg.Cleanup) == 0 {
		return nil
	}
	// The cleanup takes this container's lock: the monitor must be gone by its own word, not wait for it.
	return unix.Exec(s.cfg.Cleanup[0], s.cfg.Cleanup, s.cfg.CleanupEnv)
}

// writeJSON replaces a file in dir whole, so that no reader sees a part.
func writeJSON(dir, name string, v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path+".new", bytes.TrimSpace(b), 0o600); err != nil {
		return fmt.Errorf("recording the container's %s: %w", name, err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		return fmt.Errorf("recording the container's %s: %w", name, err)
	}
	return nil
}
