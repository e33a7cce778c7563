package libpod

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/proa-containers/proa/oci/monitor"
)

// ErrDetached says that the user typed the detach keys: the container goes on.
var ErrDetached = errors.New("detached")

// Streams are the caller's ends of an attached container; a nil one is not connected.
type Streams struct {
	In         io.Reader
	Out, Err   io.Writer
	DetachKeys []byte // typed on In, they detach; empty: none
}

// Attach connects to the running container's monitor.
func (e *Engine) Attach(c *Container) (*monitor.Conn, error) {
	e.wake(c.ID)
	conn, err := monitor.Dial(e.runDir(c.ID))
	if err != nil {
		st := e.Status(c)
		if st.State == Running || st.State == Paused {
			return nil, fmt.Errorf("attaching to container %q: its monitor is gone, it can only be stopped: %w", c.Name, err)
		}
		return nil, &WrongStateError{c.Name, st.State, "is not running"}
	}
	e.say(c, "attach")
	return conn, nil
}

// Stream carries the streams of an attached container until it ends, and returns how. A writer that fails, as a pipe
// whose reader went, ends it with that error; the container goes on.
func Stream(ctx context.Context, conn *monitor.Conn, s Streams) (monitor.Exit, error) {
	detached := make(chan struct{})
	if s.In != nil {
		go func() {
			if sendInput(conn, s.In, s.DetachKeys) {
				close(detached)
				conn.Close()
			}
		}()
	}
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	buf := make([]byte, monitor.MaxPayload+1)
	for {
		kind, payload, err := conn.Receive(buf)
		select {
		case <-detached:
			return monitor.Exit{}, ErrDetached
		default:
		}
		switch {
		case ctx.Err() != nil:
			return monitor.Exit{}, ctx.Err()
		case err != nil:
			return monitor.Exit{}, fmt.Errorf("the container's monitor was killed: %w", err)
		}
		var w io.Writer
		switch kind {
		case monitor.Stdout:
			w = s.Out
		case monitor.Stderr:
			w = s.Err
		case monitor.Exited:
			var exit monitor.Exit
			if err := json.Unmarshal(payload, &exit); err != nil {
				return exit, fmt.Errorf("reading how the container ended: %w", err)
			}
			return exit, nil
		}
		if w == nil {
			continue
		}
		if _, err := w.Write(payload); err != nil {
			return monitor.Exit{}, fmt.Errorf("writing the container's output: %w", err)
		}
	}
}

// sendInput copies in to the container until its end and tells whether the detach keys were typed.
func sendInput(conn *monitor.Conn, in io.Reader, keys []byte) bool {
	send := func(chunk []byte) error {
		for len(chunk) > 0 {
			part := chunk[:min(len(chunk), monitor.MaxPayload)]
			if err := conn.Send(monitor.Stdin, part); err != nil {
				return err
			}
			chunk = chunk[len(part):]
		}
		return nil
	}
	hit, err := copyTyped(in, keys, send)
	if !hit && err == nil {
		conn.Send(monitor.StdinEOF, nil)
	}
	return hit
}

// copyTyped hands in to send until its end, an error of send's, or the detach keys, of which it tells.
func copyTyped(in io.Reader, keys []byte, send func([]byte) error) (hit bool, err error) {
	buf := make([]byte, monitor.MaxPayload)
	var held []byte // the part of the keys that was typed so far
	for {
		n, err := in.Read(buf)
		chunk := buf[:n]
		if len(keys) > 0 && n > 0 {
			if chunk, held, hit = matchKeys(held, chunk, keys); hit {
				return true, nil
			}
		}
		if len(chunk) > 0 {
			if err := send(chunk); err != nil {
				return false, err
			}
		}
		if err != nil {
			return false, nil
		}
	}
}

// matchKeys looks for keys in what was held back and the new chunk, returning what is to be sent, what is held back
// since it may become the keys, and whether they are complete.
func matchKeys(held, chunk, keys []byte) (send, hold []byte, hit bool) {
	all := append(bytes.Clone(held), chunk...)
	if bytes.Contains(all, keys) {
		return nil, nil, true
	}
	for n := min(len(keys)-1, len(all)); n > 0; n-- {
		if bytes.HasPrefix(keys, all[len(all)-n:]) {
			return all[:len(all)-n], all[len(all)-n:], false
		}
	}
	return all, nil, false
}
