package storage

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	cs "go.podman.io/storage"

	"github.com/proa-containers/proa/storage/overlay"
)

// Container is a container's record in the store: its layer, and the image that the layer keeps from being removed.
type Container struct {
	ID       string
	Names    []string
	ImageID  string
	LayerID  string
	Volatile bool
	Created  time.Time
}

func newContainer(c *cs.Container) Container {
	volatile, _ := c.Flags["Volatile"].(bool)
	return Container{ID: c.ID, Names: c.Names, ImageID: c.ImageID, LayerID: c.LayerID, Volatile: volatile, Created: c.Created}
}

// CreateContainer makes a writable layer on top of the image's (imageID empty: on top of nothing) and returns what to
// mount. A volatile container's records are in the run root and never synced. It is one atomic step: on an error, and
// after a crash, nothing or the whole container is there.
func (s *Store) CreateContainer(id string, names []string, imageID string, volatile bool) (overlay.Options, error) {
	// The layer has the container's id: DeleteContainer then finds one whose container was never recorded, because
	// the process was killed between the two.
	c, err := s.lib.CreateContainer(id, names, imageID, id, "{}", &cs.ContainerOptions{Volatile: volatile})
	if err != nil {
		return overlay.Options{}, fmt.Errorf("create layer of container %q: %w", id, translate(err))
	}
	o, err := s.overlayOf(c)
	if err != nil {
		return overlay.Options{}, errors.Join(err, s.DeleteContainer(id))
	}
	return o, nil
}

// Container finds a container by its id or name.
func (s *Store) Container(id string) (Container, error) {
	c, err := s.lib.Container(id)
	if err != nil {
		return Container{}, fmt.Errorf("look up container %q: %w", id, translate(err))
	}
	return newContainer(c), nil
}

// Containers lists all containers in the store, those of other tools too.
func (s *Store) Containers() ([]Container, error) {
	list, err := s.lib.Containers()
	if err != nil {
		return nil, fmt.Errorf("list containers in storage: %w", err)
	}
	out := make([]Container, len(list))
	for i := range list {
		out[i] = newContainer(&list[i])
	}
	return out, nil
}

// Overlay computes what to mount for a container; it mounts nothing.
func (s *Store) Overlay(id string) (overlay.Options, error) {
	c, err := s.lib.Container(id)
	if err != nil {
		return overlay.Options{}, fmt.Errorf("look up container %q: %w", id, translate(err))
	}
	return s.overlayOf(c)
}

// ImageOverlay computes what to mount for an image's files, without an upper directory; it mounts nothing. The layers are
// not kept from being removed.
func (s *Store) ImageOverlay(id string) (overlay.Options, error) {
	if err := s.noHelper(); err != nil {
		return overlay.Options{}, fmt.Errorf("mount image %q: %w", id, err)
	}
	img, err := s.Image(id)
	if err != nil {
		return overlay.Options{}, err
	}
	o := overlay.Options{UserXattr: s.userXattr, Extra: s.mountExtra}
	if img.TopLayer != "" {
		top, lower, err := s.LayerPaths(img.TopLayer)
		if err != nil {
			return overlay.Options{}, err
		}
		o.Lower = append([]string{top}, lower...)
	}
	return o, nil
}

// noHelper is ErrDriver where the configuration has another program mount the layers.
func (s *Store) noHelper() error {
	if s.mountHelper != "" {
		return fmt.Errorf("%w: mount_program = %q in storage.conf; remove it, the kernel's overlay is used", ErrDriver, s.mountHelper)
	}
	return nil
}

func (s *Store) overlayOf(c *cs.Container) (overlay.Options, error) {
	if err := s.noHelper(); err != nil {
		return overlay.Options{}, fmt.Errorf("mount container %q: %w", c.ID, err)
	}
	driver, err := s.lib.GraphDriver()
	if err != nil {
		return overlay.Options{}, fmt.Errorf("open storage driver: %w", err)
	}
	meta, err := driver.Metadata(c.LayerID)
	if err != nil {
		return overlay.Options{}, fmt.Errorf("look up layer %q: %w", c.LayerID, translate(err))
	}
	o := overlay.Options{Upper: meta["UpperDir"], Work: meta["WorkDir"], UserXattr: s.userXattr, Extra: s.mountExtra}
	o.Label, _ = c.Flags["MountLabel"].(string)
	volatile, _ := c.Flags["Volatile"].(bool)
	if o.Volatile = volatile && !s.noVolatile; o.Volatile {
		// The kernel leaves this mark in the work directory of a volatile mount and refuses another while it is there.
		if err := os.RemoveAll(filepath.Join(o.Work, "work", "incompat", "volatile")); err != nil {
			return overlay.Options{}, fmt.Errorf("prepare layer of container %q: %w", c.ID, err)
		}
	}
	o.Lower = splitLower(meta["LowerDir"])
	if len(o.Lower) == 0 {
		// A layer without parent has an empty directory beside it, since overlay needs a lower one.
		o.Lower = []string{filepath.Join(filepath.Dir(o.Upper), "empty")}
	}
	return o, nil
}

// splitLower takes the driver's list apart. The directories are joined by colons, which their paths may contain too;
// each ends in "/diff".
func splitLower(list string) []string {
	if list == "" {
		return nil
	}
	parts := strings.Split(list, "/diff:")
	for i := range parts[:len(parts)-1] {
		parts[i] += "/diff"
	}
	return parts
}

// DeleteContainer removes a container and its layer. It succeeds when there is none. The caller sees to it that no
// process has the layer mounted.
func (s *Store) DeleteContainer(id string) error {
	err := translate(s.lib.DeleteContainer(id))
	if errors.Is(err, ErrNotFound) {
		err = s.deleteUnrecorded(id)
	}
	if err != nil {
		return fmt.Errorf("delete layer of container %q: %w", id, err)
	}
	return nil
}

// deleteOrphan removes the directory of a layer that is not recorded: the process that made it was killed before.
func (s *Store) deleteOrphan(id string) error {
	driver := filepath.Join(s.lib.GraphRoot(), "overlay")
	dir := filepath.Join(driver, id)
	if _, err := os.Lstat(dir); err != nil {
		return nil
	}
	if link, err := os.ReadFile(filepath.Join(dir, "link")); err == nil && len(link) > 0 {
		if err := os.Remove(filepath.Join(driver, "l", filepath.Base(string(link)))); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
	}
	return os.RemoveAll(dir)
}
