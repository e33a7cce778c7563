package gvisor

import (
	"bytes"
	"context"
	"errors"
	"net"
	"net/netip"
	"sync"
	"time"

	"golang.org/x/sys/unix"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
	"gvisor.dev/gvisor/pkg/waiter"
)

const (
	maxDials  = 4096 // connection attempts under way
	dialTime  = 2 * time.Minute
	chunk     = 128 << 10
	keepAlive = 2 * time.Minute // finds containers that went without a word
)

// forwarder connects what the stack hears of to the host's network.
type forwarder struct {
	Config
	flows chan struct{} // one a flow of datagrams
}

// target is where on the host's network a packet's destination is. What would reach the host's own loopback, whatever its
// spelling, is none, as is what means another place here than there.
func (f *forwarder) target(a tcpip.Address, port uint16) (netip.AddrPort, bool) {
	to, ok := netip.AddrFromSlice(a.AsSlice())
	if !ok {
		return netip.AddrPort{}, false
	}
	for _, g := range f.Gateways {
		if g.Addr() == to {
			loopback := netip.AddrFrom4([4]byte{127, 0, 0, 1})
			if to.Is6() {
				loopback = netip.IPv6Loopback()
			}
			return netip.AddrPortFrom(loopback, port), f.HostLoopback
		}
		if g.Contains(to) {
			return netip.AddrPort{}, false
		}
	}
	return netip.AddrPortFrom(to, port), outside(to)
}

var embedding = []netip.Prefix{
	netip.MustParsePrefix("0.0.0.0/8"), // Linux connects 0.0.0.0 to its loopback
	netip.MustParsePrefix("::/96"),     // likewise ::, and addresses that hold one of IPv4
}

func outside(a netip.Addr) bool {
	if a.Is4In6() || a.IsLoopback() || a.IsMulticast() || a == netip.AddrFrom4([4]byte{255, 255, 255, 255}) || (a.Is6() && a.IsLinkLocalUnicast()) {
		return false
	}
	for _, p := range embedding {
		if p.Contains(a) {
			return false
		}
	}
	return true
}

// tcp answers a connection attempt once the other end has answered ours: who refuses is seen to refuse.
func (f *forwarder) tcp(r *tcp.ForwarderRequest) {
	to, ok := f.target(r.ID().LocalAddress, r.ID().LocalPort)
	if !ok {
		r.Complete(true)
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), dialTime)
	defer cancel()
	c, err := (&net.Dialer{}).DialContext(ctx, "tcp", to.String())
	if err != nil {
		r.Complete(!errors.Is(err, context.DeadlineExceeded) && !errors.Is(err, unix.ETIMEDOUT))
		return
	}
	host := c.(*net.TCPConn)
	defer host.Close()
	var queue waiter.Queue
	e, terr := r.CreateEndpoint(&queue)
	r.Complete(false)
	if terr != nil {
		return
	}
	defer e.Close()
	idle, interval := tcpip.KeepaliveIdleOption(keepAlive), tcpip.KeepaliveIntervalOption(keepAlive/8)
	e.SetSockOpt(&idle)
	e.SetSockOpt(&interval)
	e.SocketOptions().SetKeepAlive(true)
	e.SocketOptions().SetDelayOption(false)
	join(&end{e, &queue}, host)
}

// join carries both ways until both have ended or one broke.
func join(guest *end, host *net.TCPConn) {
	var both sync.WaitGroup
	broken := func() {
		guest.Abort()
		host.SetLinger(0)
		host.Close()
	}
	both.Go(func() {
		if guest.send(host) != nil {
			broken()
		}
	})
	if guest.receive(host) != nil {
		broken()
	}
	both.Wait()
}

var chunks = sync.Pool{New: func() any { b := make([]byte, chunk); return &b }}

// end is a connection's end in the stack.
type end struct {
	tcpip.Endpoint
	queue *waiter.Queue
}

// send passes on what the guest sends, and its end. It waits with no buffer in hand.
func (e *end) send(to *net.TCPConn) error {
	entry, ready := waiter.NewChannelEntry(waiter.ReadableEvents | waiter.EventHUp | waiter.EventErr)
	e.queue.EventRegister(&entry)
	defer e.queue.EventUnregister(&entry)
	for {
		buf := chunks.Get().(*[]byte)
		w := tcpip.SliceWriter(*buf)
		got, terr := e.Read(&w, tcpip.ReadOptions{})
		var err error
		if terr == nil {
			_, err = to.Write((*buf)[:got.Count])
		}
		chunks.Put(buf)
		switch terr.(type) {
		case nil:
		case *tcpip.ErrWouldBlock:
			<-ready
		case *tcpip.ErrClosedForReceive:
			return to.CloseWrite()
		default:
			return errors.New(terr.String())
		}
		if err != nil {
			return err
		}
	}
}

// receive passes on to the guest what comes, and its end.
func (e *end) receive(from *net.TCPConn) error {
	entry, ready := waiter.NewChannelEntry(waiter.WritableEvents | waiter.EventHUp | waiter.EventErr)
	e.queue.EventRegister(&entry)
	defer e.queue.EventUnregister(&entry)
	rc, err := from.SyscallConn()
	if err != nil {
		return err
	}
	for {
		var buf *[]byte
		var n int
		var rerr error
		err := rc.Read(func(fd uintptr) bool {
			buf = chunks.Get().(*[]byte)
			if n, rerr = unix.Read(int(fd), *buf); rerr == unix.EAGAIN || rerr == unix.EINTR {
				chunks.Put(buf)
				buf = nil
				return false
			}
			return true
		})
		if err = errors.Join(err, rerr); err == nil && n > 0 {
			err = e.write((*buf)[:n], ready)
		}
		if buf != nil {
			chunks.Put(buf)
		}
		if err != nil {
			return err
		}
		if n == 0 {
			if terr := e.Shutdown(tcpip.ShutdownWrite); terr != nil {
				return errors.New(terr.String())
			}
			return nil
		}
	}
}

func (e *end) write(b []byte, ready <-chan struct{}) error {
	for r := bytes.NewReader(b); r.Len() > 0; {
		switch _, terr := e.Write(r, tcpip.WriteOptions{}); terr.(type) {
		case nil:
		case *tcpip.ErrWouldBlock:
			<-ready
		default:
			return errors.New(terr.String())
		}
	}
	return nil
}
