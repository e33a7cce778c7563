package image

import (
	"slices"
	"strings"

	"github.com/proa-containers/proa/storage"
)

// TreeLayer is a layer of an image, with the names of the images of which it is the topmost.
type TreeLayer struct {
	storage.Layer
	Names []string
}

// Layers are an image's layers, the lowest first; errors as Lookup's.
func Layers(s *storage.Store, ref string) (*Image, []TreeLayer, error) {
	i, err := Lookup(s, ref)
	if err != nil {
		return nil, nil, err
	}
	layers, err := layerIndex(s)
	if err != nil {
		return nil, nil, err
	}
	tops, err := topLayers(s)
	if err != nil {
		return nil, nil, err
	}
	chain := layers.chain(i.TopLayer)
	slices.Reverse(chain)
	var out []TreeLayer
	for _, l := range chain {
		i.Size += max(l.Size, 0)
		out = append(out, TreeLayer{l, tops[l.ID]})
	}
	return i, out, nil
}

// topLayers are the names of images by their topmost layer; an image without one is called by its id.
func topLayers(s *storage.Store) (map[string][]string, error) {
	all, err := s.Images()
	if err != nil {
		return nil, err
	}
	tops := map[string][]string{}
	for _, rec := range all {
		names := rec.Names
		if len(names) == 0 {
			names = []string{"<none> " + rec.ID[:12]}
		}
		tops[rec.TopLayer] = append(tops[rec.TopLayer], names...)
	}
	return tops, nil
}

// Above are the layers that stand on a layer, each with what stands on it in turn.
type Above struct {
	TreeLayer
	Above []Above
}

// Users are the layers that stand on an image's topmost; errors as Lookup's.
func Users(s *storage.Store, ref string) (*Image, []Above, error) {
	i, own, err := Layers(s, ref)
	if err != nil || len(own) == 0 {
		return i, nil, err
	}
	list, err := s.Layers()
	if err != nil {
		return nil, nil, err
	}
	tops, err := topLayers(s)
	if err != nil {
		return nil, nil, err
	}
	byParent := map[string][]storage.Layer{}
	for _, l := range list {
		byParent[l.Parent] = append(byParent[l.Parent], l)
	}
	delete(byParent, "")
	return i, above(byParent, tops, i.TopLayer, len(list)), nil
}

// above stops at a depth that no layer has, should the store be damaged.
func above(byParent map[string][]storage.Layer, tops map[string][]string, id string, deepest int) []Above {
	var out []Above
	for _, l := range byParent[id] {
		a := Above{TreeLayer: TreeLayer{l, tops[l.ID]}}
		if deepest > 0 {
			a.Above = above(byParent, tops, l.ID, deepest-1)
		}
		out = append(out, a)
	}
	slices.SortFunc(out, func(a, b Above) int { return strings.Compare(a.ID, b.ID) })
	return out
}
