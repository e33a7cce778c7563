package runtime

import (
	"fmt"
	"path/filepath"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/proa-containers/proa/oci/plan"
)

// defaultDevices are those every container has (runtime-spec, "Default Devices").
var defaultDevices = []struct {
	path         string
	major, minor uint32
}{
	{"/dev/null", 1, 3}, {"/dev/zero", 1, 5}, {"/dev/full", 1, 7},
	{"/dev/random", 1, 8}, {"/dev/urandom", 1, 9}, {"/dev/tty", 5, 0},
}

func (p *planner) devices() error {
	if !p.plan.OwnMounts() && !p.plan.SharedMounts() {
		return nil
	}
	for _, m := range p.plan.Mounts {
		if m.Dest == "/dev" && m.Kind == plan.MountBind {
			return nil // the host's
		}
	}
	p.plan.DevLinks = []plan.Link{
		{Path: "/dev/fd", Target: "/proc/self/fd"}, {Path: "/dev/stdin", Target: "/proc/self/fd/0"},
		{Path: "/dev/stdout", Target: "/proc/self/fd/1"}, {Path: "/dev/stderr", Target: "/proc/self/fd/2"},
		{Path: "/dev/ptmx", Target: "pts/ptmx"},
	}
	listed := map[string]bool{}
	for i := range p.spec.Linux.Devices {
		d := &p.spec.Linux.Devices[i]
		listed[filepath.Clean(d.Path)] = true
		if err := p.device(d); err != nil {
			return fmt.Errorf("config.json: device %q: %w", d.Path, err)
		}
	}
	for _, d := range defaultDevices {
		if listed[d.path] {
			continue
		}
		node := plan.Device{Path: d.path, Mode: unix.S_IFCHR | 0o666, Dev: unix.Mkdev(d.major, d.minor)}
		if p.confined {
			node.Bind = d.path
		}
		p.plan.Devices = append(p.plan.Devices, node)
	}
	return nil
}

func (p *planner) device(d *specs.LinuxDevice) error {
	node := plan.Device{Path: filepath.Clean(d.Path), Dev: unix.Mkdev(uint32(d.Major), uint32(d.Minor))}
	kind := map[string]uint32{"c": unix.S_IFCHR, "u": unix.S_IFCHR, "b": unix.S_IFBLK, "p": unix.S_IFIFO}[d.Type]
	if kind == 0 || !filepath.IsAbs(d.Path) {
		return fmt.Errorf("it needs an absolute path and a type of c, b, u or p, not %q", d.Type)
	}
	node.Mode = kind | 0o666
	if d.FileMode != nil {
		node.Mode = kind | uint32(d.FileMode.Perm())
	}
	if d.UID != nil {
		node.UID = *d.UID
	}
	if d.GID != nil {
		node.GID = *d.GID
	}
	if kind == unix.S_IFIFO {
		node.Dev = 0
	} else if p.confined {
		dir := "/dev/char"
		if kind == unix.S_IFBLK {
			dir = "/dev/block"
		}
		for _, host := range []string{node.Path, fmt.Sprintf("%s/%d:%d", dir, d.Major, d.Minor)} {
			mode, dev, err := p.DeviceNumber(host)
			if err == nil && mode&unix.S_IFMT == kind && dev == node.Dev {
				node.Bind = host
				break
			}
		}
		if node.Bind == "" {
			return fmt.Errorf("rootless containers use the host's device nodes, and there is none with the number %d:%d", d.Major, d.Minor)
		}
	}
	p.plan.Devices = append(p.plan.Devices, node)
	return nil
}
