package main

import (
	"encoding/csv"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/docker/go-units"
	"github.com/proa-containers/proa/libpod/volume"
	"github.com/proa-containers/proa/oci/spec"
	"github.com/urfave/cli/v2"
)

func mountFlags() []cli.Flag {
	return []cli.Flag{
		stringList("volume", "v", "mount a volume or a path of the host, as `[SOURCE:]TARGET[:OPTIONS]`, the options as ro,rslave"),
		stringList("mount", "", "mount, as `type=bind,src=PATH,dst=PATH[,ro]`, type=volume[,src=NAME],dst=PATH or type=tmpfs,dst=PATH[,tmpfs-size=SIZE]"),
		stringList("volumes-from", "", "mount the volumes and binds of a container, as `CONTAINER[:ro]`"),
		&cli.StringFlag{Name: "volume-driver", Value: volume.Driver, Usage: "`DRIVER` of volumes that are made: local"},
		&cli.StringFlag{Name: "image-volume", Value: "anonymous", Usage: "`WHAT` the volumes of the image become: anonymous (or bind) volumes, tmpfs or ignore"},
		stringList("tmpfs", "", "mount a tmpfs at `TARGET[:OPTIONS]`, the options as size=64m,mode=1777"),
		&cli.BoolFlag{Name: "read-only", Usage: "mount the container's root read-only"},
		&cli.StringFlag{Name: "shm-size", Usage: "`SIZE` of /dev/shm (default: 64m)"},
		stringList("device", "", "give the container a device of the host, as `SOURCE[:TARGET[:ACCESS]]`, the access of r, w and m"),
	}
}

func parseMounts(c *cli.Context, m *spec.Mounts) (err error) {
	m.ReadonlyRoot = c.Bool("read-only")
	if err := parseInherited(c, m); err != nil {
		return err
	}
	for _, f := range []struct {
		name  string
		parse func(string) (spec.Mount, error)
	}{{"volume", parseVolume}, {"mount", parseMount}, {"tmpfs", parseTmpfs}} {
		for _, s := range c.StringSlice(f.name) {
			mount, err := f.parse(s)
			if err != nil {
				return fmt.Errorf("invalid --%s %q: %w", f.name, s, err)
			}
			m.List = append(m.List, mount)
		}
	}
	if c.IsSet("shm-size") {
		if m.ShmSize, err = parseSize(c, "shm-size"); err != nil {
			return err
		}
		if m.ShmSize == 0 {
			return errors.New("invalid --shm-size 0: a size above 0, as 64m")
		}
	}
	for _, s := range c.StringSlice("device") {
		list, err := parseDevice(s)
		if err != nil {
			return fmt.Errorf("invalid --device %q: %w", s, err)
		}
		m.Devices = append(m.Devices, list...)
	}
	return m.Validate()
}

func parseSize(c *cli.Context, name string) (int64, error) {
	n, err := units.RAMInBytes(c.String(name))
	if err != nil || n < 0 {
		return 0, fmt.Errorf("invalid --%s %q: bytes, or a number with k, m or g", name, c.String(name))
	}
	return n, nil
}

// bindSource makes the source absolute and looks whether it is there.
func bindSource(source string, m *spec.Mount) (err error) {
	if m.Source, err = filepath.Abs(source); err != nil {
		return err
	}
	if _, err := os.Stat(m.Source); errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("the source %s does not exist on the host; make it first", m.Source)
	} else if err != nil {
		return err
	}
	return nil
}

// volumeOption adds an option of a bind mount in mount(8)'s words.
func volumeOption(o string, m *spec.Mount) error {
	switch o {
	case "cached", "delegated", "consistent": // of Docker Desktop's file sharing: on Linux a bind is always consistent
	case "z", "Z":
		return relabel(o)
	case "U":
		m.Chown = true
	case "idmap", "O":
		return fmt.Errorf("the option %s is not supported yet", o)
	case "nocopy", "copy":
		return fmt.Errorf("the option %s is for volumes: nothing is copied into a directory of the host", o)
	case "ro", "rw", "exec", "noexec", "suid", "nosuid", "dev", "nodev", "bind", "rbind",
		"private", "rprivate", "slave", "rslave", "shared", "rshared":
		m.Options = append(m.Options, o)
	default:
		return fmt.Errorf("unknown option %q: ro, rw, z, Z, [no]exec, [no]suid, [no]dev, bind, rbind, [r]private, [r]slave, [r]shared", o)
	}
	return nil
}

// relabel holds without SELinux, where there are no labels to change.
func relabel(o string) error {
	if _, err := os.Stat("/sys/fs/selinux/enforce"); err == nil {
		return fmt.Errorf("%s asks for an SELinux label, which proa does not support yet; relabel with chcon -t container_file_t", o)
	}
	return nil
}

func parseTmpfs(s string) (spec.Mount, error) {
	target, options, ok := strings.Cut(s, ":")
	m := spec.Mount{Type: "tmpfs", Target: target}
	if ok {
		for _, o := range strings.Split(options, ",") {
			if err := tmpfsOption(o, &m); err != nil {
				return m, err
			}
		}
	}
	return m, nil
}

func tmpfsOption(o string, m *spec.Mount) error {
	key, value, valued := strings.Cut(o, "=")
	var err error
	switch key {
	case "size":
		if _, e := units.RAMInBytes(value); e != nil && !strings.HasSuffix(value, "%") {
			err = fmt.Errorf("invalid size %q: bytes, or a number with k, m, g or %%", value)
		}
	case "mode":
		if _, e := strconv.ParseUint(value, 8, 12); e != nil {
			err = fmt.Errorf("invalid mode %q: want octal digits, as 1777", value)
		}
	case "uid", "gid", "nr_inodes", "nr_blocks":
		if _, e := strconv.ParseUint(strings.TrimRight(value, "kmg"), 10, 32); e != nil {
			err = fmt.Errorf("invalid %s %q: want a number", key, value)
		}
	case "ro", "rw", "exec", "noexec", "suid", "nosuid", "dev", "nodev", "atime", "noatime", "relatime", "strictatime", "nodiratime":
		if valued {
			err = fmt.Errorf("the option %s takes no value", key)
		}
	default:
		err = fmt.Errorf("unknown option %q: size=, mode=, uid=, gid=, nr_inodes=, nr_blocks=, ro, rw, [no]exec, [no]suid, [no]dev, noatime, relatime", o)
	}
	m.Options = append(m.Options, o)
	return err
}

// parseMount reads --mount's comma-separated fields, quoted as in CSV.
func parseMount(s string) (spec.Mount, error) {
	m := spec.Mount{Type: "volume"}
	fields, err := csv.NewReader(strings.NewReader(s)).Read()
	if err != nil {
		return m, errors.New("want fields as in type=volume,src=NAME,dst=PATH, separated by commas")
	}
	for _, f := range fields { // first, for the others' meaning depends on it
		if kind, ok := strings.CutPrefix(strings.TrimSpace(f), "type="); ok {
			m.Type = kind
		}
	}
	switch m.Type {
	case "volume":
		m.Volume = &spec.Volume{}
	case "bind", "tmpfs":
	default:
		return m, fmt.Errorf("unknown type %q: bind, volume or tmpfs", m.Type)
	}
	source := ""
	for _, f := range fields {
		if err := mountField(strings.TrimSpace(f), &m, &source); err != nil {
			return m, err
		}
	}
	switch {
	case m.Target == "":
		return m, errors.New("no target: want dst=PATH")
	case m.Type == "volume":
		return m, nameVolume(source, &m)
	case m.Type == "tmpfs" && source != "":
		return m, errors.New("a tmpfs has no source")
	case m.Type == "tmpfs":
		return m, nil
	case source == "":
		return m, errors.New("no source: want src=PATH")
	}
	return m, bindSource(source, &m)
}

func mountField(f string, m *spec.Mount, source *string) error {
	key, value, valued := strings.Cut(f, "=")
	switch key {
	case "type":
		return nil
	case "src", "source":
		*source = value
		return nil
	case "dst", "destination", "target":
		m.Target = value
		return nil
	case "ro", "readonly", "rw":
		return mountReadonly(key, value, valued, m)
	}
	switch m.Type {
	case "bind":
		return bindField(key, value, f, m)
	case "volume":
		return volumeField(key, value, f, m)
	}
	switch key {
	case "tmpfs-size", "tmpfs-mode":
		return tmpfsOption(strings.TrimPrefix(f, "tmpfs-"), m)
	case "notmpcopyup":
		return nil // nothing is copied into a tmpfs
	}
	return fmt.Errorf("unknown field %q of a tmpfs: dst, ro, tmpfs-size, tmpfs-mode", f)
}

func mountReadonly(key, value string, valued bool, m *spec.Mount) error {
	on := true
	if valued {
		var err error
		if on, err = strconv.ParseBool(value); err != nil {
			return fmt.Errorf("invalid %s %q: true or false", key, value)
		}
	}
	if on != (key == "rw") {
		m.Options = append(m.Options, "ro")
	}
	return nil
}

func bindField(key, value, f string, m *spec.Mount) error {
	switch key {
	case "bind-propagation":
		if !slices.Contains([]string{"private", "rprivate", "slave", "rslave", "shared", "rshared"}, value) {
			return fmt.Errorf("invalid bind-propagation %q: [r]private, [r]slave or [r]shared", value)
		}
		m.Options = append(m.Options, value)
	case "bind-nonrecursive":
		if on, err := strconv.ParseBool(value); value != "" && err != nil {
			return fmt.Errorf("invalid bind-nonrecursive %q: true or false", value)
		} else if on || value == "" {
			m.Options = append(m.Options, "bind")
		}
	case "consistency":
		return volumeOption(value, m)
	case "U", "chown":
		return boolField(key, value, &m.Chown)
	case "relabel":
		if value != "shared" && value != "private" {
			return fmt.Errorf("invalid relabel %q: shared or private", value)
		}
		return relabel(f)
	default:
		return fmt.Errorf("unknown field %q of a bind: src, dst, ro, bind-propagation, bind-nonrecursive, relabel, chown", f)
	}
	return nil
}
