package runtime

import (
	"encoding/json"
	"os"
	"path/filepath"

	"github.com/opencontainers/cgroups"
	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/proa-containers/proa/oci/launch"
)

// launching is a container on its way: what is known of it before its plan. Its init is forked, and its program starts,
// while config.json is read whole and the plan is made.
type launching struct {
	rec   *Record
	cg    cgroups.Manager
	birth *os.File // the cgroup to be born in; nil where that can't be
	prog  *program
	opts  CreateOptions

	done  chan struct{} // nil when no init is forked ahead
	ahead *launch.Embryo
}

// hurry forks the init from what of config.json can be known fast: its namespaces and its cgroup. It does nothing for one
// that has to inherit more than an embryo can be given, joins namespaces, or needs more than a mkdir for its cgroup.
// Without it the init is forked with its plan, and the errors, if they stay, are told then.
func (l *launching) hurry(id string, config []byte, systemd bool) {
	var c struct {
		Linux *struct {
			Namespaces  []specs.LinuxNamespace `json:"namespaces"`
			CgroupsPath string                 `json:"cgroupsPath"`
		} `json:"linux"`
	}
	if l.opts.Wait || l.opts.Preserve > 0 || systemd || json.Unmarshal(config, &c) != nil || c.Linux == nil {
		return
	}
	var flags uintptr
	for _, n := range c.Linux.Namespaces {
		if n.Path != "" {
			return
		}
		flags |= uintptr(namespaceFlags[n.Type])
	}
	// A container that stays in its caller's cgroup could be forked at once, but one of root's never does.
	base := "/"
	if os.Geteuid() != 0 {
		base = delegated()
	}
	if base != "" {
		if !cgroups.IsCgroup2UnifiedMode() {
			return
		}
		if l.birth = quickCgroup(filepath.Join("/sys/fs/cgroup", cgroupPath(id, c.Linux.CgroupsPath, base))); l.birth == nil {
			return
		}
	}
	l.done = make(chan struct{})
	go func() {
		defer close(l.done)
		if prog, err := l.prog.file(); err == nil {
			l.ahead, _ = launch.Conceive(prog, flags, l.birth)
		}
	}()
}

// quickCgroup makes and opens a cgroup whose parent has no controller to enable: to enable one, even again, makes the
// kernel wait. It is nil where there is more to do.
func quickCgroup(dir string) *os.File {
	parent := filepath.Dir(dir)
	if readLine(filepath.Join(parent, "cgroup.controllers")) != readLine(filepath.Join(parent, "cgroup.subtree_control")) {
		return nil
	}
	if os.Mkdir(dir, 0o755) != nil {
		return nil
	}
	if readLine(filepath.Join(dir, "cgroup.type")) == "domain" {
		if f, err := os.Open(dir); err == nil {
			return f
		}
	}
	_ = unix.Rmdir(dir)
	return nil
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

// discard ends an init that was not used, and removes the cgroup it was in.
func (l *launching) discard() {
	if e := l.embryo(); e != nil {
		e.Discard()
	}
	if l.birth != nil {
		_ = unix.Rmdir(l.birth.Name())
	}
}

// close lets go of the cgroup: who is in it stays.
func (l *launching) close() {
	if l.birth != nil {
		l.birth.Close()
	}
}
