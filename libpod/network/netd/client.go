package netd

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/proa-containers/proa/oci/monitor"
	"golang.org/x/sys/unix"
)

// Client speaks with the netd of one user.
type Client struct {
	// Dir is netd's, see the files above. It need not be there.
	Dir string
	// Start runs proa-netd with its end of FDReady, when there is none.
	Start func(ready *os.File) error
}

// Session is the setting up of one container. It outlives a netd that ends or is killed meanwhile.
type Session struct {
	client *Client
	conn   *monitor.Conn
	kind   byte
	body   []byte
	netns  *os.File
}

// patience is how long an answer may take: an uplink that does not come has been given up by then.
const patience = 30 * time.Second

// tries is how often a request is sent to a netd that ends before it answers.
const tries = 3

// Setup asks for a container's networks and returns at once; Finish has the answer. netns is its network namespace, which
// the session closes.
func (c *Client) Setup(r Request, netns *os.File) (*Session, error) {
	b, err := json.Marshal(r)
	if err != nil {
		netns.Close()
		return nil, err
	}
	s := &Session{client: c, kind: Setup, body: b, netns: netns}
	if err := s.send(); err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

// Finish gives the container its names and returns what it got. What netd refused is an error.
func (s *Session) Finish(n Names) (Answer, error) {
	names, err := json.Marshal(n)
	if err != nil {
		return Answer{}, err
	}
	return s.converse(func() error { return s.conn.Send(Name, names) })
}

// Connect puts a running container on one more network.
func (c *Client) Connect(ch Change, netns *os.File) (Answer, error) {
	return c.change(Connect, ch, netns)
}

// Disconnect takes a running container off a network.
func (c *Client) Disconnect(ch Change, netns *os.File) (Answer, error) {
	return c.change(Disconnect, ch, netns)
}

// Reload has netd make its rules in the kernel again.
func (c *Client) Reload() error {
	s := &Session{client: c, kind: Reload}
	defer s.Close()
	_, err := s.converse(func() error { return nil })
	return err
}

func (c *Client) change(kind byte, ch Change, netns *os.File) (Answer, error) {
	b, err := json.Marshal(ch)
	if err != nil {
		netns.Close()
		return Answer{}, err
	}
	s := &Session{client: c, kind: kind, body: b, netns: netns}
	defer s.Close()
	return s.converse(func() error { return nil })
}

// converse waits for the answer to what was sent, and to more.
func (s *Session) converse(more func() error) (a Answer, err error) {
	for range tries {
		if s.conn == nil {
			if err := s.send(); err != nil {
				return a, err
			}
		}
		if err = more(); err == nil {
			if a, err = receive(s.conn); err == nil {
				break
			}
		}
		s.conn.Close()
		s.conn = nil
		if !errors.Is(err, io.EOF) && !errors.Is(err, unix.EPIPE) {
			return a, fmt.Errorf("hearing from proa-netd: %w", err)
		}
	}
	switch {
	case err != nil:
		return a, fmt.Errorf("proa-netd ended %d times before it answered; what it wrote is in %q", tries, filepath.Join(s.client.Dir, LogFile))
	case a.Error != "":
		return a, errors.New(a.Error)
	}
	return a, nil
}

func (s *Session) send() (err error) {
	for range tries {
		if s.conn, err = s.client.dial(); err != nil {
			return err
		}
		if s.netns == nil {
			err = s.conn.Send(s.kind, s.body)
		} else {
			err = s.conn.SendFiles(s.kind, s.body, s.netns)
		}
		if err == nil {
			return nil
		}
		s.conn.Close() // it was just ending
		s.conn = nil
	}
	return fmt.Errorf("asking proa-netd: %w", err)
}

func receive(conn *monitor.Conn) (a Answer, err error) {
	buf := make([]byte, monitor.MaxPayload+1)
	conn.SetReceiveDeadline(time.Now().Add(patience))
	kind, payload, err := conn.Receive(buf)
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		return a, fmt.Errorf("no answer for %v", patience)
	case err != nil:
		return a, err
	case kind != Reply:
		return a, fmt.Errorf("unknown answer %q", kind)
	}
	return a, json.Unmarshal(payload, &a)
}

// Close ends the conversation. Before Finish it takes back what was set up. It may be called again, and on nil.
func (s *Session) Close() {
	if s == nil {
		return
	}
	if s.conn != nil {
		s.conn.Close()
		s.conn = nil
	}
	if s.netns != nil {
		s.netns.Close()
	}
}

// dial connects to netd, which is started when it is not there.
func (c *Client) dial() (*monitor.Conn, error) {
	conn, err := monitor.DialSocket(c.Dir, SocketFile)
	if err == nil {
		return conn, nil
	}
	if err := c.Revive(); err != nil {
		return nil, err
	}
	if conn, err = monitor.DialSocket(c.Dir, SocketFile); err != nil {
		return nil, fmt.Errorf("connecting to proa-netd: %w", err)
	}
	return conn, nil
}

// Revive starts netd if none listens. One that was killed is succeeded so: the new one takes over its namespace and the
// containers that live.
func (c *Client) Revive() error {
	if err := os.MkdirAll(c.Dir, 0o700); err != nil {
		return fmt.Errorf("starting proa-netd: %w", err)
	}
	start, err := os.OpenFile(filepath.Join(c.Dir, StartFile), os.O_CREATE|os.O_RDWR|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return fmt.Errorf("starting proa-netd: %w", err)
	}
	defer start.Close()
	if err := unix.Flock(int(start.Fd()), unix.LOCK_EX); err != nil {
		return fmt.Errorf("starting proa-netd: %w", err)
	}
	if conn, err := monitor.DialSocket(c.Dir, SocketFile); err == nil { // another was faster
		conn.Close()
		return nil
	}
	conn, theirs, err := monitor.Pair()
	if err != nil {
		return err
	}
	defer conn.Close()
	err = c.Start(theirs)
	theirs.Close()
	if err != nil {
		return fmt.Errorf("starting proa-netd: %w", err)
	}
	buf := make([]byte, 4<<10)
	conn.SetReceiveDeadline(time.Now().Add(patience))
	kind, payload, err := conn.Receive(buf)
	switch {
	case errors.Is(err, io.EOF):
		return fmt.Errorf("starting proa-netd: it ended without a word; what it wrote is in %q", filepath.Join(c.Dir, LogFile))
	case err != nil:
		return fmt.Errorf("starting proa-netd: %w", err)
	case kind == Reply && len(payload) > 0:
		return fmt.Errorf("starting proa-netd: %s", payload)
	}
	return nil
}
