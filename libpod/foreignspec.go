package libpod

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"
	"github.com/proa-containers/proa/libpod/cgroup"
	"github.com/proa-containers/proa/libpod/initbin"
	"github.com/proa-containers/proa/oci/driver"
	"github.com/proa-containers/proa/oci/plan"
	"github.com/proa-containers/proa/oci/runtime"
	"github.com/proa-containers/proa/oci/seccomp"
)

// complement adds to s what the bundled runtime has by other ways than config.json, or finds out itself.
func (e *Engine) complement(c *Container, rt driver.Runtime, root *rootMount, s *specs.Spec) error {
	if root.overlay != nil {
		s.Root.Path = rt.RootPath()
	}
	if s.Domainname != "" && !rt.KnowsDomainname() {
		return fmt.Errorf("--domainname can't be applied: the runtime %q does not know it; leave it out, or use another runtime", c.Runtime)
	}
	if sec := c.Config.Security; !sec.Privileged && sec.Seccomp != "unconfined" {
		var err error
		if s.Linux.Seccomp, err = seccomp.Load(sec.Seccomp, sec.Capabilities()); err != nil {
			return err
		}
	}
	// Older runtimes refuse a version that is newer than they are, and what proa writes has the meaning it had in this.
	s.Version = "1.0.2"
	// The cgroup is proa's to make and to limit; a runtime that has to do with cgroups puts the container there. As root
	// it filters devices as well, and needs to know where that is not wanted.
	s.Linux.Resources, s.Linux.CgroupsPath = nil, e.cgroupsPath(c.ID)
	if !rt.Born && c.Config.Security.Privileged {
		s.Linux.Resources = &specs.LinuxResources{Devices: []specs.LinuxDeviceCgroup{{Allow: true, Access: "rwm"}}}
	}
	if host := runtime.HostOptions(); host.UserNS {
		adaptMounts(s, host.MappedGIDs)
		if adj := s.Process.OOMScoreAdj; adj != nil { // as low as proa's own: the kernel refuses less
			lowest := max(*adj, host.OOMScoreAdj)
			s.Process.OOMScoreAdj = &lowest
		}
	}
	boundCapabilities(s.Process.Capabilities)
	dropFileOptions(s)
	if c.Config.Process.Init {
		return e.addInit(c, s)
	}
	return nil
}

// cgroupsPath is the container's cgroup as config.json names it, "" when it has none of its own.
func (e *Engine) cgroupsPath(id string) string {
	dirs := e.cgroupsOf(id)
	switch {
	case len(dirs) == 0:
		return ""
	case cgroup.Unified():
		return strings.TrimPrefix(dirs[0], cgroup.Mount)
	}
	return v1Path(id)
}

// adaptMounts replaces what the kernel refuses in a user namespace: a fresh proc or sysfs over a pid or network
// namespace that the user namespace does not own is the host's, bound; a devpts can't belong to a group without a
// mapping.
func adaptMounts(s *specs.Spec, gids []plan.IDMap) {
	for i := range s.Mounts {
		m := &s.Mounts[i]
		switch {
		case m.Type == "proc" && sharesHost(s, specs.PIDNamespace):
			bindHost(m, "/proc")
		case m.Type == "sysfs" && sharesHost(s, specs.NetworkNamespace):
			bindHost(m, "/sys")
		case m.Type == "devpts" && !hasGID(gids, ttyGID):
			m.Options = slices.DeleteFunc(m.Options, func(o string) bool { return strings.HasPrefix(o, "gid=") })
		}
	}
}

// dropFileOptions leaves out what a bound file has no use for, nothing being mounted below it: crun takes a target with
// such an option for a directory.
func dropFileOptions(s *specs.Spec) {
	for i := range s.Mounts {
		m := &s.Mounts[i]
		if st, err := os.Stat(m.Source); m.Type == "bind" && err == nil && !st.IsDir() {
			m.Options = slices.DeleteFunc(m.Options, func(o string) bool { return o == "rro" })
		}
	}
}

func bindHost(m *specs.Mount, path string) {
	m.Type, m.Source = "bind", path
	m.Options = append([]string{"rbind", "rprivate"}, m.Options...)
}

// ttyGID is the group of terminals, as in Docker.
const ttyGID = 5

func hasGID(maps []plan.IDMap, gid uint32) bool {
	return slices.ContainsFunc(maps, func(m plan.IDMap) bool { return m.Container <= gid && gid-m.Container < m.Size })
}

// sharesHost tells whether the container has no namespace of the kind of its own.
func sharesHost(s *specs.Spec, kind specs.LinuxNamespaceType) bool {
	return !slices.ContainsFunc(s.Linux.Namespaces, func(n specs.LinuxNamespace) bool { return n.Type == kind })
}

// initTarget is where a container with --init has proa-init.
const initTarget = "/run/proa-init"

// addInit makes proa-init the container's pid 1. The file is this container's alone and mounted read-only: a container
// with the privilege to change that harms only itself. It is on disk, since /run is often mounted noexec.
func (e *Engine) addInit(c *Container, s *specs.Spec) error {
	file := filepath.Join(e.dataDir(c.ID), "proa-init")
	err := os.MkdirAll(filepath.Dir(file), 0o700)
	if err == nil {
		err = os.Remove(file) // of the last run, perhaps of another proa
	}
	if err == nil || errors.Is(err, os.ErrNotExist) {
		err = os.WriteFile(file, initbin.Binary(), 0o555)
	}
	if err != nil {
		return fmt.Errorf("writing the container's init: %w", err)
	}
	s.Mounts = append(s.Mounts, specs.Mount{Destination: initTarget, Type: "bind", Source: file, Options: []string{"bind", "rprivate", "ro", "nosuid", "nodev"}})
	s.Process.Args = append([]string{initTarget, "reap-command"}, s.Process.Args...)
	return nil
}
