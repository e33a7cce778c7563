package image

import (
	"context"
	"slices"
	"strings"

	"github.com/proa-containers/proa/storage"
)

// Listed is an image with its place among the others.
type Listed struct {
	*Image
	Intermediate bool // nameless, and only there as the parent of another image
	Containers   int  // how many containers of any tool use it
}

// List returns all images, newest first. An image whose documents can't be read is left out and its error joined to bad.
func List(ctx context.Context, s *storage.Store) (list []Listed, bad []error, err error) {
	records, err := s.Images()
	if err != nil {
		return nil, nil, err
	}
	layers, err := layerIndex(s)
	if err != nil {
		return nil, nil, err
	}
	containers, err := s.Containers()
	if err != nil {
		return nil, nil, err
	}
	uses := map[string]int{}
	for _, c := range containers {
		uses[c.ImageID]++
	}
	for _, rec := range records {
		if err := ctx.Err(); err != nil {
			return nil, nil, err
		}
		i, err := newImage(s, rec)
		if err != nil {
			bad = append(bad, err)
			continue
		}
		i.Size = layers.size(rec)
		list = append(list, Listed{Image: i, Containers: uses[i.ID]})
	}
	for n := range list {
		if len(list[n].Names) > 0 {
			continue
		}
		list[n].Intermediate = slices.ContainsFunc(list, func(other Listed) bool { return isParent(layers, list[n].Image, other.Image) })
	}
	slices.SortFunc(list, func(a, b Listed) int {
		if c := b.Created.Compare(a.Created); c != 0 {
			return c
		}
		return strings.Compare(a.ID, b.ID)
	})
	return list, bad, nil
}

// Descendants are the ids of img and of the images that were built on top of it.
func Descendants(ctx context.Context, s *storage.Store, img *Image) ([]string, error) {
	records, err := s.Images()
	if err != nil {
		return nil, err
	}
	layers, err := layerIndex(s)
	if err != nil {
		return nil, err
	}
	ids := []string{img.ID}
	for _, rec := range records {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		other, err := newImage(s, rec)
		if err != nil {
			continue // its documents can't be read: nothing tells
		}
		// An image without a history is known by its layers.
		bare := len(img.History) == 0 && img.TopLayer != "" && img.TopLayer != other.TopLayer &&
			slices.ContainsFunc(layers.chain(other.TopLayer), func(l storage.Layer) bool { return l.ID == img.TopLayer })
		if bare || isParent(layers, img, other) {
			ids = append(ids, rec.ID)
		}
	}
	return ids, nil
}

// index holds the layers by their ids.
type index map[string]storage.Layer

func layerIndex(s *storage.Store) (index, error) {
	list, err := s.Layers()
	if err != nil {
		return nil, err
	}
	all := make(index, len(list))
	for _, l := range list {
		all[l.ID] = l
	}
	return all, nil
}

// chain is a layer and its parents. It ends at a layer it has seen, should the store be damaged.
func (x index) chain(top string) []storage.Layer {
	var out []storage.Layer
	for l, ok := x[top]; ok && len(out) <= len(x); l, ok = x[l.Parent] {
		out = append(out, l)
	}
	return out
}

func (x index) size(rec storage.Image) int64 {
	var n int64
	for _, l := range x.chain(rec.TopLayer) {
		n += max(l.Size, 0)
	}
	for key, size := range rec.DataSizes {
		if key != "manifest" || len(rec.DataSizes) == 1 { // it is stored under its digest too
			n += size
		}
	}
	return n
}

// isParent: child was built on top of parent. A shared layer alone does not make a parent, the history has to agree.
func isParent(x index, parent, child *Image) bool {
	if parent.ID == child.ID || len(parent.History) >= len(child.History) {
		return false
	}
	for n, h := range parent.History {
		c := child.History[n]
		if h.CreatedBy != c.CreatedBy || h.EmptyLayer != c.EmptyLayer || h.Comment != c.Comment {
			return false
		}
	}
	return parent.TopLayer == child.TopLayer ||
		slices.ContainsFunc(x.chain(child.TopLayer), func(l storage.Layer) bool { return l.ID == parent.TopLayer })
}
