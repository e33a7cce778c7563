package libpod

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/proa-containers/proa/image"
	"github.com/proa-containers/proa/libpod/rootless"
	"github.com/proa-containers/proa/libpod/state"
	"github.com/proa-containers/proa/libpod/volume"
	"github.com/proa-containers/proa/oci/spec"
)

// Volumes is the store of volumes.
func (e *Engine) Volumes() (*volume.Store, error) {
	s, err := e.store()
	if err != nil {
		return nil, err
	}
	return volume.New(s.GraphRoot()), nil
}

// VolumeUsers are the containers that each volume is of, running or not, as users are told of them.
func (e *Engine) VolumeUsers() (map[string][]string, error) { return e.volumeUsers("") }

// volumeUsers leaves out the container except.
func (e *Engine) volumeUsers(except string) (map[string][]string, error) {
	records, err := e.state.List()
	if err != nil {
		return nil, err
	}
	out := map[string][]string{}
	for _, r := range records {
		c, err := decode(r)
		if err != nil {
			return nil, err
		}
		for _, name := range c.VolumeNames() {
			if c.ID != except {
				out[name] = append(out[name], fmt.Sprintf("container %q (%.12s)", c.Name, c.ID))
			}
		}
	}
	return out, nil
}

// VolumeNames are the volumes that the container mounts, each once.
func (c *Container) VolumeNames() []string {
	var out []string
	for _, m := range c.Config.Mounts.List {
		if m.Volume != nil && !slices.Contains(out, m.Volume.Name) {
			out = append(out, m.Volume.Name)
		}
	}
	return out
}

// RemoveVolumes removes those of list that no container has; see volume.Store.Remove.
func (e *Engine) RemoveVolumes(ctx context.Context, list []*volume.Volume) ([]*volume.Volume, int64, []error) {
	s, err := e.Volumes()
	if err != nil {
		return nil, 0, []error{err}
	}
	if _, err := e.List(ctx); err != nil { // what has ended and is to go, goes
		return nil, 0, []error{err}
	}
	removed, size, errs := s.Remove(ctx, list, e.VolumeUsers)
	for _, v := range removed {
		e.SayVolume("destroy", v.Name)
	}
	return removed, size, errs
}

// SweepVolumes finishes what killed commands left of volumes, and removes those that were to go with containers which a
// reboot took. It returns a line for each.
func (e *Engine) SweepVolumes(ctx context.Context) ([]string, error) {
	s, err := e.Volumes()
	if err != nil {
		return nil, err
	}
	done, err := s.Sweep(ctx)
	errs := []error{err}
	list, _, err := s.List()
	if err != nil {
		return done, errors.Join(append(errs, err)...)
	}
	var lost []*volume.Volume
	for _, v := range list {
		if v.Owner == "" {
			continue
		}
		// A container is recorded before its volumes are made: one that is not there is gone.
		if _, err := e.state.Find(v.Owner); errors.Is(err, state.ErrNotFound) && !mountedSomewhere(v.Name) {
			lost = append(lost, v)
		}
	}
	if len(lost) == 0 {
		return done, errors.Join(errs...)
	}
	gone, _, failures := s.Remove(ctx, lost, e.VolumeUsers)
	for _, v := range gone {
		done = append(done, fmt.Sprintf("removed the volume %.12s of a container that is gone", v.Name))
	}
	for _, err := range failures {
		if !leftAlone(err) {
			errs = append(errs, err)
		}
	}
	return done, errors.Join(errs...)
}

// mountedSomewhere tells whether a process has a volume mounted, whose name is an id: a container that was started with
// another run directory is not in the records of this one.
func mountedSomewhere(name string) bool {
	tables, _ := filepath.Glob("/proc/[0-9]*/mountinfo")
	for _, t := range tables {
		if b, err := os.ReadFile(t); err == nil && bytes.Contains(b, []byte("/"+name+"/")) {
			return true
		}
	}
	return false
}

// leftAlone tells whether a volume stays for a good reason: somebody has it, or has removed it.
func leftAlone(err error) bool {
	var used *volume.UsedError
	return errors.As(err, &used) || errors.Is(err, volume.ErrNotFound) || errors.Is(err, volume.ErrBusy)
}

// hasAnonymous tells whether the container has volumes that go with it.
func (c *Container) hasAnonymous() bool {
	return slices.ContainsFunc(c.Config.Mounts.List, func(m spec.Mount) bool { return m.Volume != nil && m.Volume.Anonymous })
}

// completeVolumes adds the mounts of --volumes-from and the image's volumes where the user mounts nothing, and names the
// volumes that have no name.
func (e *Engine) completeVolumes(c *Container, img *image.Image) error {
	m := &c.Config.Mounts
	given := len(m.List)
	for _, from := range m.VolumesFrom {
		if err := e.inherit(m, from); err != nil {
			return err
		}
	}
	if img != nil && m.ImageVolumes != "ignore" {
		for _, target := range slices.Sorted(maps.Keys(img.Config.Volumes)) {
			target = path.Clean(target)
			switch {
			case m.Mounted(target):
			case m.ImageVolumes == "tmpfs":
				m.List = append(m.List, spec.Mount{Type: "tmpfs", Target: target})
			default:
				m.List = append(m.List, spec.Mount{Type: "volume", Target: target, Volume: &spec.Volume{Inherited: true}})
			}
		}
	}
	for i := range m.List {
		if v := m.List[i].Volume; v != nil && v.Name == "" {
			v.Name, v.Anonymous = newID(), true
		}
	}
	if len(m.List) == given {
		return nil
	}
	return m.Validate()
}

// inherit adds the volumes and binds of another container, CONTAINER[:OPTIONS].
func (e *Engine) inherit(m *spec.Mounts, from string) error {
	ref, options, _ := strings.Cut(from, ":")
	other, err := e.Lookup(ref)
	if err != nil {
		return fmt.Errorf("--volumes-from %q: %w", from, err)
	}
	for _, theirs := range other.Config.Mounts.List {
		if theirs.Type == "tmpfs" || m.Mounted(theirs.Target) {
			continue
		}
		theirs.Options = slices.Clone(theirs.Options)
		if slices.Contains(strings.Split(options, ","), "ro") {
			theirs.Options = append(slices.DeleteFunc(theirs.Options, func(o string) bool { return o == "rw" }), "ro")
		}
		if theirs.Volume != nil {
			v := *theirs.Volume
			v.Inherited, v.NoCopy, v.Labels, v.Options = true, true, nil, nil
			theirs.Volume = &v
		}
		m.List = append(m.List, theirs)
	}
	return nil
}

// makeVolumes makes those of the container's volumes that are not there. Its record names them already, so that nobody
// removes them.
func (e *Engine) makeVolumes(ctx context.Context, c *Container) error {
	var s *volume.Store
	mounted := false
	for _, m := range c.Config.Mounts.List {
		if m.Volume == nil {
			continue
		}
		if s == nil {
			var err error
			if s, err = e.Volumes(); err != nil {
				return err
			}
		}
		want := &volume.Volume{Name: m.Volume.Name, Labels: m.Volume.Labels, Options: m.Volume.Options}
		if m.Volume.Anonymous {
			if c.AutoRemove {
				want.Owner = c.ID
			}
			want.Labels = maps.Clone(want.Labels)
			if want.Labels == nil {
				want.Labels = map[string]string{}
			}
			want.Labels[volume.AnonymousLabel] = ""
		}
		o := volume.CreateOptions{Rootless: rootless.Rootless(), Volatile: m.Volume.Anonymous && c.AutoRemove}
		v, made, err := s.Create(ctx, want, o)
		if err != nil {
			return err
		}
		if made {
			e.SayVolume("create", v.Name)
		}
		m.Volume.Mounted = v.Mounted()
		mounted = mounted || v.Mounted()
	}
	if !mounted {
		return nil
	}
	r, err := c.record()
	if err != nil {
		return err
	}
	return e.state.Put(r)
}

// cloneMounts are the mounts of another container that is to be made as this one. It gets anonymous volumes of its own in
// place of those made for this one, but for those that its image, not img, is to say.
func cloneMounts(list []spec.Mount, img bool) []spec.Mount {
	var out []spec.Mount
	for _, m := range list {
		if m.Volume != nil {
			v := *m.Volume
			ofImage := v.Inherited && !v.NoCopy
			if ofImage && img {
				continue
			}
			if v.Anonymous && (ofImage || !v.Inherited) {
				v.Name, v.Anonymous = "", false
			}
			m.Volume = &v
		}
		out = append(out, m)
	}
	return out
}
