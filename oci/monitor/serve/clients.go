package serve

import (
	"encoding/json"
	"io"
	"os"
	"slices"
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

	change func(monitor.Change)
	prober *prober // of the container's health; nil without a check or a run

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
	for _, conn := range c.list() {
		if conn.SendPacket(packet) != nil {
			c.drop(conn)
		}
	}
}

func (c *clients) list() []*monitor.Conn {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.conns
}

// end tells every client how the container ended, and how many heard it.
func (c *clients) end(e monitor.Exit) int {
	c.mu.Lock()
	c.ended = &e
	conns := c.conns
	c.mu.Unlock()
	return tell(conns, e)
}

// lastWord is how long a client may take to hear how the container ended. One that is stopped finds that out for itself
// when it goes on.
const lastWord = time.Second

func tell(conns []*monitor.Conn, e monitor.Exit) int {
	var wg sync.WaitGroup
	var heard atomic.Int64
	for _, conn := range conns {
		conn.SetSendDeadline(time.Now().Add(lastWord)) // of a broadcast that is stuck, too
		wg.Go(func() {
			if conn.SendJSON(monitor.Exited, e) == nil {
				heard.Add(1)
			}
		})
	}
	wg.Wait()
	return int(heard.Load())
}

// endRun tells every client that the container ended and is about to be started again, and parts with it.
func (c *clients) endRun(e monitor.Exit) {
	c.mu.Lock()
	conns := c.conns
	c.conns = nil
	c.mu.Unlock()
	tell(conns, e)
	for _, conn := range conns {
		conn.SetSendDeadline(time.Time{})
		conn.End()
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
		if kind != monitor.Hold {
			closeAll(files)
		}
		switch kind {
		case monitor.Hold:
			hold(files)
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
