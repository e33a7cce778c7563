package libpod

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/proa-containers/proa/libpod/volume"
	"github.com/proa-containers/proa/oci/plan"
	"github.com/proa-containers/proa/oci/spec"
	"golang.org/x/sys/unix"
)

// mountVolumes makes the container's volumes ready for this run, and fills those that are empty from the image. They are
// held until root is closed.
func (e *Engine) mountVolumes(ctx context.Context, c *Container, root *rootMount, user spec.User) (map[string]spec.VolumeSource, error) {
	out := map[string]spec.VolumeSource{}
	for _, m := range c.Config.Mounts.List {
		source := m.Source
		if m.Volume != nil {
			if m.Volume.Subpath != "" && c.Runtime != "" {
				return nil, fmt.Errorf("volume-subpath=%s works with the bundled runtime alone: another would follow links that a container leaves in the volume; leave out --runtime", m.Volume.Subpath)
			}
			v, data, err := e.mountVolume(ctx, c, m, root)
			if err != nil {
				return nil, err
			}
			out[m.Target] = spec.VolumeSource{Path: data, Options: v.MountOptions()}
			source = data
		}
		if m.Chown {
			if err := volume.Chown(source, int(user.UID), int(user.GID)); err != nil {
				return nil, err
			}
		}
	}
	return out, nil
}

func (e *Engine) mountVolume(ctx context.Context, c *Container, m spec.Mount, root *rootMount) (*volume.Volume, string, error) {
	s, err := e.Volumes()
	if err != nil {
		return nil, "", err
	}
	v, err := s.Get(m.Volume.Name)
	if errors.Is(err, volume.ErrNotFound) {
		return nil, "", fmt.Errorf("volume %q of container %q is gone; make it anew with `proa volume create %s`, or remove the container", m.Volume.Name, c.Name, m.Volume.Name)
	}
	if err != nil {
		return nil, "", err
	}
	var src *os.File
	// As Docker, which copies when the container is made: what a later run finds empty was emptied.
	if !m.Volume.NoCopy && m.Volume.Subpath == "" && c.Last == nil {
		if src, err = openCovered(root.file, m.Target); err != nil {
			return nil, "", err
		}
		if src != nil {
			defer src.Close()
		}
	}
	data, release, err := s.Acquire(ctx, v, src, e.warn)
	if err != nil {
		return nil, "", err
	}
	root.held = append(root.held, release)
	return v, data, nil
}

// openCovered opens the directory of the root that a volume is about to cover; nil when there is none. Links of the image
// lead nowhere but into the root.
func openCovered(root *os.File, target string) (*os.File, error) {
	how := unix.OpenHow{Flags: unix.O_RDONLY | unix.O_DIRECTORY | unix.O_CLOEXEC, Resolve: unix.RESOLVE_IN_ROOT | unix.RESOLVE_NO_MAGICLINKS}
	fd, err := unix.Openat2(int(root.Fd()), target, &how)
	switch err {
	case nil:
		return os.NewFile(uintptr(fd), target), nil
	case unix.ENOENT, unix.ENOTDIR, unix.ELOOP:
		return nil, nil // the mount makes it, or says what is in the way
	}
	return nil, fmt.Errorf("opening %q in the image: %w", target, err)
}

// finishVolumes puts into the plan what a configuration of OCI has no words for.
func finishVolumes(c *Container, p *plan.Plan) {
	for _, m := range c.Config.Mounts.List {
		if m.Volume == nil {
			continue
		}
		p.Late = p.Late || m.Volume.Mounted
		for i := range p.Mounts {
			if p.Mounts[i].Kind == plan.MountBind && p.Mounts[i].Dest == filepath.Clean(m.Target) {
				p.Mounts[i].Subpath = m.Volume.Subpath
			}
		}
	}
}

// fillCreated copies into the empty volumes of a container that is made and not started: as with Docker, its content is
// there for others from now on. A volume that is mounted only while it is used waits for the start.
func (e *Engine) fillCreated(ctx context.Context, c *Container) error {
	var root *rootMount
	for _, m := range c.Config.Mounts.List {
		if m.Volume == nil || m.Volume.Mounted || m.Volume.NoCopy || m.Volume.Subpath != "" {
			continue
		}
		if root == nil {
			var err error
			if root, err = e.mountRoot(c); err != nil {
				return err
			}
			defer root.close()
		}
		if _, _, err := e.mountVolume(ctx, c, m, root); err != nil {
			return err
		}
	}
	return nil
}

// heldMounts are the container's mounts with its volumes as binds, for one that does not run; the volumes are held until
// root is closed, and those that are mounted only while they are used until unmountVolumes.
func (e *Engine) heldMounts(ctx context.Context, c *Container, root *rootMount) ([]spec.Mount, error) {
	var out []spec.Mount
	for _, m := range c.Config.Mounts.List {
		if m.Volume == nil {
			out = append(out, m)
			continue
		}
		s, err := e.Volumes()
		if err != nil {
			return nil, err
		}
		v, err := s.Get(m.Volume.Name)
		if err != nil {
			return nil, err
		}
		data, release, err := s.Acquire(ctx, v, nil, nil)
		if err != nil {
			return nil, err
		}
		root.held = append(root.held, release)
		m.Type, m.Source = "bind", data
		out = append(out, m)
	}
	return out, nil
}

// unmountVolumes unmounts those of the container's volumes that are mounted while they are used, when no other container
// that runs has them.
func (e *Engine) unmountVolumes(c *Container) error {
	for _, m := range c.Config.Mounts.List {
		if m.Volume == nil || !m.Volume.Mounted {
			continue
		}
		s, err := e.Volumes()
		if err != nil {
			return err
		}
		v, err := s.Get(m.Volume.Name)
		if errors.Is(err, volume.ErrNotFound) {
			continue
		}
		if err == nil {
			err = s.Release(context.Background(), v, func() (bool, error) { return e.runsWith(v.Name, c.ID) })
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// runsWith tells whether a container other than except runs and has the volume.
func (e *Engine) runsWith(name, except string) (bool, error) {
	records, err := e.state.List()
	if err != nil {
		return false, err
	}
	for _, r := range records {
		c, err := decode(r)
		if err != nil {
			return false, err
		}
		for _, v := range c.VolumeNames() {
			if st := e.Status(c).State; v == name && c.ID != except && (st == Running || st == Paused || st == Restarting) {
				return true, nil
			}
		}
	}
	return false, nil
}

// dropVolumes removes the volumes that go with the container, but those that another has too, by --volumes-from.
func (e *Engine) dropVolumes(c *Container) error {
	if !c.AutoRemove && !c.DropVolumes {
		return nil
	}
	var list []*volume.Volume
	var s *volume.Store
	for _, m := range c.Config.Mounts.List {
		if m.Volume == nil || !m.Volume.Anonymous {
			continue
		}
		var err error
		if s, err = e.Volumes(); err != nil {
			return err
		}
		v, err := s.Get(m.Volume.Name)
		if errors.Is(err, volume.ErrNotFound) {
			continue
		}
		if err != nil {
			return err
		}
		list = append(list, v)
	}
	if len(list) == 0 {
		return nil
	}
	removed, _, errs := s.Remove(context.Background(), list, func() (map[string][]string, error) { return e.volumeUsers(c.ID) })
	for _, v := range removed {
		e.SayVolume("destroy", v.Name)
	}
	for i, err := range errs {
		if leftAlone(err) {
			errs[i] = nil
		}
	}
	return errors.Join(errs...)
}
