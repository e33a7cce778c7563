package serve

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/proa-containers/proa/oci/monitor"
	"golang.org/x/sys/unix"
)

// clients are the attached ends and the container's standard input, which they share.
type clients struct {
	mu    sync.Mutex
	conns []*monitor.Conn // replaced, never changed: a broadcast goes through it without the lock
	ended *monitor.Exit
	late  *lateOutput // not nil once the container has ended and a client lags behind

	change  func(monitor.Change)
	recheck func(monitor.Checks) error
	prober  *prober // of the container's health; nil without a check or a run

	stdinMu sync.Mutex
	stdin   *os.File // the container's standard input; nil when closed
	console *os.File // the terminal's master, nil without one
}

func (c *clients) add(conn *monitor.Conn) {
	c.mu.Lock()
	if c.ended != nil {
		conn.SendJSON(monitor.Exited, c.ended)
		conn.Close()
	} else {
		c.conns = append(slices.Clip(c.conns), conn)
		go c.receive(conn)
	}
	c.mu.Unlock()
}

func (c *clients) drop(conn *monitor.Conn) {
	c.mu.Lock()
	c.conns = slices.DeleteFunc(slices.Clone(c.conns), func(x *monitor.Conn) bool { return x == conn })
	c.mu.Unlock()
	conn.Close()
}

// broadcast hands a packet to every client. A client that reads slowly slows the container down, as with Docker; others
// may come and go meanwhile.
func (c *clients) broadcast(packet []byte) {
	c.mu.Lock()
	conns, late := c.conns, c.late
	c.mu.Unlock()
	for _, conn := range conns {
		err := late.add(conn, packet)
		if late == nil {
			err = conn.SendPacket(packet)
		}
		if errors.Is(err, os.ErrDeadlineExceeded) { // outlast interrupted it
			c.mu.Lock()
			err = c.late.add(conn, packet)
			c.mu.Unlock()
		}
		if err != nil {
			c.drop(conn)
		}
	}
}

// lateOutput is what is left for clients when the container has ended: the log and the exit status do not wait for a
// client that is slow, or stopped.
type lateOutput struct {
	mu      sync.Mutex
	packets map[*monitor.Conn][][]byte
	size    int
}

// mostLate is more than the pipes of an ended container hold. What processes that outlive it write beyond is dropped.
const mostLate = 2 << 20

func (l *lateOutput) add(conn *monitor.Conn, packet []byte) error {
	if l == nil {
		return nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.size+len(packet) <= mostLate {
		l.size += len(packet)
		l.packets[conn] = append(l.packets[conn], bytes.Clone(packet))
	}
	return nil
}

// outlast makes the streams wait for no client any more: what they bring is kept until the end is told.
func (c *clients) outlast() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.late = &lateOutput{packets: map[*monitor.Conn][][]byte{}}
	for _, conn := range c.conns {
		conn.SetSendDeadline(time.Unix(1, 0))
	}
}

// tell hands each client what is left for it, and the end, and returns how many heard it.
func (c *clients) tell(conns []*monitor.Conn, late *lateOutput, e monitor.Exit) int {
	var heard atomic.Int64
	var wg sync.WaitGroup
	for _, conn := range conns {
		conn.SetSendDeadline(time.Time{})
		wg.Go(func() {
			for _, p := range late.of(conn) {
				if lastSend(conn, func() error { return conn.SendPacket(p) }) != nil {
					return
				}
			}
			if lastSend(conn, func() error { return conn.SendJSON(monitor.Exited, e) }) == nil {
				heard.Add(1)
			}
		})
	}
	wg.Wait()
	return int(heard.Load())
}

func (l *lateOutput) of(conn *monitor.Conn) [][]byte {
	if l == nil {
		return nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.packets[conn]
}

// lastWord is between two looks at a client that does not read. One that is slow, as before a pager, gets all there is;
// one that is stopped finds out for itself how the container ended when it goes on.
const lastWord = time.Second

func lastSend(conn *monitor.Conn, send func() error) error {
	for {
		conn.SetSendDeadline(time.Now().Add(lastWord))
		err := send()
		if !errors.Is(err, os.ErrDeadlineExceeded) || stopped(conn.Peer()) {
			return err
		}
	}
}

// stopped tells whether process pid is, or is gone.
func stopped(pid int) bool {
	b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return true
	}
	_, rest, _ := bytes.Cut(b[bytes.LastIndexByte(b, ')')+1:], []byte(" "))
	return len(rest) == 0 || rest[0] == 'T' || rest[0] == 't'
}

// end tells every client how the container ended, and how many heard it.
func (c *clients) end(e monitor.Exit) int {
	c.mu.Lock()
	c.ended = &e
	conns, late := c.conns, c.late
	c.conns = nil
	c.mu.Unlock()
	return c.tell(conns, late, e)
}

// endRun tells every client that the container ended and is about to be started again, and parts with it. The start
// does not wait for a client that is slow.
func (c *clients) endRun(e monitor.Exit) {
	c.mu.Lock()
	conns, late := c.conns, c.late
	c.conns, c.late = nil, nil
	c.mu.Unlock()
	if len(conns) == 0 {
		return
	}
	part := func() {
		c.tell(conns, late, e)
		for _, conn := range conns {
			conn.SetSendDeadline(time.Time{})
			conn.End()
		}
	}
	if late == nil {
		part()
	} else {
		go part()
	}
}

func (c *clients) receive(conn *monitor.Conn) {
	defer c.drop(conn)
	buf := newScratch(monitor.MaxPayload + 1)
	defer buf.free()
	for {
		kind, payload, files, err := conn.ReceiveFiles(buf)
		if err != nil {
			return
		}
		switch kind {
		case monitor.Hold:
			hold(files)
			files = nil
		case monitor.Recheck:
			var checks monitor.Checks
			if len(files) == 0 || c.recheck == nil || readMapped(files[0], &checks) != nil {
				break
			}
			if c.recheck(checks) != nil {
				closeAll(files)
				return
			}
			conn.Send(monitor.Recheck, nil)
		case monitor.Stdin:
			c.writeStdin(payload)
		case monitor.StdinEOF:
			c.closeStdin()
		case monitor.Resize:
			var s monitor.Size
			if json.Unmarshal(payload, &s) == nil {
				c.resize(s)
			}
		case monitor.Probe:
			c.mu.Lock()
			p := c.prober
			c.mu.Unlock()
			p.answer(conn)
		case monitor.Update:
			var change monitor.Change
			if json.Unmarshal(payload, &change) == nil && c.change != nil {
				c.change(change)
			}
		}
		closeAll(files)
	}
}

// hold reads terminals until nobody has them open any more: without a reader a command would block on its output, and
// without a holder it would get a hangup.
func hold(masters []*os.File) {
	for _, f := range masters {
		go func() {
			defer f.Close()
			io.Copy(io.Discard, f)
		}()
	}
}

func (c *clients) writeStdin(b []byte) {
	c.stdinMu.Lock()
	defer c.stdinMu.Unlock()
	if c.console != nil {
		c.console.Write(b)
	} else if c.stdin != nil {
		if _, err := c.stdin.Write(b); err != nil {
			c.stdin.Close()
			c.stdin = nil
		}
	}
}

func (c *clients) closeStdin() {
	c.stdinMu.Lock()
	defer c.stdinMu.Unlock()
	if c.stdin != nil {
		c.stdin.Close()
		c.stdin = nil
	}
}

// setStdin gives the clients the standard input of a new run.
func (c *clients) setStdin(f *os.File) {
	c.closeStdin()
	c.stdinMu.Lock()
	c.stdin = f
	c.stdinMu.Unlock()
}

func (c *clients) setProber(p *prober) {
	c.mu.Lock()
	c.prober = p
	c.mu.Unlock()
}

// setConsole gives the clients the terminal of a new run.
func (c *clients) setConsole(f *os.File) {
	c.stdinMu.Lock()
	if c.console != nil {
		c.console.Close()
	}
	c.console = f
	c.stdinMu.Unlock()
}

// resize leaves the file in the poller: Fd would make it blocking.
func (c *clients) resize(s monitor.Size) {
	c.stdinMu.Lock()
	defer c.stdinMu.Unlock()
	if c.console == nil {
		return
	}
	if raw, err := c.console.SyscallConn(); err == nil {
		raw.Control(func(fd uintptr) {
			unix.IoctlSetWinsize(int(fd), unix.TIOCSWINSZ, &unix.Winsize{Row: s.Height, Col: s.Width})
		})
	}
}
