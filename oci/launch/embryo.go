package launch

import (
	"bytes"
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"github.com/proa-containers/proa/oci/plan"
)

// Embryo is an init that has its namespaces and waits for a plan: forking it, and the start of its program, then pass
// while the plan is still being made.
type Embryo struct {
	p     *Process
	link  int
	flags uintptr
}

// Conceive forks an init with new namespaces of the given CLONE_NEW* flags, of which it makes those itself that clone(2)
// can't, in the cgroup v2 directory cgroup if it is not nil. The id maps of a user namespace follow with the plan.
func Conceive(initFD *os.File, flags uintptr, cgroup *os.File) (*Embryo, error) {
	flags &= cloned
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("make a socket for the container's init: %w", err)
	}
	theirs := os.NewFile(uintptr(pair[1]), "init")
	defer theirs.Close()
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		unix.Close(pair[0])
		return nil, err
	}
	defer null.Close()
	c := &Config{InitFD: initFD, CgroupFD: cgroup}
	files := []*os.File{null, null, null, theirs}
	p, err := c.start([]string{"proa-init", "init", "3", plan.Unborn}, func(*os.File) int { return 0 }, &files, flags, nil)
	if err != nil {
		unix.Close(pair[0])
		return nil, err
	}
	return &Embryo{p, pair[0], flags}, nil
}

// Identity is the init's pid and, as no other process with that pid has it, its start time.
func (e *Embryo) Identity() (pid int, startTime uint64) { return e.p.Pid, e.p.StartTime }

// bequeath is the init's network namespace for another one in its place.
func (e *Embryo) bequeath() (join, error) {
	f, err := os.Open(fmt.Sprintf("/proc/%d/ns/net", e.p.Pid))
	if err != nil {
		return join{}, fmt.Errorf("open the network namespace that was made ahead: %w", err)
	}
	return join{f, unix.CLONE_NEWNET}, nil
}

// Discard ends an init that gets no plan.
func (e *Embryo) Discard() {
	unix.Close(e.link)
	e.p.discard()
}

// fits tells whether the embryo can become what c wants.
func (e *Embryo) fits(c *Config, flags uintptr, joins []join) bool {
	return e.flags == flags && len(joins)+len(c.Preserve)+len(c.IDMaps) == 0 && c.Fifo == nil && !c.Plan.Late
}

// deliver hands the plan over and holds the conversation with the init, which is discarded if it fails.
func (e *Embryo) deliver(c *Config) (*Process, error) {
	defer unix.Close(e.link)
	err := c.born(e.p)
	if err == nil {
		err = e.send(c)
	}
	if err == nil {
		err = c.converse(e.link, e.p)
	}
	if err != nil {
		e.p.discard()
		return nil, err
	}
	return e.p, nil
}

func (e *Embryo) send(c *Config) error {
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer null.Close()
	encoded := c.Encoded
	if encoded == nil {
		var b bytes.Buffer
		p := *c.Plan
		p.FDs = plan.FDs{}
		if err := p.Encode(&b); err != nil {
			return err
		}
		encoded = b.Bytes()
	}
	mem, err := memFile(encoded)
	if err != nil {
		return err
	}
	defer mem.Close()
	fds := []int{int(mem.Fd())}
	for _, f := range []*os.File{c.Stdin, c.Stdout, c.Stderr} {
		if f == nil {
			f = null
		}
		fds = append(fds, int(f.Fd()))
	}
	if c.RootFD != nil {
		fds = append(fds, int(c.RootFD.Fd()))
	}
	if err := unix.Sendmsg(e.link, []byte{plan.MsgPlan}, unix.UnixRights(fds...), nil, unix.MSG_NOSIGNAL); err != nil {
		return fmt.Errorf("hand the plan to the container's init: %w", err)
	}
	return nil
}
