// Package skeleton owns the directory that lies beneath the root of every container and of every step of a build. It runs
// in proa and proa-build, as uid 0 of the user's namespace or as root.
package skeleton

import (
	"fmt"
	"os"
	"path/filepath"
)

// Dir is a directory beneath every container's root that has what its mounts are attached to, in case the image
// does not: the init would have to make it in the container's layer, at several times the price. It plays the part of
// Docker's init layer, and is read-only to all that have it.
func Dir(dataDir string) (string, error) {
	dir := filepath.Join(dataDir, "skeleton-1") // other contents get another number
	if _, err := os.Stat(dir); err == nil {
		return dir, nil
	}
	if err := create(dir); err != nil {
		return "", fmt.Errorf("making the directory beneath containers' roots: %w", err)
	}
	return dir, nil
}

// create makes it under another name first: it is there whole, or not.
func create(dir string) error {
	if err := os.MkdirAll(filepath.Dir(dir), 0o700); err != nil {
		return err
	}
	tmp, err := os.MkdirTemp(filepath.Dir(dir), ".skeleton-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(tmp)
	for _, d := range []string{"dev", "etc", "proc", "sys"} {
		if err := os.Mkdir(filepath.Join(tmp, d), 0o755); err != nil {
			return err
		}
	}
	for _, f := range []string{"etc/hostname", "etc/hosts", "etc/resolv.conf"} {
		if err := os.WriteFile(filepath.Join(tmp, f), nil, 0o644); err != nil {
			return err
		}
	}
	if err := os.Chmod(tmp, 0o755); err != nil { // the container's root, where it has nothing else
		return err
	}
	err = os.Rename(tmp, dir)
	if _, there := os.Stat(dir); there == nil {
		return nil // by another command, meanwhile
	}
	return err
}
