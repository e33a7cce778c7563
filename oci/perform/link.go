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
