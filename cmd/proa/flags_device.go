package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/proa-containers/proa/oci/spec"
)

// parseDevice is one device, or those in a directory.
func parseDevice(s string) ([]spec.Device, error) {
	parts := strings.Split(s, ":")
	d := spec.Device{Source: parts[0], Access: "rwm"}
	d.Target = d.Source
	switch len(parts) {
	case 1:
	case 2:
		if path.IsAbs(parts[1]) {
			d.Target = parts[1]
		} else {
			d.Access = parts[1]
		}
	case 3:
		d.Target, d.Access = parts[1], parts[2]
	default:
		return nil, errors.New("want SOURCE[:TARGET[:ACCESS]]")
	}
	if d.Access == "" || strings.Trim(d.Access, "rwm") != "" {
		return nil, fmt.Errorf("invalid access %q: of r, w and m", d.Access)
	}
	if !path.IsAbs(d.Source) || !path.IsAbs(d.Target) {
		return nil, errors.New("want absolute paths; devices by CDI name are not supported yet")
	}
	st, err := os.Stat(d.Source)
	switch {
	case err != nil:
		return nil, err
	case st.IsDir():
		return devicesIn(d)
	case st.Mode()&os.ModeDevice == 0:
		return nil, fmt.Errorf("%s is not a device", d.Source)
	}
	return []spec.Device{d}, nil
}

func devicesIn(dir spec.Device) ([]spec.Device, error) {
	var out []spec.Device
	err := filepath.WalkDir(dir.Source, func(p string, e fs.DirEntry, err error) error {
		if err == nil && e.Type()&fs.ModeDevice != 0 {
			out = append(out, spec.Device{Source: p, Target: path.Join(dir.Target, strings.TrimPrefix(p, dir.Source)), Access: dir.Access})
		}
		return err
	})
	if err == nil && len(out) == 0 {
		err = fmt.Errorf("there are no devices in %s", dir.Source)
	}
	return out, err
}
