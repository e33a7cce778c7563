package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/docker/go-units"
	"github.com/proa-containers/proa/libpod"
	"github.com/proa-containers/proa/oci/spec"
	"github.com/urfave/cli/v2"
)

func jsonStrings(s string) (out []string, err error) { return out, json.Unmarshal([]byte(s), &out) }

func namespaceFlags() []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: "network", Aliases: []string{"net"}, Usage: "`none` or host (networks are not there yet)"},
		&cli.StringFlag{Name: "pid", Usage: "process ids: `host`, private or ns:PATH"},
		&cli.StringFlag{Name: "ipc", Usage: "System V and POSIX IPC: `host`, private or ns:PATH"},
		&cli.StringFlag{Name: "uts", Usage: "host name: `host`, private or ns:PATH"},
		&cli.StringFlag{Name: "cgroupns", Usage: "cgroup view: `host`, private or ns:PATH"},
		&cli.StringFlag{Name: "hostname", Aliases: []string{"h"}, Usage: "host `NAME` in the container"},
		&cli.StringFlag{Name: "domainname", Usage: "NIS domain `NAME`"},
		&cli.StringSliceFlag{Name: "add-host", Usage: "`NAME:IP` for /etc/hosts"},
	}
}

func parseNamespaces(c *cli.Context, ctr *libpod.Container) error {
	n := &ctr.Config.Namespaces
	n.PID, n.IPC, n.UTS, n.Cgroup = c.String("pid"), c.String("ipc"), c.String("uts"), c.String("cgroupns")
	n.Hostname, n.Domainname = c.String("hostname"), c.String("domainname")
	for _, f := range []struct{ flag, mode string }{{"pid", n.PID}, {"ipc", n.IPC}, {"uts", n.UTS}, {"cgroupns", n.Cgroup}} {
		if f.mode != "" && f.mode != "host" && f.mode != "private" && !strings.HasPrefix(f.mode, "ns:/") {
			return fmt.Errorf("invalid --%s %q: host, private or ns:PATH", f.flag, f.mode)
		}
	}
	if n.UTS == "host" && n.Hostname != "" {
		return errors.New("--hostname can't be set with --uts host: the name is the host's")
	}
	switch net := c.String("network"); net {
	case "", "none":
		n.Network = "none"
	case "host":
		n.Network = net
	default:
		if path, ok := strings.CutPrefix(net, "ns:"); ok && filepath.IsAbs(path) {
			n.Network = net
			break
		}
		return fmt.Errorf("invalid --network %q: none, host or ns:PATH; this proa does not have networks yet", net)
	}
	for _, h := range c.StringSlice("add-host") {
		name, ip, ok := strings.Cut(h, ":")
		if _, err := netip.ParseAddr(strings.Trim(ip, "[]")); !ok || name == "" || err != nil {
			return fmt.Errorf("invalid --add-host %q: NAME:IP", h)
		}
		n.ExtraHosts = append(n.ExtraHosts, name+":"+strings.Trim(ip, "[]"))
	}
	return nil
}

func securityFlags() []cli.Flag {
	return []cli.Flag{
		&cli.BoolFlag{Name: "privileged", Usage: "all capabilities of your user namespace, the devices you may open, nothing masked"},
		&cli.StringSliceFlag{Name: "cap-add", Usage: "add a `CAPABILITY`, or ALL"},
		&cli.StringSliceFlag{Name: "cap-drop", Usage: "drop a `CAPABILITY`, or ALL"},
		&cli.StringSliceFlag{Name: "security-opt", Usage: "no-new-privileges, seccomp=`FILE|unconfined`, apparmor=PROFILE, label=disable, mask=PATHS, unmask=PATHS|ALL"},
	}
}

func parseSecurity(c *cli.Context, ctr *libpod.Container) error {
	s := &ctr.Config.Security
	s.Privileged = c.Bool("privileged")
	for _, f := range []struct {
		flag string
		to   *[]string
	}{{"cap-add", &s.CapAdd}, {"cap-drop", &s.CapDrop}} {
		for _, v := range c.StringSlice(f.flag) {
			for _, one := range strings.Split(v, ",") {
				name, err := spec.ParseCapability(one)
				if err != nil {
					return fmt.Errorf("invalid --%s: %w", f.flag, err)
				}
				*f.to = append(*f.to, name)
			}
		}
	}
	for _, o := range c.StringSlice("security-opt") {
		if err := securityOption(s, o); err != nil {
			return err
		}
	}
	return nil
}

func securityOption(s *spec.Security, o string) error {
	key, value, set := strings.Cut(o, "=")
	if !set {
		key, value, set = strings.Cut(o, ":") // Docker's older form
	}
	switch key {
	case "no-new-privileges":
		if set && value != "true" && value != "false" {
			return fmt.Errorf("invalid --security-opt %q: true or false", o)
		}
		s.NoNewPrivileges = value != "false"
	case "seccomp":
		s.Seccomp = value
		if value != "unconfined" {
			path, err := filepath.Abs(value)
			if err != nil {
				return err
			}
			if _, err := os.Stat(path); err != nil {
				return fmt.Errorf("invalid --security-opt %q: %w", o, err)
			}
			s.Seccomp = path
		}
	case "apparmor":
		if value != "unconfined" {
			s.AppArmor = value
		}
	case "label":
		if value != "disable" {
			return fmt.Errorf("invalid --security-opt %q: only label=disable, SELinux labels are not there yet", o)
		}
		s.Label = value
	case "systempaths":
		if value != "unconfined" {
			return fmt.Errorf("invalid --security-opt %q: systempaths=unconfined", o)
		}
		s.Unmask = []string{"ALL"}
	case "mask":
		s.Mask = append(s.Mask, strings.Split(value, ":")...)
	case "unmask":
		s.Unmask = append(s.Unmask, strings.Split(value, ":")...)
	default:
		return fmt.Errorf("invalid --security-opt %q: no-new-privileges, seccomp, apparmor, label, systempaths, mask or unmask", o)
	}
	return nil
}

func resourceFlags() []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: "memory", Aliases: []string{"m"}, Usage: "limit in `BYTES`, with a unit as 512m"},
		&cli.Int64Flag{Name: "pids-limit", Usage: "most `PROCESSES`, -1 for no limit"},
		&cli.Float64Flag{Name: "cpus", Usage: "`NUMBER` of processors' worth of time"},
	}
}

func parseResources(c *cli.Context, ctr *libpod.Container) (err error) {
	r := &ctr.Config.Resources
	if m := c.String("memory"); m != "" {
		if r.Memory, err = units.RAMInBytes(m); err != nil || r.Memory < 0 {
			return fmt.Errorf("invalid --memory %q: bytes, with a unit as 512m or 2g", m)
		}
	}
	if r.PidsLimit = c.Int64("pids-limit"); r.PidsLimit < 0 {
		r.PidsLimit = 0
	}
	if r.CPUs = c.Float64("cpus"); r.CPUs < 0 {
		return fmt.Errorf("invalid --cpus %v: a positive number", r.CPUs)
	}
	return nil
}

func mountFlags() []cli.Flag {
	return []cli.Flag{
		&cli.StringSliceFlag{Name: "volume", Aliases: []string{"v"}, Usage: "bind `SOURCE:TARGET[:OPTIONS]`"},
		&cli.StringSliceFlag{Name: "mount", Usage: "`type=bind|tmpfs,source=,target=[,OPTION...]`"},
		&cli.StringSliceFlag{Name: "tmpfs", Usage: "`TARGET[:OPTIONS]`"},
		&cli.BoolFlag{Name: "read-only", Usage: "make the container's root read-only"},
		&cli.StringFlag{Name: "shm-size", Usage: "size of /dev/shm in `BYTES` (default 64m)"},
		&cli.StringSliceFlag{Name: "device", Usage: "a device of the host: `SOURCE[:TARGET[:rwm]]`"},
	}
}

func parseMounts(c *cli.Context, ctr *libpod.Container) error {
	m := &ctr.Config.Mounts
	m.ReadonlyRoot = c.Bool("read-only")
	for _, f := range []struct {
		flag  string
		parse func(string) (spec.Mount, error)
	}{{"volume", parseVolume}, {"mount", parseMount}, {"tmpfs", parseTmpfs}} {
		for _, v := range c.StringSlice(f.flag) {
			mount, err := f.parse(v)
			if err != nil {
				return fmt.Errorf("invalid --%s %q: %w", f.flag, v, err)
			}
			m.List = append(m.List, mount)
		}
	}
	for _, d := range c.StringSlice("device") {
		p := strings.SplitN(d, ":", 3)
		dev := spec.Device{Source: p[0], Target: p[0], Access: "rwm"}
		if len(p) > 1 && strings.HasPrefix(p[1], "/") {
			dev.Target = p[1]
		} else if len(p) == 2 {
			dev.Access = p[1]
		}
		if len(p) > 2 {
			dev.Access = p[2]
		}
		if !filepath.IsAbs(dev.Source) || strings.Trim(dev.Access, "rwm") != "" {
			return fmt.Errorf("invalid --device %q: SOURCE[:TARGET[:rwm]] with absolute paths", d)
		}
		if _, err := os.Stat(dev.Source); err != nil {
			return fmt.Errorf("invalid --device %q: %w", d, err)
		}
		m.Devices = append(m.Devices, dev)
	}
	if s := c.String("shm-size"); s != "" {
		n, err := units.RAMInBytes(s)
		if err != nil || n <= 0 {
			return fmt.Errorf("invalid --shm-size %q: bytes, with a unit as 128m", s)
		}
		m.ShmSize = n
	}
	return nil
}

// bindOptions are the words that -v takes; z and Z have no meaning without SELinux.
var bindOptions = []string{"ro", "rw", "z", "Z", "private", "rprivate", "slave", "rslave", "shared", "rshared", "bind", "rbind",
	"exec", "noexec", "suid", "nosuid", "dev", "nodev"}

func parseVolume(s string) (spec.Mount, error) {
	p := strings.Split(s, ":")
	if len(p) == 1 {
		return spec.Mount{}, errors.New("SOURCE:TARGET[:OPTIONS]; volumes without a source are not there yet")
	}
	if len(p) > 3 || p[0] == "" {
		return spec.Mount{}, errors.New("SOURCE:TARGET[:OPTIONS]")
	}
	if !strings.HasPrefix(p[0], "/") && !strings.HasPrefix(p[0], ".") && !strings.HasPrefix(p[0], "~") {
		return spec.Mount{}, fmt.Errorf("named volumes are not there yet; for a directory write ./%s", p[0])
	}
	source, err := filepath.Abs(p[0])
	if err != nil {
		return spec.Mount{}, err
	}
	m := spec.Mount{Type: "bind", Source: source, Target: p[1]}
	if len(p) == 3 {
		for _, o := range strings.Split(p[2], ",") {
			switch {
			case !slices.Contains(bindOptions, o):
				return m, fmt.Errorf("unknown option %q: of %s", o, strings.Join(bindOptions, ", "))
			case strings.EqualFold(o, "z"):
			default:
				m.Options = append(m.Options, o)
			}
		}
	}
	return m, checkTarget(m.Target)
}

func checkTarget(t string) error {
	if !filepath.IsAbs(t) {
		return fmt.Errorf("the target %q must be an absolute path", t)
	}
	if filepath.Clean(t) == "/" {
		return errors.New("the target can't be /; use --rootfs for another root")
	}
	return nil
}

func parseTmpfs(s string) (spec.Mount, error) {
	target, options, _ := strings.Cut(s, ":")
	m := spec.Mount{Type: "tmpfs", Target: target}
	if options != "" {
		m.Options = strings.Split(options, ",")
	}
	return m, checkTarget(target)
}

func parseMount(s string) (spec.Mount, error) {
	m := spec.Mount{}
	for _, field := range strings.Split(s, ",") {
		key, value, set := strings.Cut(field, "=")
		switch key {
		case "type":
			m.Type = value
		case "source", "src":
			m.Source = value
		case "target", "dst", "destination":
			m.Target = value
		case "readonly", "ro":
			switch {
			case !set, value == "true", value == "1":
				m.Options = append(m.Options, "ro")
			case value != "false" && value != "0":
				return m, fmt.Errorf("%q is true or false", key)
			}
		case "bind-propagation":
			m.Options = append(m.Options, value)
		case "bind-nonrecursive":
			m.Options = append(m.Options, "bind")
		case "tmpfs-size":
			m.Options = append(m.Options, "size="+value)
		case "tmpfs-mode":
			m.Options = append(m.Options, "mode="+value)
		default:
			return m, fmt.Errorf("unknown field %q: type, source, target, readonly, bind-propagation, bind-nonrecursive, tmpfs-size or tmpfs-mode", key)
		}
	}
	switch m.Type {
	case "bind":
		if m.Source == "" {
			return m, errors.New("a bind mount needs source=PATH")
		}
		source, err := filepath.Abs(m.Source)
		if err != nil {
			return m, err
		}
		m.Source = source
	case "tmpfs":
		if m.Source != "" {
			return m, errors.New("a tmpfs mount has no source")
		}
	case "volume", "":
		return m, errors.New("volumes are not there yet: type=bind or type=tmpfs")
	default:
		return m, fmt.Errorf("unknown type %q: bind or tmpfs", m.Type)
	}
	return m, checkTarget(m.Target)
}
