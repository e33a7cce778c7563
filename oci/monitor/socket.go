package monitor

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// Conn is one end of a packet socket. Send and Receive may be called from two goroutines.
type Conn struct {
	f   *os.File
	raw interface {
		Read(func(uintptr) bool) error
		Write(func(uintptr) bool) error
	}
}

// NewConn makes a Conn of a SOCK_SEQPACKET descriptor, which it then owns.
func NewConn(fd int) (*Conn, error) {
	if err := unix.SetNonblock(fd, true); err != nil {
		return nil, fmt.Errorf("preparing a socket: %w", err)
	}
	f := os.NewFile(uintptr(fd), "socket")
	raw, err := f.SyscallConn()
	if err != nil {
		return nil, fmt.Errorf("preparing a socket: %w", err)
	}
	return &Conn{f: f, raw: raw}, nil
}

// Pair returns a connected pair: ours, and the other end's file for a child.
func Pair() (*Conn, *os.File, error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, fmt.Errorf("making a socket pair: %w", err)
	}
	c, err := NewConn(fds[0])
	return c, os.NewFile(uintptr(fds[1]), "monitor socket"), err
}

// dirPath names a file below dir through a descriptor: the path of a socket may have 107 bytes only (unix(7)).
func dirPath(dir, name string) (string, func(), error) {
	fd, err := unix.Open(dir, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return "", nil, err
	}
	return fmt.Sprintf("/proc/self/fd/%d/%s", fd, name), func() { unix.Close(fd) }, nil
}

// Dial connects to the monitor whose run directory is dir.
func Dial(dir string) (*Conn, error) {
	c, err := DialSocket(dir, AttachFile)
	if err != nil {
		return nil, fmt.Errorf("connecting to the monitor: %w", err)
	}
	return c, nil
}

// DialSocket connects to the packet socket name in dir.
func DialSocket(dir, name string) (*Conn, error) {
	path, done, err := dirPath(dir, name)
	if err != nil {
		return nil, err
	}
	defer done()
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("making a socket: %w", err)
	}
	if err := unix.Connect(fd, &unix.SockaddrUnix{Name: path}); err != nil {
		unix.Close(fd)
		return nil, err
	}
	return NewConn(fd)
}

// Listen makes the attach socket in dir; Accept takes clients from it.
func Listen(dir string) (*Conn, error) { return ListenSocket(dir, AttachFile) }

// ListenSocket makes the packet socket name in dir, in the place of an old one.
func ListenSocket(dir, name string) (*Conn, error) {
	path, done, err := dirPath(dir, name)
	if err != nil {
		return nil, fmt.Errorf("listening for clients: %w", err)
	}
	defer done()
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("making a socket: %w", err)
	}
	unix.Unlink(path)
	if err := unix.Bind(fd, &unix.SockaddrUnix{Name: path}); err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("listening for clients: %w", err)
	}
	unix.Chmod(path, 0o600)
	if err := unix.Listen(fd, 64); err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("listening for clients: %w", err)
	}
	return NewConn(fd)
}

// Accept waits for the next client.
func (c *Conn) Accept() (*Conn, error) {
	var fd int
	var err error
	if e := c.raw.Read(func(s uintptr) bool {
		fd, _, err = unix.Accept4(int(s), unix.SOCK_CLOEXEC)
		return err != unix.EAGAIN
	}); e != nil {
		return nil, e
	}
	if err != nil {
		return nil, err
	}
	return NewConn(fd)
}

// Send writes one packet; it blocks while the peer's buffer is full.
func (c *Conn) Send(kind byte, payload []byte) error {
	return c.SendPacket(append([]byte{kind}, payload...))
}

// SendPacket writes one packet, its kind first; it blocks while the peer's buffer is full.
func (c *Conn) SendPacket(packet []byte) error {
	var err error
	e := c.raw.Write(func(s uintptr) bool {
		err = unix.Sendto(int(s), packet, unix.MSG_NOSIGNAL, nil)
		return err != unix.EAGAIN
	})
	if e != nil {
		return e
	}
	return err
}

// SendFiles writes one packet with descriptors.
func (c *Conn) SendFiles(kind byte, payload []byte, files ...*os.File) error {
	fds := make([]int, len(files))
	for i, f := range files {
		fds[i] = int(f.Fd())
	}
	var err error
	e := c.raw.Write(func(s uintptr) bool {
		err = unix.Sendmsg(int(s), append([]byte{kind}, payload...), unix.UnixRights(fds...), nil, unix.MSG_NOSIGNAL)
		return err != unix.EAGAIN
	})
	if e != nil {
		return e
	}
	return err
}

// maxFiles is the most descriptors in one packet.
const maxFiles = 8

// ReceiveFiles is Receive for a packet that may carry descriptors, which the caller closes.
func (c *Conn) ReceiveFiles(buf []byte) (kind byte, payload []byte, files []*os.File, err error) {
	oob := make([]byte, unix.CmsgSpace(4*maxFiles))
	var n, oobn int
	e := c.raw.Read(func(s uintptr) bool {
		n, oobn, _, _, err = unix.Recvmsg(int(s), buf, oob, unix.MSG_CMSG_CLOEXEC)
		if err == unix.ECONNRESET {
			n, oobn, _, _, err = unix.Recvmsg(int(s), buf, oob, unix.MSG_CMSG_CLOEXEC)
		}
		return err != unix.EAGAIN
	})
	switch {
	case e != nil:
		return 0, nil, nil, e
	case err == unix.ECONNRESET, err == nil && n == 0:
		return 0, nil, nil, io.EOF
	case err != nil:
		return 0, nil, nil, err
	}
	msgs, err := unix.ParseSocketControlMessage(oob[:oobn])
	if err != nil {
		return 0, nil, nil, fmt.Errorf("receiving descriptors: %w", err)
	}
	for i := range msgs {
		fds, err := unix.ParseUnixRights(&msgs[i])
		if err != nil {
			return 0, nil, nil, fmt.Errorf("receiving descriptors: %w", err)
		}
		for _, fd := range fds {
			files = append(files, os.NewFile(uintptr(fd), "received"))
		}
	}
	return buf[0], buf[1:n], files, nil
}

// SendJSON writes v as one packet.
func (c *Conn) SendJSON(kind byte, v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return c.Send(kind, b)
}

// Receive reads one packet into buf, which has room for MaxPayload+1 bytes, and returns its kind and payload. The
// peer's end is io.EOF.
func (c *Conn) Receive(buf []byte) (byte, []byte, error) {
	var n int
	var err error
	e := c.raw.Read(func(s uintptr) bool {
		n, _, err = unix.Recvfrom(int(s), buf, 0)
		if err == unix.ECONNRESET {
			// A peer that leaves something unread when it ends makes this error, ahead of what it has sent before.
			n, _, err = unix.Recvfrom(int(s), buf, 0)
		}
		return err != unix.EAGAIN
	})
	switch {
	case e != nil:
		return 0, nil, e
	case err == unix.ECONNRESET, err == nil && n == 0:
		return 0, nil, io.EOF
	case err != nil:
		return 0, nil, err
	}
	return buf[0], buf[1:n], nil
}

// Peer is the process that made the other end, 0 when it is none of this pid namespace.
func (c *Conn) Peer() int {
	raw, err := c.f.SyscallConn()
	if err != nil {
		return 0
	}
	pid := 0
	raw.Control(func(fd uintptr) {
		if cred, err := unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED); err == nil {
			pid = int(cred.Pid)
		}
	})
	return pid
}

// SetSendDeadline has what is not sent at time t fail with os.ErrDeadlineExceeded.
func (c *Conn) SetSendDeadline(t time.Time) { c.f.SetWriteDeadline(t) }

// SetReceiveDeadline has a Receive that waits still at time t fail with os.ErrDeadlineExceeded.
func (c *Conn) SetReceiveDeadline(t time.Time) { c.f.SetReadDeadline(t) }

// Close ends the connection.
func (c *Conn) Close() error { return c.f.Close() }

// End says that nothing more will be sent; what was sent is still read by the peer, which then closes.
func (c *Conn) End() {
	c.raw.Write(func(s uintptr) bool {
		unix.Shutdown(int(s), unix.SHUT_WR)
		return true
	})
}
