package perform

import (
	"fmt"
	"path"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/proa-containers/proa/oci/plan"
)

// mountCgroup1 shows every cgroup v1 hierarchy (and the unified one of a hybrid host) beneath a tmpfs. With a
// cgroup namespace each is mounted anew, rooted in the container's cgroup; otherwise the container's cgroup is
// bound from the host's.
func (p *performer) mountCgroup1(m *plan.Mount) error {
	b, err := readTrusted("self/cgroup")
	if err != nil {
		return err
	}
	tmp := *m
	tmp.Kind, tmp.FSType, tmp.Source, tmp.Data = plan.MountFS, "tmpfs", "tmpfs", []string{"mode=755"}
	tmp.Set |= unix.MOUNT_ATTR_NOSUID | unix.MOUNT_ATTR_NODEV | unix.MOUNT_ATTR_NOEXEC
	if err := p.makeMount(&tmp); err != nil {
		return err
	}
	for _, line := range strings.Split(strings.TrimSpace(b), "\n") {
		f := strings.SplitN(line, ":", 3)
		if len(f) != 3 {
			continue
		}
		if err := p.mountHierarchy(m, f[1], f[2]); err != nil {
			return fmt.Errorf("the hierarchy %q: %w", f[1], err)
		}
	}
	return nil
}

func (p *performer) mountHierarchy(m *plan.Mount, controllers, own string) error {
	name := strings.TrimPrefix(controllers, "name=")
	if controllers == "" {
		name = "unified"
	}
	host := "/sys/fs/cgroup/" + name
	if unix.Access(host, unix.F_OK) != nil {
		return nil // the host does not show it either
	}
	sub := plan.Mount{Dest: m.Dest + "/" + name, Set: m.Set | unix.MOUNT_ATTR_NOSUID | unix.MOUNT_ATTR_NODEV | unix.MOUNT_ATTR_NOEXEC}
	if p.has(unix.CLONE_NEWCGROUP) {
		sub.Kind, sub.FSType, sub.Fallback = plan.MountFS, "cgroup", path.Join(host, own)
		switch {
		case controllers == "":
			sub.FSType = "cgroup2"
		case name != controllers:
			sub.Data = []string{"none", controllers}
		default:
			sub.Data = strings.Split(controllers, ",")
		}
	} else {
		sub.Kind, sub.Source, sub.Recursive = plan.MountBind, path.Join(host, own), true
		sub.RecSet = sub.Set
	}
	if err := p.makeMount(&sub); err != nil {
		return err
	}
	if each := strings.Split(name, ","); len(each) > 1 {
		for _, c := range each {
			p.DevLinks = append(p.DevLinks, plan.Link{Path: m.Dest + "/" + c, Target: name})
		}
	}
	return nil
}

func readTrusted(name string) (string, error) {
	fd, err := openTrusted(name, unix.O_RDONLY)
	if err != nil {
		return "", err
	}
	defer unix.Close(fd)
	b := make([]byte, 16<<10)
	n, err := unix.Read(fd, b)
	if err != nil {
		return "", err
	}
	return string(b[:n]), nil
}
