package spec

import (
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"
	"github.com/opencontainers/runtime-tools/generate"
)

func mounts(g *generate.Generator, cfg Config, env Env) error {
	shm := cfg.Mounts.ShmSize
	if shm == 0 {
		shm = defaultShm
	}
	sys, proc := []string{"nosuid", "noexec", "nodev", "ro"}, []string{"nosuid", "noexec", "nodev"}
	cgroup := []string{"nosuid", "noexec", "nodev", "relatime", "ro"}
	if cfg.Security.Privileged {
		sys, cgroup = sys[:3], cgroup[:4]
	}
	list := []specs.Mount{
		{Destination: "/proc", Type: "proc", Source: "proc", Options: proc},
		{Destination: "/dev", Type: "tmpfs", Source: "tmpfs", Options: []string{"nosuid", "strictatime", "mode=755", "size=65536k"}},
		{Destination: "/dev/pts", Type: "devpts", Source: "devpts", Options: []string{"nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"}},
		{Destination: "/sys", Type: "sysfs", Source: "sysfs", Options: sys},
		{Destination: "/sys/fs/cgroup", Type: "cgroup", Source: "cgroup", Options: cgroup},
		{Destination: "/dev/mqueue", Type: "mqueue", Source: "mqueue", Options: []string{"nosuid", "noexec", "nodev"}},
		{Destination: "/dev/shm", Type: "tmpfs", Source: "shm", Options: []string{"nosuid", "noexec", "nodev", "mode=1777", "size=" + strconv.FormatInt(shm, 10)}},
	}
	if cfg.Namespaces.IPC == "host" {
		list = slices.DeleteFunc(list, func(m specs.Mount) bool { return m.Destination == "/dev/shm" || m.Destination == "/dev/mqueue" })
		list = append(list, bind("/dev/shm", "/dev/shm", "nosuid", "noexec", "nodev"))
		if env.HostMqueue {
			list = append(list, bind("/dev/mqueue", "/dev/mqueue", "nosuid", "noexec", "nodev"))
		}
	}
	for _, target := range []string{"/etc/resolv.conf", "/etc/hostname", "/etc/hosts"} {
		if source := env.Files[target]; source != "" {
			list = append(list, bind(source, target))
		}
	}
	user, err := userMounts(cfg.Mounts.List, env.Volumes)
	if err != nil {
		return err
	}
	for _, m := range user { // what the user mounts stands in place of what is there by default
		list = slices.DeleteFunc(list, func(d specs.Mount) bool { return d.Destination == m.Destination })
	}
	g.Config.Mounts = append(list, user...)
	devices(g, cfg, env)
	return nil
}

func bind(source, target string, options ...string) specs.Mount {
	return specs.Mount{Destination: target, Type: "bind", Source: source, Options: append([]string{"rbind", "rprivate"}, options...)}
}

// Mounted tells whether there is a mount at target.
func (m Mounts) Mounted(target string) bool {
	target = filepath.Clean(target)
	return slices.ContainsFunc(m.List, func(o Mount) bool { return filepath.Clean(o.Target) == target })
}

// Validate checks what the user mounts.
func (m Mounts) Validate() error {
	_, err := userMounts(m.List, nil)
	return err
}

// userMounts converts the user's mounts, parents before what is mounted in them.
func userMounts(list []Mount, volumes map[string]VolumeSource) ([]specs.Mount, error) {
	var out []specs.Mount
	seen := map[string]bool{}
	for _, m := range list {
		target := filepath.Clean(m.Target)
		if !filepath.IsAbs(m.Target) || target == "/" {
			return nil, fmt.Errorf("invalid mount target %q: want an absolute path in the container other than /", m.Target)
		}
		if seen[target] {
			return nil, fmt.Errorf("duplicate mount point %q: two mounts have it as their target", target)
		}
		seen[target] = true
		switch m.Type {
		case "bind":
			s := specs.Mount{Destination: target, Type: "bind", Source: m.Source, Options: slices.Clone(m.Options)}
			if !slices.Contains(m.Options, "bind") {
				s.Options = append([]string{"rbind"}, s.Options...)
				if slices.Contains(m.Options, "ro") { // what is mounted below the source too, as Docker from 25 on
					s.Options = append(s.Options, "rro")
				}
			}
			if !slices.ContainsFunc(m.Options, propagation) {
				s.Options = append(s.Options, "rprivate")
			}
			out = append(out, s)
		case "tmpfs":
			options := []string{"nosuid", "nodev", "noexec"}
			for _, o := range m.Options {
				options = slices.DeleteFunc(options, func(d string) bool { return "no"+o == d || o == d })
				options = append(options, o)
			}
			out = append(out, specs.Mount{Destination: target, Type: "tmpfs", Source: "tmpfs", Options: options})
		case "volume":
			v := volumes[m.Target]
			options := slices.Concat([]string{"rbind"}, m.Options, v.Options, []string{"rprivate"})
			if slices.Contains(options, "ro") {
				options = append(options, "rro")
			}
			out = append(out, specs.Mount{Destination: target, Type: "bind", Source: v.Path, Options: options})
		default:
			return nil, fmt.Errorf("unknown mount type %q: bind, tmpfs or volume", m.Type)
		}
	}
	slices.SortStableFunc(out, func(a, b specs.Mount) int {
		return strings.Count(a.Destination, "/") - strings.Count(b.Destination, "/")
	})
	return out, nil
}

func propagation(o string) bool {
	return slices.Contains([]string{"private", "rprivate", "slave", "rslave", "shared", "rshared"}, o)
}

// devices adds those asked for. Without privilege over the host a device is its node there, bound.
func devices(g *generate.Generator, cfg Config, env Env) {
	list := cfg.Mounts.Devices
	if cfg.Security.Privileged {
		list = append(slices.Clone(env.Devices), list...)
	}
	for _, d := range list {
		m := bind(d.Source, d.Target, "nosuid", "noexec")
		if !strings.Contains(d.Access, "w") {
			m.Options = append(m.Options, "ro")
		}
		g.Config.Mounts = append(g.Config.Mounts, m)
	}
}
