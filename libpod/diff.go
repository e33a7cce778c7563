package libpod

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/proa-containers/proa/storage"
	"github.com/proa-containers/proa/storage/overlay"
)

// layerOf are the directories of the container's layer and of what is beneath it, without the skeleton.
func (e *Engine) layerOf(c *Container) (overlay.Options, error) {
	if c.Rootfs != "" && !c.RootfsCopy {
		return overlay.Options{}, fmt.Errorf("container %q has no layer: what it changes is in its --rootfs %q itself", c.Name, c.Rootfs)
	}
	s, err := e.store()
	if err != nil {
		return overlay.Options{}, err
	}
	o, err := s.Overlay(c.ID)
	if err != nil {
		return overlay.Options{}, err
	}
	if c.RootfsCopy {
		o.Lower = []string{c.Rootfs}
	}
	return o, nil
}

// Diff lists what the container has changed in its image's files, but for the places that something is mounted at.
func (e *Engine) Diff(c *Container) ([]storage.Change, error) {
	o, err := e.layerOf(c)
	if err != nil {
		return nil, err
	}
	list, err := storage.Changes(o)
	if err != nil {
		return nil, fmt.Errorf("container %q: %w", c.Name, err)
	}
	mounts := mountTargets(c)
	return slices.DeleteFunc(list, func(ch storage.Change) bool {
		return slices.ContainsFunc(mounts, func(m string) bool { return ch.Path == m || strings.HasPrefix(ch.Path, m+"/") })
	}), nil
}

// mountTargets are the places where something is mounted when the container runs. What the layer has of them was only
// made to mount on.
func mountTargets(c *Container) []string {
	out := []string{"/dev", "/proc", "/sys", "/etc/hosts", "/etc/hostname", "/etc/resolv.conf"}
	for _, m := range c.Config.Mounts.List {
		out = append(out, path.Clean("/"+m.Target))
	}
	return out
}
