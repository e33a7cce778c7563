package runtime

import (
	"fmt"
	"os"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/proa-containers/proa/oci/plan"
)

// openIDMaps makes the user namespaces of a plan's idmapped mounts, in the order of their numbers.
func openIDMaps(p *plan.Plan) ([]*os.File, error) {
	var out []*os.File
	for i := range p.Mounts {
		m := &p.Mounts[i]
		if m.IDMap == 0 {
			continue
		}
		f, err := userNamespace(m.UIDMaps, m.GIDMaps)
		if err != nil {
			return nil, fmt.Errorf("map the ids of the mount at %q: %w", m.Dest, err)
		}
		out = append(out, f)
	}
	return out, nil
}

// userNamespace makes a user namespace. A process that is stopped before its first instruction holds it until a
// descriptor does.
func userNamespace(uids, gids []plan.IDMap) (*os.File, error) {
	p, err := os.StartProcess("/proc/self/exe", []string{"proa"}, &os.ProcAttr{Env: []string{}, Sys: &syscall.SysProcAttr{
		Cloneflags: unix.CLONE_NEWUSER, Ptrace: true, UidMappings: sysMaps(uids), GidMappings: sysMaps(gids), GidMappingsEnableSetgroups: true,
	}})
	if err != nil {
		return nil, err
	}
	defer func() { _ = p.Kill(); _, _ = p.Wait() }()
	return os.Open(fmt.Sprintf("/proc/%d/ns/user", p.Pid))
}

func sysMaps(in []plan.IDMap) []syscall.SysProcIDMap {
	var out []syscall.SysProcIDMap
	for _, m := range in {
		out = append(out, syscall.SysProcIDMap{ContainerID: int(m.Container), HostID: int(m.Host), Size: int(m.Size)})
	}
	return out
}
