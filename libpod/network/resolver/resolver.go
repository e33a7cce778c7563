// Package resolver is the name server of a user's networks: it owns the names of containers, who may see them, and the
// way of all other names to the host's name servers. It makes no socket that clients reach: those are made in the
// containers' network namespace and handed in, while upstream servers are asked from wherever this process is, the
// host's namespace. It runs in proa-netd.
package resolver

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"time"
)

// ErrClosed is what Serve returns once the server was closed.
var ErrClosed = errors.New("the name server was closed")

// Dialer makes a connection to address; network is udp or tcp.
type Dialer func(ctx context.Context, network string, address netip.AddrPort) (net.Conn, error)

// Options are what a Server is made with. The zero value serves names and forwards to the host's name servers.
type Options struct {
	Log     *slog.Logger
	Conf    string        // what names the host's name servers; "": /etc/resolv.conf
	Inside  Dialer        // reaches name servers that are containers; nil: they are not asked
	Refused func(Refusal) // called for names that a Policy withheld, of a container up to 20 in a second; must not block
}

// Refusal is a name that a container asked for and was not told.
type Refusal struct {
	Container string // id
	Client    netip.Addr
	Name      string // as asked, lower case, without the last dot
	Type      string // A, AAAA, ...
}

// Policy decides which names outside of the networks a container may learn. Its methods are called at once from many
// goroutines.
type Policy interface {
	// Ask tells whether name may be asked of an upstream server. A name that is asked carries data out, whatever the
	// answer is.
	Ask(name string, qtype uint16) bool
	// Answer is called before a container learns addresses of name, from upstream or the cache, and returns when
	// packets to them pass. ttl is for how long the container may use them; false withholds them.
	Answer(name string, addresses []netip.Addr, ttl time.Duration) bool
}

// Server answers the containers of all networks. Its methods may be called at once from many goroutines.
type Server struct {
	log     *slog.Logger
	refused func(Refusal)
	table   table
	forward forwarder
	streams streamLimit

	mu      sync.Mutex
	closed  bool
	serving map[string][]socket // sockets by network
	wg      sync.WaitGroup      // goroutines that read sockets, and queries they handed on
	stop    context.CancelFunc
	ctx     context.Context
}

// socket is a net.UDPConn or a net.TCPListener.
type socket interface {
	io.Closer
	SetDeadline(time.Time) error
}

// New makes a server without networks.
func New(o Options) *Server {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Refused == nil {
		o.Refused = func(Refusal) {}
	}
	if o.Conf == "" {
		o.Conf = "/etc/resolv.conf"
	}
	s := &Server{log: o.Log, refused: o.Refused, serving: map[string][]socket{}}
	s.ctx, s.stop = context.WithCancel(context.Background())
	s.table.init()
	s.streams.init()
	s.forward.init(o)
	return s
}

// Serve answers on the sockets of a network, beside those it has, until the network is removed or the server closed;
// they belong to the server from now on. It returns at once.
//
// A successor serves the same sockets (duplicates of them, by File) before this server is closed: the kernel hands each
// query to either, and what waits in a socket of which no reader is left waits for the next one.
func (s *Server) Serve(network string, packets []*net.UDPConn, streams []*net.TCPListener) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return ErrClosed
	}
	for _, p := range packets {
		s.forward.addOwn(p.LocalAddr())
		s.serving[network] = append(s.serving[network], p)
		s.wg.Go(func() {
			defer s.forward.removeOwn(p.LocalAddr())
			s.servePackets(p)
		})
	}
	for _, l := range streams {
		s.forward.addOwn(l.Addr())
		s.serving[network] = append(s.serving[network], l)
		s.wg.Go(func() {
			defer s.forward.removeOwn(l.Addr())
			s.serveStreams(l)
		})
	}
	return nil
}

// SetNetwork adds a network, or replaces what is known of it. Its containers and sockets stay.
func (s *Server) SetNetwork(n Network) { s.table.setNetwork(n) }

// RemoveNetwork closes the network's sockets and forgets it. It does nothing for one that is not known.
func (s *Server) RemoveNetwork(name string) {
	s.table.removeNetwork(name)
	s.mu.Lock()
	sockets := s.serving[name]
	delete(s.serving, name)
	s.mu.Unlock()
	for _, c := range sockets {
		c.Close()
	}
}

// SetContainer adds a container, or replaces what is known of it: no query sees a part of the change. It fails, and
// changes nothing, when one of its addresses is another container's.
func (s *Server) SetContainer(c Container) error {
	if err := s.table.setContainer(c); err != nil {
		return fmt.Errorf("adding container %s to the name server: %w", c.Name, err)
	}
	return nil
}

// RemoveContainer forgets a container. It does nothing for one that is not known.
func (s *Server) RemoveContainer(id string) { s.table.removeContainer(id) }

// Flush forgets what upstream servers answered, as after a change of the host's network.
func (s *Server) Flush() { s.forward.cache.flush() }

// Close stops reading queries, answers those it has read, and closes the sockets. Queries that still wait for an
// upstream server when ctx ends get no answer.
func (s *Server) Close(ctx context.Context) error {
	s.mu.Lock()
	s.closed = true
	var sockets []socket
	for _, c := range s.serving {
		sockets = append(sockets, c...)
	}
	s.mu.Unlock()
	for _, c := range sockets {
		c.SetDeadline(time.Unix(1, 0)) // a packet that was read is answered on its socket, so only reading ends
	}
	s.streams.drain()
	done := make(chan struct{})
	go func() { s.wg.Wait(); close(done) }()
	var err error
	select {
	case <-done:
	case <-ctx.Done():
		err = fmt.Errorf("closing the name server: %w", ctx.Err())
	}
	s.stop()
	for _, c := range sockets {
		c.Close()
	}
	<-done
	return err
}
