package gvisor

import (
	"bytes"
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/transport/udp"
	"gvisor.dev/gvisor/pkg/waiter"
)

const (
	maxFlows   = 4096
	unanswered = 30 * time.Second  // a flow's life without an answer, as conntrack has it
	answered   = 120 * time.Second // and with one
	maxPacket  = 64 << 10
)

// udp makes a flow of the first datagram between two addresses. It is called for each packet in turn and must not wait;
// beyond maxFlows datagrams are lost.
func (f *forwarder) udp(r *udp.ForwarderRequest) {
	to, ok := f.target(r.ID().LocalAddress, r.ID().LocalPort)
	if !ok {
		return
	}
	select {
	case f.flows <- struct{}{}:
	default:
		return
	}
	fl := &flow{done: func() { <-f.flows }, closing: make(chan struct{})}
	e, terr := r.CreateEndpoint(&fl.queue)
	if terr != nil {
		fl.done()
		return
	}
	c, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(to))
	if err != nil {
		e.Close()
		fl.done()
		return
	}
	fl.guest, fl.host = e, c
	fl.touch()
	go fl.toHost()
	go fl.toGuest()
}

// flow is what two addresses send each other. Either direction's end is that of both.
type flow struct {
	guest   tcpip.Endpoint
	queue   waiter.Queue
	host    *net.UDPConn
	both    atomic.Bool // it had an answer
	once    sync.Once
	closing chan struct{}
	done    func()
}

// touch lets the flow live on.
func (f *flow) touch() {
	life := unanswered
	if f.both.Load() {
		life = answered
	}
	f.host.SetReadDeadline(time.Now().Add(life))
}

func (f *flow) close() {
	f.once.Do(func() {
		close(f.closing)
		f.guest.Close()
		f.host.Close()
		f.done()
	})
}

var packets = sync.Pool{New: func() any { b := make([]byte, maxPacket); return &b }}

// toHost passes on what the guest sends. It waits with no buffer in hand.
func (f *flow) toHost() {
	defer f.close()
	entry, ready := waiter.NewChannelEntry(waiter.ReadableEvents | waiter.EventHUp | waiter.EventErr)
	f.queue.EventRegister(&entry)
	defer f.queue.EventUnregister(&entry)
	for {
		buf := packets.Get().(*[]byte)
		w := tcpip.SliceWriter(*buf)
		got, terr := f.guest.Read(&w, tcpip.ReadOptions{})
		if terr == nil {
			f.touch()
			f.host.Write((*buf)[:got.Count]) // what can't be sent is lost, as datagrams are
		}
		packets.Put(buf)
		switch terr.(type) {
		case nil:
		case *tcpip.ErrWouldBlock:
			select {
			case <-ready:
			case <-f.closing:
				return
			}
		default:
			return
		}
	}
}

// toGuest passes on the answers, and ends the flow when nothing has come or gone for its life.
func (f *flow) toGuest() {
	defer f.close()
	rc, err := f.host.SyscallConn()
	if err != nil {
		return
	}
	for {
		var buf *[]byte
		var n int
		var rerr error
		err := rc.Read(func(fd uintptr) bool {
			buf = packets.Get().(*[]byte)
			if n, rerr = unix.Read(int(fd), *buf); rerr == unix.EAGAIN || rerr == unix.EINTR {
				packets.Put(buf)
				buf = nil
				return false
			}
			return true
		})
		if err == nil && rerr == nil {
			f.both.Store(true)
			f.touch()
			f.guest.Write(bytes.NewReader((*buf)[:n]), tcpip.WriteOptions{})
		}
		if buf != nil {
			packets.Put(buf)
		}
		if err != nil || (rerr != nil && !errors.Is(rerr, unix.ECONNREFUSED)) {
			return
		}
	}
}
