package serve

import (
	"encoding/json"
	"io"
	"maps"
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
	conns map[*monitor.Conn]bool
	ended *monitor.Exit

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
		c.conns[conn] = true
		go c.receive(conn)
	}
	c.mu.Unlock()
}

func (c *clients) drop(conn *monitor.Conn) {
	c.mu.Lock()
	delete(c.conns, conn)
	c.mu.Unlock()
	conn.Close()
}

// broadcast hands output to every client. A client that reads slowly slows the container down, as with Docker; it keeps
// no other from coming or going.
func (c *clients) broadcast(kind byte, chunk []byte) {
	for _, conn := range c.list() {
		if conn.Send(kind, chunk) != nil {
			c.drop(conn)
		}
	}
}

func (c *clients) list() []*monitor.Conn {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.conns) == 0 {
		return nil
	}
	return slices.Collect(maps.Keys(c.conns))
}

// lastWord is how long a client may take to hear how the container ended. One that is stopped finds that out for itself
// when it goes on.
const lastWord = time.Second

// end tells every client how the container ended, and how many heard it.
func (c *clients) end(e monitor.Exit) int {
	c.mu.Lock()
	c.ended = &e
	c.mu.Unlock()
	var wg sync.WaitGroup
	var n atomic.Int64
	for _, conn := range c.list() {
		conn.SetSendDeadline(time.Now().Add(lastWord)) // of a broadcast that is stuck, too
		wg.Go(func() {
			if conn.SendJSON(monitor.Exited, e) == nil {
				n.Add(1)
			}
		})
	}
	wg.Wait()
	return int(n.Load())
}

func (c *clients) receive(conn *monitor.Conn) {
	defer c.drop(conn)
	buf := make([]byte, monitor.MaxPayload+1)
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
			if json.Unmarshal(payload, &s) == nil && c.console != nil {
				resize(c.console, s)
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

// resize leaves the file in the poller: Fd would make it blocking.
func resize(console *os.File, s monitor.Size) {
	if raw, err := console.SyscallConn(); err == nil {
		raw.Control(func(fd uintptr) {
			unix.IoctlSetWinsize(int(fd), unix.TIOCSWINSZ, &unix.Winsize{Row: s.Height, Col: s.Width})
		})
	}
}
