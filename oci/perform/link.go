package perform

import (
	"encoding/json"
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/proa-containers/proa/oci/plan"
)

// link is the init's end of the conversation described in package plan.
type link struct{ fd int }

func (l link) send(kind byte, body []byte) error {
	return unix.Sendto(l.fd, append([]byte{kind}, body...), unix.MSG_NOSIGNAL, nil)
}

// sendFD sends a message with a descriptor.
func (l link) sendFD(kind byte, fd int) error {
	return unix.Sendmsg(l.fd, []byte{kind}, unix.UnixRights(fd), nil, unix.MSG_NOSIGNAL)
}

// awaitPlan waits for the plan of an init that was started ahead of it, and takes over the standard streams.
func (l link) awaitPlan() (mem, root int, err error) {
	body, oob := make([]byte, 1), make([]byte, unix.CmsgSpace(5*4))
	n, oobn, _, _, err := unix.Recvmsg(l.fd, body, oob, unix.MSG_CMSG_CLOEXEC)
	for err == unix.EINTR {
		n, oobn, _, _, err = unix.Recvmsg(l.fd, body, oob, unix.MSG_CMSG_CLOEXEC)
	}
	if err == nil && (n != 1 || body[0] != plan.MsgPlan) {
		return 0, 0, &plan.Error{Text: "the launcher went away"}
	}
	if err != nil {
		return 0, 0, fail("receive the container's plan", err)
	}
	msgs, err := unix.ParseSocketControlMessage(oob[:oobn])
	if err != nil || len(msgs) != 1 {
		return 0, 0, fail("receive the container's plan", unix.EBADMSG)
	}
	fds, err := unix.ParseUnixRights(&msgs[0])
	if err != nil || len(fds) < 4 {
		return 0, 0, fail("receive the container's plan", unix.EBADMSG)
	}
	for i, fd := range fds[1:4] {
		if err := unix.Dup3(fd, i, 0); err != nil {
			return 0, 0, fail("take over the standard streams", err)
		}
		unix.Close(fd)
	}
	if len(fds) > 4 {
		root = fds[4]
	}
	return fds[0], root, nil
}

// await sends a request and waits for the launcher's consent.
func (l link) await(kind byte) (*plan.Go, error) {
	if err := l.send(kind, nil); err != nil {
		return nil, fail("talk to the launcher", err)
	}
	b := make([]byte, 64<<10)
	n, err := unix.Read(l.fd, b)
	if err != nil {
		return nil, fail("talk to the launcher", err)
	}
	if n == 0 || b[0] != plan.MsgGo {
		return nil, &plan.Error{Text: "the launcher went away"}
	}
	g := new(plan.Go)
	if err := json.Unmarshal(b[1:n], g); err != nil {
		return nil, &plan.Error{Text: fmt.Sprintf("decode the launcher's answer: %v", err)}
	}
	if g.Error != "" {
		return nil, &plan.Error{Text: g.Error}
	}
	return g, nil
}

// report sends a failure; false when nobody listens any more.
func (l link) report(e *plan.Error) bool {
	b, err := json.Marshal(e)
	return err == nil && l.send(plan.MsgError, b) == nil
}
