// Package serve is proa-netd, the process that holds a user's networks while containers use them: it gives out addresses,
// plugs containers in, publishes their ports, answers their questions for names, and sees them end. It starts with the
// first container that needs it and ends with the last; killed, its successor takes over what it left. The kernel's objects
// are made by libpod/network/link. It runs as root of proa's user namespace, or of the host.
package serve

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/proa-containers/proa/libpod/network/egress/nft"
	"github.com/proa-containers/proa/libpod/network/link"
	"github.com/proa-containers/proa/libpod/network/netd"
	"github.com/proa-containers/proa/libpod/network/port"
	"github.com/proa-containers/proa/libpod/network/resolver"
	"github.com/proa-containers/proa/libpod/network/uplink"
	"github.com/proa-containers/proa/oci/monitor"
	"golang.org/x/sys/unix"
)

// linger is how long netd stays when its last container has gone: the next of a row of short runs needs no new one.
const linger = 2 * time.Second

// Options of Run.
type Options struct {
	Dir      string // netd's directory, on tmpfs
	Rootless bool   // make a network namespace for the bridges, in place of the host's
	Log      *slog.Logger
	Uplink   []string // the command line of the uplink that needs nothing installed
}

type server struct {
	dir           string
	log           *slog.Logger
	uplinkProgram []string
	ns            *link.Namespace
	lock, end     *os.File // held open: with them go the locks, see open and close

	names   *resolver.Server
	ports   *port.Ports
	source  sync.Once // of keepSource
	outward hostAddresses

	mu         sync.Mutex
	networks   map[string]*served    // by name
	containers map[string]*container // by id
	uplink     *uplink.Holder        // nil until a container needs it
	gate       *nft.Table            // of egress policies; nil until a container has one
	unwatch    func()                // ends telling of what gate refuses
	clients    int                   // that are served just now
	idleSince  time.Time
	wake       chan struct{} // something ended
}

// Run serves until the last container has gone. ready is netd.FDReady.
func Run(ctx context.Context, o Options, ready *monitor.Conn) error {
	s := &server{dir: o.Dir, log: o.Log, uplinkProgram: o.Uplink, networks: map[string]*served{}, containers: map[string]*container{}, wake: make(chan struct{}, 1)}
	listener, err := s.open(ctx, o)
	if err != nil {
		ready.Send(netd.Reply, []byte(err.Error()))
		return err
	}
	s.idleSince = time.Now()
	go s.accept(ctx, listener)
	ready.Send(netd.Reply, nil)
	ready.Close()
	for {
		s.sleep(ctx)
		if ctx.Err() == nil && !s.idle() {
			continue
		}
		if s.close(ctx, listener) {
			return nil
		}
	}
}

// open takes the lock, takes over what a netd that was killed has left, and listens.
func (s *server) open(ctx context.Context, o Options) (*monitor.Conn, error) {
	if err := os.MkdirAll(filepath.Join(s.dir, netd.RecordsDir), 0o700); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(filepath.Join(s.dir, netd.LockFile), os.O_CREATE|os.O_RDWR|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return nil, err
	}
	if err := unix.FcntlFlock(f.Fd(), unix.F_SETLK, &unix.Flock_t{Type: unix.F_WRLCK}); err != nil {
		return nil, fmt.Errorf("taking the lock of proa-netd: another one has it: %w", err)
	}
	s.lock = f
	if o.Rootless {
		s.ns, err = link.Pinned(filepath.Join(s.dir, netd.NamespaceFile))
	} else {
		s.ns, err = link.Host()
	}
	if err != nil {
		return nil, err
	}
	s.names = s.newResolver()
	s.ports = port.New(s.ns.Do, s.log)
	if err := s.takeOver(ctx); err != nil {
		return nil, err
	}
	return monitor.ListenSocket(s.dir, netd.SocketFile)
}

// sleep returns when netd may have nothing left to do.
func (s *server) sleep(ctx context.Context) {
	timer := time.NewTimer(linger)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-s.wake:
	case <-ctx.Done():
	}
}

func (s *server) idle() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.containers) == 0 && s.clients == 0 && time.Since(s.idleSince) >= linger
}

// stir has the main loop look at the state. The caller holds mu.
func (s *server) stir() {
	s.idleSince = time.Now()
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// close ends netd, unless a client is on its way: false says so. Who would start a successor waits for the flock, which
// goes when this process has ended; who found the socket before it went is in the listener's queue, and is served.
func (s *server) close(ctx context.Context, listener *monitor.Conn) bool {
	start, err := os.OpenFile(filepath.Join(s.dir, netd.StartFile), os.O_CREATE|os.O_RDWR|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		s.log.Error("ending", "error", err)
		return true
	}
	if ctx.Err() == nil && unix.Flock(int(start.Fd()), unix.LOCK_EX|unix.LOCK_NB) != nil {
		start.Close()
		return false
	}
	os.Remove(filepath.Join(s.dir, netd.SocketFile))
	time.Sleep(10 * time.Millisecond) // for who was between finding the socket and being in its queue
	if ctx.Err() == nil && !s.idle() {
		start.Close()
		return !s.relisten(ctx, listener)
	}
	if ctx.Err() != nil && len(s.containers) > 0 {
		return true // told to end with containers alive: all is left to the successor
	}
	s.closeGate()
	s.closeNetworks()
	if s.uplink != nil {
		s.uplink.Close()
	}
	s.ns.Close()
	if err := link.Unpin(filepath.Join(s.dir, netd.NamespaceFile)); err != nil {
		s.log.Error("ending", "error", err)
	}
	os.Remove(filepath.Join(s.dir, netd.BridgesFile))
	os.Remove(filepath.Join(s.dir, netd.LockFile))
	s.end = start // until the process has ended
	return true
}

// relisten makes the socket again beside the one that has lost its name.
func (s *server) relisten(ctx context.Context, _ *monitor.Conn) bool {
	listener, err := monitor.ListenSocket(s.dir, netd.SocketFile)
	if err != nil {
		s.log.Error("listening again", "error", err)
		return false
	}
	go s.accept(ctx, listener)
	return true
}

func (s *server) accept(ctx context.Context, listener *monitor.Conn) {
	for {
		conn, err := listener.Accept()
		if err != nil {
			if ctx.Err() == nil {
				s.log.Error("taking a client", "error", err)
			}
			return
		}
		s.mu.Lock()
		s.clients++
		s.mu.Unlock()
		go func() {
			s.serve(ctx, conn)
			conn.Close()
			s.mu.Lock()
			s.clients--
			s.stir()
			s.mu.Unlock()
		}()
	}
}

// serve carries one conversation, as package netd draws it.
func (s *server) serve(ctx context.Context, conn *monitor.Conn) {
	buf := make([]byte, monitor.MaxPayload+1)
	kind, payload, files, err := conn.ReceiveFiles(buf)
	defer func() {
		for _, f := range files {
			f.Close()
		}
	}()
	if err != nil {
		return // who looks whether somebody is there
	}
	var a netd.Answer
	switch {
	case kind == netd.Reload:
		err = s.reload()
	case len(files) != 1:
		err = errors.New("the container's network namespace was not sent")
	case kind == netd.Setup:
		var r netd.Request
		if err = json.Unmarshal(payload, &r); err == nil {
			s.setUp(ctx, conn, r, files[0])
			return
		}
	case kind == netd.Connect, kind == netd.Disconnect:
		var ch netd.Change
		if err = json.Unmarshal(payload, &ch); err == nil {
			a, err = s.change(ctx, kind, ch, files[0])
		}
	default:
		err = fmt.Errorf("unknown request %q", kind)
	}
	if err != nil {
		a = netd.Answer{Error: err.Error()}
	}
	s.answer(conn, a)
}

func (s *server) answer(conn *monitor.Conn, a netd.Answer) {
	if err := conn.SendJSON(netd.Reply, a); err != nil && !errors.Is(err, unix.EPIPE) && !errors.Is(err, io.EOF) {
		s.log.Error("answering", "error", err)
	}
}
