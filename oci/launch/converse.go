package launch

import (
	"encoding/json"
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"github.com/proa-containers/proa/oci/plan"
)

// converse answers the init until it executed the command (end of file), is created, or failed.
func (c *Config) converse(fd int, p *Process) error {
	body, oob := make([]byte, 64<<10), make([]byte, unix.CmsgSpace(4))
	for {
		n, oobn, _, _, err := unix.Recvmsg(fd, body, oob, unix.MSG_CMSG_CLOEXEC)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return fmt.Errorf("hear from the container's init: %w", err)
		}
		if n == 0 {
			return nil
		}
		var state []byte
		switch body[0] {
		case plan.MsgCreated:
			return nil
		case plan.MsgError:
			e := new(plan.Error)
			if err := json.Unmarshal(body[1:n], e); err != nil {
				return fmt.Errorf("decode the error of the container's init: %w", err)
			}
			return e
		case plan.MsgForked:
			if err := p.replace(body[1:n]); err != nil {
				return err
			}
			continue
		case plan.MsgConsole:
			if p.Console, err = receive(oob[:oobn]); err != nil {
				return err
			}
			continue
		case plan.MsgPrepare:
			err = c.prepare(p.Pid)
		case plan.MsgLimit:
			if c.Limit != nil {
				err = c.Limit(p.Pid)
			}
		case plan.MsgRuntimeHooks:
			if c.Hooks != nil {
				state, err = c.Hooks(p.Pid)
			}
		default:
			err = fmt.Errorf("unknown message %q of the container's init", body[0])
		}
		if err != nil {
			return err
		}
		if err := answer(fd, &plan.Go{Pid: p.Pid, State: state}); err != nil {
			return err
		}
	}
}

// replace goes on with the process the init has forked in its stead.
func (p *Process) replace(body []byte) error {
	g := new(plan.Go)
	if err := json.Unmarshal(body, g); err != nil {
		return fmt.Errorf("decode the message of the container's init: %w", err)
	}
	if _, err := p.Wait(); err != nil {
		return fmt.Errorf("wait for the helper that joined the namespaces: %w", err)
	}
	p.PidFD.Close()
	p.Pid = g.Pid
	fd, err := unix.PidfdOpen(g.Pid, 0)
	if err != nil {
		return fmt.Errorf("open a pidfd of the container's process: %w", err)
	}
	p.PidFD = os.NewFile(uintptr(fd), "pidfd")
	p.StartTime, err = StartTime(g.Pid)
	return err
}

func answer(fd int, g *plan.Go) error {
	b, err := json.Marshal(g)
	if err != nil {
		return fmt.Errorf("encode an answer to the container's init: %w", err)
	}
	if err := unix.Sendto(fd, append([]byte{plan.MsgGo}, b...), unix.MSG_NOSIGNAL, nil); err != nil && err != unix.EPIPE {
		return fmt.Errorf("answer the container's init: %w", err)
	}
	return nil // the reason of a broken pipe, if any, is the next message
}

// receive takes the terminal's master out of a control message.
func receive(oob []byte) (*os.File, error) {
	msgs, err := unix.ParseSocketControlMessage(oob)
	if err != nil || len(msgs) != 1 {
		return nil, fmt.Errorf("receive the container's terminal: %w", unix.EBADMSG)
	}
	fds, err := unix.ParseUnixRights(&msgs[0])
	if err != nil || len(fds) != 1 {
		return nil, fmt.Errorf("receive the container's terminal: %w", unix.EBADMSG)
	}
	// Non-blocking, so that Go's poller serves it and Close interrupts a read.
	if err := unix.SetNonblock(fds[0], true); err != nil {
		return nil, fmt.Errorf("receive the container's terminal: %w", err)
	}
	return os.NewFile(uintptr(fds[0]), "console"), nil
}
