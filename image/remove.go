package image

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/proa-containers/proa/storage"
)

// RemoveOptions are those of Remove.
type RemoveOptions struct {
	Force       bool // an id with several names; a name whose image a container uses
	KeepParents bool // leave nameless parent images
}

// Removed says what Remove did.
type Removed struct {
	Untagged []string
	Deleted  []string // image ids
}

// UsedError is ErrInUse with the containers that use the image, as the store knows them.
type UsedError struct {
	Ref        string
	Containers []storage.Container
}

func (e *UsedError) Error() string {
	var names []string
	for _, c := range e.Containers {
		label := c.ID[:min(12, len(c.ID))]
		if len(c.Names) > 0 {
			label = c.Names[0]
		}
		names = append(names, label)
	}
	return fmt.Sprintf("remove image %q: %v by container %s; remove the container first (proa rm)", e.Ref, ErrInUse, strings.Join(names, ", "))
}

func (e *UsedError) Unwrap() error { return ErrInUse }

// Remove takes a name from an image, and removes the image with its last name. Given an id it removes the image with its
// name. ErrInUse when a container of any tool is made from the image; with Force a name is taken from it even then.
func Remove(ctx context.Context, s *storage.Store, ref string, o RemoveOptions) (Removed, error) {
	if err := ctx.Err(); err != nil {
		return Removed{}, err
	}
	if err := s.Sweep(); err != nil {
		return Removed{}, err
	}
	all, err := s.Images()
	if err != nil {
		return Removed{}, err
	}
	rec, match, err := findRecord(all, ref)
	if err != nil {
		return Removed{}, err
	}
	if rec.ReadOnly {
		return Removed{}, fmt.Errorf("remove image %q: it is in a read-only additional image store", ref)
	}
	users, err := usersOf(s, rec.ID)
	if err != nil {
		return Removed{}, err
	}
	if match != "" && !slices.Contains(rec.Names, match) {
		match = "" // found by a digest that it is not named after
	}
	switch {
	case match != "" && (len(rec.Names) > 1 || o.Force && len(users) > 0):
		if err := s.RemoveNames(rec.ID, []string{match}); err != nil {
			return Removed{}, err
		}
		return Removed{Untagged: []string{match}}, nil
	case len(users) > 0:
		return Removed{}, &UsedError{Ref: ref, Containers: users}
	case match == "" && len(rec.Names) > 1 && !o.Force:
		return Removed{}, fmt.Errorf("remove image %q: it has the names %s; remove them one by one, or give --force", ref, strings.Join(rec.Names, ", "))
	}
	return deleteImage(s, rec, o.KeepParents)
}

// usersOf are the containers made from an image.
func usersOf(s *storage.Store, id string) ([]storage.Container, error) {
	containers, err := s.Containers()
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(containers, func(c storage.Container) bool { return c.ImageID != id }), nil
}

func deleteImage(s *storage.Store, rec storage.Image, keepParents bool) (Removed, error) {
	done := Removed{Untagged: rec.Names}
	var parents []storage.Image
	if !keepParents {
		var err error
		if parents, err = danglingParents(s, rec); err != nil {
			return Removed{}, err
		}
	}
	if _, err := s.DeleteImage(rec.ID); err != nil {
		return Removed{}, inUse(err)
	}
	done.Deleted = append(done.Deleted, rec.ID)
	for _, p := range parents {
		_, err := s.DeleteImage(p.ID)
		switch {
		case err == nil:
			done.Deleted = append(done.Deleted, p.ID)
		case errors.Is(err, storage.ErrInUse), errors.Is(err, storage.ErrNotFound):
		default:
			return done, err
		}
	}
	return done, nil
}

// danglingParents are the nameless images that rec was built on and no other image and no container needs, nearest first.
func danglingParents(s *storage.Store, rec storage.Image) ([]storage.Image, error) {
	child, err := newImage(s, rec)
	if err != nil {
		return nil, nil // an image that can't be read has no known parents, and is to be removable
	}
	records, err := s.Images()
	if err != nil {
		return nil, err
	}
	layers, err := layerIndex(s)
	if err != nil {
		return nil, err
	}
	images := map[string]*Image{}
	for _, r := range records {
		if i, err := newImage(s, r); err == nil {
			images[r.ID] = i
		}
	}
	var parents []storage.Image
	for _, r := range records {
		p := images[r.ID]
		if p == nil || len(r.Names) > 0 || r.ReadOnly || !isParent(layers, p, child) {
			continue
		}
		needed := false
		for _, other := range images {
			if other.ID != child.ID && isParent(layers, p, other) && !isParent(layers, other, child) {
				needed = true
			}
		}
		if users, err := usersOf(s, r.ID); err != nil {
			return nil, err
		} else if !needed && len(users) == 0 {
			parents = append(parents, r)
		}
	}
	slices.SortFunc(parents, func(a, b storage.Image) int {
		return len(images[b.ID].History) - len(images[a.ID].History)
	})
	return parents, nil
}

func inUse(err error) error {
	if errors.Is(err, storage.ErrInUse) {
		return fmt.Errorf("%w by a container; remove the container first (proa rm): %w", ErrInUse, err)
	}
	return err
}
