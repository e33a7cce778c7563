package libpod

import (
	"fmt"
	"io"
	"os"
	"os/signal"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/proa-containers/proa/oci/launch"
	"golang.org/x/sys/unix"
	"golang.org/x/term"
)

// execStreams connects an exec's standard streams. A pipe of the caller's is handed over as it is; a terminal or a
// file is not, since the container could then write to it or read it beyond what it was given: it is copied.
type execStreams struct {
	opts  ExecOptions
	child []*os.File // ends that are the command's
	in    *os.File   // our end of its standard input
	outs  []*outStream
	open  []*os.File
}

// outStream copies output of the command to the caller.
type outStream struct {
	from, to *os.File
	writing  atomic.Bool  // the caller has not taken it yet
	moved    atomic.Int64 // bytes
}

func (o *outStream) copy() {
	buf := make([]byte, 32<<10)
	for {
		n, err := o.from.Read(buf)
		if n > 0 {
			o.writing.Store(true)
			_, err := o.to.Write(buf[:n])
			o.writing.Store(false)
			if err != nil {
				return
			}
			o.moved.Add(int64(n))
		}
		if err != nil {
			return
		}
	}
}

func handOver(f *os.File) bool {
	st, err := f.Stat()
	return err == nil && (st.Mode()&os.ModeNamedPipe != 0 || st.Mode()&os.ModeSocket != 0 || st.Mode()&os.ModeCharDevice != 0 && !term.IsTerminal(int(f.Fd())))
}

func (s *execStreams) connect(cfg *launch.Config) error {
	if s.opts.Terminal {
		return nil // the console is the command's
	}
	if f := s.opts.Stdin; f != nil {
		if handOver(f) {
			cfg.Stdin = f
		} else {
			r, w, err := os.Pipe()
			if err != nil {
				return fmt.Errorf("making a pipe: %w", err)
			}
			cfg.Stdin, s.in = r, w
			s.child = append(s.child, r)
		}
	}
	for _, o := range []struct {
		ours *os.File
		to   **os.File
	}{{s.opts.Stdout, &cfg.Stdout}, {s.opts.Stderr, &cfg.Stderr}} {
		if o.ours == nil {
			continue
		}
		if handOver(o.ours) {
			*o.to = o.ours
			continue
		}
		r, w, err := os.Pipe()
		if err != nil {
			return fmt.Errorf("making a pipe: %w", err)
		}
		*o.to = w
		s.child, s.open = append(s.child, w), append(s.open, r)
		s.outs = append(s.outs, &outStream{from: r, to: o.ours})
	}
	return nil
}

func (s *execStreams) closeChild() {
	for _, f := range s.child {
		f.Close()
	}
}

func (s *execStreams) abandon() {
	for _, f := range append(s.open, s.in) {
		if f != nil {
			f.Close()
		}
	}
}

// lingering is how long output is awaited after the command ended: a child of its own may hold the streams for good.
const lingering = 200 * time.Millisecond

// mostLeft is more than the pipe or terminal of a command that has ended holds.
const mostLeft = 1 << 20

// linger waits until all is read, or nothing has come for a while and the caller, who may be slow, has taken everything.
func (s *execStreams) linger(read chan struct{}) {
	at := make([]int64, len(s.outs))
	first := make([]int64, len(s.outs))
	for i, o := range s.outs {
		first[i] = o.moved.Load()
		at[i] = first[i]
	}
	for busy := true; busy; {
		select {
		case <-read:
			return
		case <-time.After(lingering):
		}
		busy = false
		for i, o := range s.outs {
			now := o.moved.Load()
			busy = busy || (o.writing.Load() || now != at[i]) && now-first[i] < mostLeft
			at[i] = now
		}
	}
}

// wait copies until the command, for which ended waits, has ended and its output is read, and returns its exit status.
// The console is nil without a terminal. ErrDetached when the user types the detach keys before that.
func (s *execStreams) wait(c *os.File, ended func() (syscall.WaitStatus, error)) (int, error) {
	left := make(chan struct{})
	if c != nil {
		defer s.followSize(c)()
		s.outs = append(s.outs, &outStream{from: c, to: s.opts.Stdout})
		if s.opts.Stdin != nil {
			go func() {
				if hit, _ := copyTyped(s.opts.Stdin, s.opts.DetachKeys, func(b []byte) error { _, err := c.Write(b); return err }); hit {
					close(left)
				}
			}()
		}
	}
	if s.in != nil {
		go func() { io.Copy(s.in, s.opts.Stdin); s.in.Close() }()
	}
	var wg sync.WaitGroup
	for _, o := range s.outs {
		wg.Go(o.copy)
	}
	var ws syscall.WaitStatus
	var err error
	over := make(chan struct{})
	go func() {
		defer close(over)
		ws, err = ended()
	}()
	select {
	case <-over:
	case <-left:
		return 0, ErrDetached
	}
	read := make(chan struct{})
	go func() { wg.Wait(); close(read) }()
	s.linger(read)
	if err != nil {
		return 0, err
	}
	if ws.Signaled() {
		return 128 + int(ws.Signal()), nil
	}
	return ws.ExitStatus(), nil
}

// followSize gives the console the size of the caller's terminal whenever that changes.
func (s *execStreams) followSize(console *os.File) (stop func()) {
	ch := make(chan os.Signal, 1)
	signal.Notify(ch, unix.SIGWINCH)
	go func() {
		for range ch {
			ws, err := unix.IoctlGetWinsize(int(s.opts.Stdout.Fd()), unix.TIOCGWINSZ)
			raw, rawErr := console.SyscallConn()
			if err == nil && rawErr == nil {
				raw.Control(func(fd uintptr) { unix.IoctlSetWinsize(int(fd), unix.TIOCSWINSZ, ws) })
			}
		}
	}()
	return func() { signal.Stop(ch); close(ch) }
}
