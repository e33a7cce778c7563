package runtime

import (
	"os"

	"github.com/opencontainers/cgroups"
	"github.com/opencontainers/runtime-spec/specs-go"

	"github.com/proa-containers/proa/oci/launch"
)

// launching is a container on its way: what is known of it before its plan. Its init is forked, and its program starts,
// while the plan is made.
type launching struct {
	rec   *Record
	cg    cgroups.Manager
	birth *os.File // the cgroup to be born in; nil where that can't be
	prog  *program
	opts  CreateOptions

	done  chan struct{} // nil when no init is forked ahead
	ahead *launch.Embryo
}

// conceive forks the init ahead, unless it has to inherit more than an embryo can be given, or to join namespaces.
func (l *launching) conceive(spec *specs.Spec) {
	if l.opts.Wait || l.opts.Preserve > 0 || spec.Linux == nil {
		return
	}
	var flags uintptr
	for _, n := range spec.Linux.Namespaces {
		if n.Path != "" {
			return
		}
		flags |= uintptr(namespaceFlags[n.Type])
	}
	l.done = make(chan struct{})
	go func() {
		defer close(l.done)
		if prog, err := l.prog.file(); err == nil {
			// Without it the init is forked with its plan, and the error, if it stays, is told then.
			l.ahead, _ = launch.Conceive(prog, flags, l.birth)
		}
	}()
}

// embryo is the init that was forked ahead, nil without one. It is the caller's.
func (l *launching) embryo() *launch.Embryo {
	if l.done != nil {
		<-l.done
	}
	e := l.ahead
	l.ahead = nil
	return e
}

// discard ends an init that was not used.
func (l *launching) discard() {
	if e := l.embryo(); e != nil {
		e.Discard()
	}
}

// close lets go of the cgroup: who is in it stays.
func (l *launching) close() {
	if l.birth != nil {
		l.birth.Close()
	}
}
