package serve

import (
	"errors"
	"os"
	"time"

	"github.com/proa-containers/proa/oci/monitor"
	"golang.org/x/sys/unix"
)

const (
	page = 4 << 10
	// quiet is how long a stream is silent before the memory that its output needed goes back to the kernel.
	quiet = time.Second
	// widePipe lets a command that writes much go on while the monitor is busy. Pipes have 64 KiB; what a user's pipes
	// have in all is bounded (pipe(7), pipe-user-pages-soft), so only the busy ones grow.
	widePipe = 256 << 10
)

// scratch is memory for buffers outside of Go's heap, which can be given back and stays usable. Pages that were never
// written take no memory.
type scratch []byte

func newScratch(size int) scratch {
	b, err := unix.Mmap(-1, 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS)
	if err != nil {
		return make([]byte, size) // there is no memory; Go says so better
	}
	return b
}

// release gives the memory back; the contents are lost.
func (s scratch) release() {
	if len(s) > 0 {
		unix.Madvise(s, unix.MADV_DONTNEED)
	}
}

// free gives it up.
func (s scratch) free() { unix.Munmap(s) }

// stream is the parent's end of one stream of the container.
type stream struct {
	f      *os.File
	name   string
	packet scratch // the kind of the packet, then what was read
	used   int     // most bytes of packet in use since the last release
	busy   bool    // something was read since the last look
	wide   bool
}

func newStream(f *os.File, index int) *stream {
	s := &stream{f: f, name: "stdout", packet: newScratch(monitor.MaxPayload + 1)}
	kind := monitor.Stdout
	if index == 1 {
		s.name, kind = "stderr", monitor.Stderr
	}
	s.packet[0] = kind
	return s
}

// copy moves one stream of the container to its log and clients until its end. A pty's end is EIO.
func (s *server) copy(in *stream) {
	defer s.streams.Done()
	defer in.packet.free()
	for {
		n, err := in.f.Read(in.packet[1:])
		if n > 0 {
			s.logMu.Lock()
			s.log.write(in.name, in.packet[1:1+n])
			s.logMu.Unlock()
			s.clients.broadcast(in.packet[:1+n])
			in.account(n)
		}
		if errors.Is(err, os.ErrDeadlineExceeded) {
			s.rest(in)
		} else if err != nil {
			return
		}
	}
}

// account arranges that large buffers are given back once the stream is quiet.
func (in *stream) account(n int) {
	in.busy = true
	if n > page && in.used <= page {
		in.f.SetReadDeadline(time.Now().Add(quiet))
	}
	in.used = max(in.used, n)
	if n == monitor.MaxPayload && !in.wide {
		in.wide = true
		if raw, err := in.f.SyscallConn(); err == nil {
			raw.Control(func(fd uintptr) { unix.FcntlInt(fd, unix.F_SETPIPE_SZ, widePipe) })
		}
	}
}

// rest is called once a quiet time while there is something to give back.
func (s *server) rest(in *stream) {
	if in.busy {
		in.busy = false
		in.f.SetReadDeadline(time.Now().Add(quiet))
		return
	}
	in.f.SetReadDeadline(time.Time{})
	kind := in.packet[0]
	in.packet.release()
	in.packet[0], in.used = kind, 0
	s.logMu.Lock()
	s.log.release()
	s.logMu.Unlock()
}
