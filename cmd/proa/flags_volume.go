package main

import (
	"errors"
	"fmt"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/proa-containers/proa/libpod/rootless"
	"github.com/proa-containers/proa/libpod/volume"
	"github.com/proa-containers/proa/oci/spec"
	"github.com/urfave/cli/v2"
)

// parseVolume reads a --volume: TARGET for a volume of the container's own, or SOURCE:TARGET[:OPTIONS], the source a
// volume's name or, when it starts with a slash or a dot, a path of the host.
func parseVolume(s string) (spec.Mount, error) {
	parts := strings.Split(s, ":")
	if len(parts) == 1 {
		parts = []string{"", s}
	} else if parts[0] == "" {
		return spec.Mount{}, errors.New("want [SOURCE:]TARGET[:OPTIONS]")
	}
	if len(parts) > 3 || parts[1] == "" {
		return spec.Mount{}, errors.New("want [SOURCE:]TARGET[:OPTIONS]")
	}
	source, m, option := parts[0], spec.Mount{Type: "volume", Target: parts[1]}, namedOption
	if source != "" && (path.IsAbs(source) || source[0] == '.') {
		m.Type, option = "bind", volumeOption
	} else {
		m.Volume = &spec.Volume{}
		if err := nameVolume(source, &m); err != nil {
			return m, err
		}
	}
	if len(parts) == 3 {
		for _, o := range strings.Split(parts[2], ",") {
			if err := option(o, &m); err != nil {
				return m, err
			}
		}
	}
	if m.Type == "volume" {
		return m, checkAccess(m)
	}
	return m, bindSource(source, &m)
}

// nameVolume sets the volume of a mount; an empty name is for one of the container's own.
func nameVolume(name string, m *spec.Mount) error {
	if name == "" {
		return checkVolumeOptions(m)
	}
	if strings.HasPrefix(name, "/") || strings.HasPrefix(name, ".") {
		return fmt.Errorf("the source %q is a path: type=bind mounts one, a volume has a name", name)
	}
	m.Volume.Name = name
	if err := volume.CheckName(name); err != nil {
		return err
	}
	return checkVolumeOptions(m)
}

func checkVolumeOptions(m *spec.Mount) error {
	if err := volume.CheckOptions(m.Volume.Options, rootless.Rootless()); err != nil {
		return fmt.Errorf("volume-opt: %w", err)
	}
	return checkAccess(*m)
}

// checkAccess refuses ro and rw together.
func checkAccess(m spec.Mount) error {
	if slices.Contains(m.Options, "ro") && slices.Contains(m.Options, "rw") {
		return errors.New("ro and rw exclude each other")
	}
	return nil
}

// namedOption adds an option of a volume's mount.
func namedOption(o string, m *spec.Mount) error {
	switch o {
	case "z", "Z":
		return relabel(o)
	case "U":
		m.Chown = true
	case "nocopy":
		m.Volume.NoCopy = true
	case "copy":
		m.Volume.NoCopy = false
	case "ro", "rw", "exec", "noexec", "suid", "nosuid", "dev", "nodev":
		m.Options = append(m.Options, o)
	case "private", "rprivate", "slave", "rslave", "shared", "rshared":
		return fmt.Errorf("the option %s is for directories of the host: no mounts come and go in a volume", o)
	case "idmap", "O":
		return fmt.Errorf("the option %s is not supported yet", o)
	default:
		return fmt.Errorf("unknown option %q of a volume: ro, rw, z, Z, U, nocopy, [no]exec, [no]suid, [no]dev", o)
	}
	return nil
}

// volumeField reads a field of --mount type=volume.
func volumeField(key, value, f string, m *spec.Mount) error {
	v := m.Volume
	switch key {
	case "volume-nocopy", "nocopy":
		return boolField(key, value, &v.NoCopy)
	case "U", "chown":
		return boolField(key, value, &m.Chown)
	case "volume-driver":
		return checkDriver("volume-driver", value)
	case "volume-subpath", "subpath":
		if value == "" || path.IsAbs(value) || !filepath.IsLocal(value) {
			return fmt.Errorf("invalid %s %q: a path relative to the volume, and within it", key, value)
		}
		v.Subpath = value
	case "volume-opt":
		k, val, ok := strings.Cut(value, "=")
		if !ok || k == "" {
			return fmt.Errorf("invalid volume-opt %q: KEY=VALUE, in quotes where it has a comma", value)
		}
		put(&v.Options, k, val)
	case "volume-label":
		k, val, _ := strings.Cut(value, "=")
		if k == "" {
			return fmt.Errorf("invalid volume-label %q: KEY=VALUE", value)
		}
		put(&v.Labels, k, val)
	case "consistency":
		if !slices.Contains([]string{"default", "cached", "delegated", "consistent"}, value) {
			return fmt.Errorf("invalid consistency %q: default, cached, delegated or consistent", value)
		}
	case "bind-propagation", "idmap":
		return fmt.Errorf("%s is for a bind", key)
	default:
		return fmt.Errorf("unknown field %q of a volume: src, dst, ro, volume-nocopy, volume-subpath, volume-opt, volume-label, volume-driver, chown", f)
	}
	return nil
}

// boolField is a field that is true when it is there without a value.
func boolField(key, value string, to *bool) error {
	*to = true
	if value == "" {
		return nil
	}
	on, err := strconv.ParseBool(value)
	if err != nil {
		return fmt.Errorf("invalid %s %q: true or false", key, value)
	}
	*to = on
	return nil
}

func checkDriver(flag, name string) error {
	if name != volume.Driver {
		return fmt.Errorf("invalid %s %q: proa has the driver local and no plugins", flag, name)
	}
	return nil
}

// parseInherited reads what brings mounts that are not named: --volumes-from and --image-volume.
func parseInherited(c *cli.Context, m *spec.Mounts) error {
	for _, from := range c.StringSlice("volumes-from") {
		ref, options, _ := strings.Cut(from, ":")
		if ref == "" {
			return fmt.Errorf("invalid --volumes-from %q: CONTAINER[:OPTIONS]", from)
		}
		for _, o := range strings.Split(options, ",") {
			switch o {
			case "", "ro", "rw":
			case "z", "Z":
				if err := relabel(o); err != nil {
					return fmt.Errorf("invalid --volumes-from %q: %w", from, err)
				}
			default:
				return fmt.Errorf("invalid --volumes-from %q: unknown option %q: ro, rw, z or Z", from, o)
			}
		}
		m.VolumesFrom = append(m.VolumesFrom, from)
	}
	switch how := c.String("image-volume"); how {
	case "anonymous", "bind":
	case "tmpfs", "ignore":
		m.ImageVolumes = how
	default:
		return fmt.Errorf("invalid --image-volume %q: anonymous, tmpfs or ignore", how)
	}
	return checkDriver("--volume-driver", c.String("volume-driver"))
}
