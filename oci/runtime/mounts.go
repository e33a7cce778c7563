package runtime

import (
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/proa-containers/proa/oci/plan"
)

// option is what one mount option does.
type option struct {
	set, clear  uint64
	tree        bool // set and clear are for the whole tree
	propagation uint64
	recursive   bool // of propagation
}

// mountOptions are the options that are not parameters of a filesystem.
var mountOptions = map[string]option{
	"ro": {set: unix.MOUNT_ATTR_RDONLY}, "rw": {clear: unix.MOUNT_ATTR_RDONLY},
	"nosuid": {set: unix.MOUNT_ATTR_NOSUID}, "suid": {clear: unix.MOUNT_ATTR_NOSUID},
	"nodev": {set: unix.MOUNT_ATTR_NODEV}, "dev": {clear: unix.MOUNT_ATTR_NODEV},
	"noexec": {set: unix.MOUNT_ATTR_NOEXEC}, "exec": {clear: unix.MOUNT_ATTR_NOEXEC},
	"nodiratime": {set: unix.MOUNT_ATTR_NODIRATIME}, "diratime": {clear: unix.MOUNT_ATTR_NODIRATIME},
	"noatime": {set: unix.MOUNT_ATTR_NOATIME}, "strictatime": {set: unix.MOUNT_ATTR_STRICTATIME},
	"relatime": {clear: unix.MOUNT_ATTR__ATIME}, "norelatime": {}, "nostrictatime": {}, "atime": {}, "defaults": {},
	"nosymfollow": {set: unix.MOUNT_ATTR_NOSYMFOLLOW}, "symfollow": {clear: unix.MOUNT_ATTR_NOSYMFOLLOW},

	"rro": {set: unix.MOUNT_ATTR_RDONLY, tree: true}, "rrw": {clear: unix.MOUNT_ATTR_RDONLY, tree: true},
	"rnosuid": {set: unix.MOUNT_ATTR_NOSUID, tree: true}, "rsuid": {clear: unix.MOUNT_ATTR_NOSUID, tree: true},
	"rnodev": {set: unix.MOUNT_ATTR_NODEV, tree: true}, "rdev": {clear: unix.MOUNT_ATTR_NODEV, tree: true},
	"rnoexec": {set: unix.MOUNT_ATTR_NOEXEC, tree: true}, "rexec": {clear: unix.MOUNT_ATTR_NOEXEC, tree: true},
	"rnodiratime": {set: unix.MOUNT_ATTR_NODIRATIME, tree: true}, "rdiratime": {clear: unix.MOUNT_ATTR_NODIRATIME, tree: true},
	"rnoatime": {set: unix.MOUNT_ATTR_NOATIME, tree: true}, "rstrictatime": {set: unix.MOUNT_ATTR_STRICTATIME, tree: true},
	"rrelatime": {clear: unix.MOUNT_ATTR__ATIME, tree: true}, "rnorelatime": {}, "rnostrictatime": {}, "ratime": {},
	"rnosymfollow": {set: unix.MOUNT_ATTR_NOSYMFOLLOW, tree: true}, "rsymfollow": {clear: unix.MOUNT_ATTR_NOSYMFOLLOW, tree: true},

	"shared": {propagation: unix.MS_SHARED}, "rshared": {propagation: unix.MS_SHARED, recursive: true},
	"slave": {propagation: unix.MS_SLAVE}, "rslave": {propagation: unix.MS_SLAVE, recursive: true},
	"private": {propagation: unix.MS_PRIVATE}, "rprivate": {propagation: unix.MS_PRIVATE, recursive: true},
	"unbindable": {propagation: unix.MS_UNBINDABLE}, "runbindable": {propagation: unix.MS_UNBINDABLE, recursive: true},
}

func (p *planner) mounts() error {
	for i := range p.spec.Mounts {
		m, err := p.mount(&p.spec.Mounts[i])
		if err != nil {
			return fmt.Errorf("config.json: mount at %q: %w", p.spec.Mounts[i].Destination, err)
		}
		p.plan.Mounts = append(p.plan.Mounts, *m)
	}
	return nil
}

func (p *planner) mount(s *specs.Mount) (*plan.Mount, error) {
	if s.Destination == "" {
		return nil, fmt.Errorf("the destination is empty")
	}
	m := &plan.Mount{FSType: s.Type, Source: s.Source, Dest: filepath.Clean("/" + s.Destination)}
	if s.Type == "bind" || s.Type == "none" || s.Type == "" {
		m.Kind = plan.MountBind
	}
	if err := p.parseOptions(m, s.Options); err != nil {
		return nil, err
	}
	if m.Kind == plan.MountBind {
		m.FSType, m.Source = "", p.absolute(s.Source)
		if m.Source == "" {
			return nil, fmt.Errorf("a bind mount needs a source")
		}
	} else {
		p.filesystem(m)
	}
	return m, p.mapMount(m, s)
}

func (p *planner) parseOptions(m *plan.Mount, options []string) error {
	for _, o := range options {
		switch o {
		case "bind", "rbind":
			m.Kind = plan.MountBind
			m.Recursive = m.Recursive || o == "rbind"
			continue
		case "tmpcopyup":
			m.CopyUp = true
			continue
		case "copy-symlink", "src-nofollow":
			m.NoFollow = true
			continue
		case "idmap", "ridmap":
			m.IDMapRec = o == "ridmap"
			continue
		case "remount":
			return fmt.Errorf("the option %q is not supported; give the flags to the mount itself", o)
		}
		a, ok := mountOptions[o]
		switch {
		case !ok:
			m.Data = append(m.Data, o)
		case a.propagation != 0:
			m.Propagation, m.PropagationRec = a.propagation, a.recursive
		case a.tree:
			m.RecSet, m.RecClear = m.RecSet&^a.clear|a.set, m.RecClear&^a.set|a.clear
		default:
			m.Set, m.Clear = m.Set&^a.clear|a.set, m.Clear&^a.set|a.clear
		}
	}
	switch {
	case m.CopyUp && m.FSType != "tmpfs":
		return fmt.Errorf("the option tmpcopyup is for a tmpfs")
	case m.Kind == plan.MountBind:
		// mount(2) ignores a filesystem's parameters on a bind mount, and the validation suite gives some.
		m.Data = slices.DeleteFunc(m.Data, func(o string) bool { return strings.Contains(o, "=") })
		if len(m.Data) > 0 {
			return fmt.Errorf("unknown option %q for a bind mount", m.Data[0])
		}
	}
	return nil
}

// filesystem adapts a filesystem to the user namespace it will be mounted in.
func (p *planner) filesystem(m *plan.Mount) {
	m.Set |= m.RecSet
	fallback := func(flag uint64, path string) {
		if p.confined && !p.creates(flag) {
			m.Fallback = path
		}
	}
	switch m.FSType {
	case "sysfs":
		fallback(unix.CLONE_NEWNET, "/sys")
	case "proc":
		fallback(unix.CLONE_NEWPID, "/proc")
	case "mqueue":
		fallback(unix.CLONE_NEWIPC, "/dev/mqueue")
	case "cgroup", "cgroup2":
		if p.confined {
			m.Fallback = "/sys/fs/cgroup"
		}
		m.Data = nil
		if m.FSType == "cgroup" && !p.UnifiedCgroup {
			m.Kind = plan.MountCgroup1
			return
		}
		m.FSType = "cgroup2"
	case "devpts":
		m.Data = slices.DeleteFunc(m.Data, func(o string) bool {
			gid, ok := strings.CutPrefix(o, "gid=")
			return ok && !p.gidMapped(gid)
		})
	}
	if label := p.spec.Linux.MountLabel; label != "" && p.SELinux {
		switch m.FSType {
		case "tmpfs", "devpts", "mqueue":
			m.Data = append(m.Data, "context="+label)
		}
	}
}

// gidMapped reports whether a gid exists in the container's user namespace. Where it doesn't, devpts would
// refuse to be mounted, and gives new terminals to the opener's group instead.
func (p *planner) gidMapped(gid string) bool {
	n, err := strconv.ParseUint(gid, 10, 32)
	if err != nil || !p.confined {
		return true
	}
	maps := p.MappedGIDs
	if p.creates(unix.CLONE_NEWUSER) {
		maps = p.plan.GIDMaps
	}
	for _, m := range maps {
		if uint64(m.Container) <= n && n < uint64(m.Container)+uint64(m.Size) {
			return true
		}
	}
	return len(maps) == 0
}

// mapMount numbers the user namespace of an idmapped mount; OpenIDMaps makes it.
func (p *planner) mapMount(m *plan.Mount, s *specs.Mount) error {
	if len(s.UIDMappings)+len(s.GIDMappings) == 0 {
		return nil
	}
	if m.Kind != plan.MountBind {
		return fmt.Errorf("id mappings are for bind mounts")
	}
	if len(s.UIDMappings) == 0 || len(s.GIDMappings) == 0 {
		return fmt.Errorf("id mappings need both uidMappings and gidMappings")
	}
	m.UIDMaps, m.GIDMaps = idMaps(s.UIDMappings), idMaps(s.GIDMappings)
	n := 1
	for i := range p.plan.Mounts {
		n = max(n, p.plan.Mounts[i].IDMap+1)
	}
	m.IDMap = n
	return nil
}
