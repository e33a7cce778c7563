package storage

import (
	"bytes"
	"fmt"
	"io"
	"time"

	"github.com/opencontainers/go-digest"
	cs "go.podman.io/storage"
)

// Image is an image's record: what it is called, where its layers and its documents ("big data") are.
type Image struct {
	ID           string
	Digest       digest.Digest
	Digests      []digest.Digest
	Names        []string
	NamesHistory []string
	TopLayer     string
	Created      time.Time
	ReadOnly     bool // in an additional image store
	DataSizes    map[string]int64
}

func newImage(i *cs.Image) Image {
	return Image{
		ID: i.ID, Digest: i.Digest, Digests: i.Digests, Names: i.Names, NamesHistory: i.NamesHistory,
		TopLayer: i.TopLayer, Created: i.Created, ReadOnly: i.ReadOnly, DataSizes: i.BigDataSizes,
	}
}

// Layer is a layer's record.
type Layer struct {
	ID         string
	Parent     string
	DiffID     digest.Digest // of the uncompressed layer
	Compressed digest.Digest // as it came
	Size       int64         // uncompressed
	Created    time.Time
}

func newLayer(l *cs.Layer) Layer {
	return Layer{ID: l.ID, Parent: l.Parent, DiffID: l.UncompressedDigest, Compressed: l.CompressedDigest, Size: l.UncompressedSize, Created: l.Created}
}

// Images lists all images.
func (s *Store) Images() ([]Image, error) {
	list, err := s.lib.Images()
	if err != nil {
		return nil, fmt.Errorf("list images: %w", err)
	}
	out := make([]Image, len(list))
	for i := range list {
		out[i] = newImage(&list[i])
	}
	return out, nil
}

// Image finds an image by its full id or exact stored name.
func (s *Store) Image(id string) (Image, error) {
	i, err := s.lib.Image(id)
	if err != nil {
		return Image{}, fmt.Errorf("look up image %q: %w", id, translate(err))
	}
	return newImage(i), nil
}

// ImageData reads one document of an image: "manifest", "manifest-sha256:…", or a config by its digest.
func (s *Store) ImageData(id, key string) ([]byte, error) {
	data, err := s.lib.ImageBigData(id, key)
	if err != nil {
		return nil, fmt.Errorf("read %q of image %q: %w", key, id, translate(err))
	}
	return data, nil
}

// SetNames replaces an image's names; a name that another image has is taken from it.
func (s *Store) SetNames(id string, names []string) error {
	if err := s.lib.SetNames(id, names); err != nil {
		return fmt.Errorf("name image %q: %w", id, translate(err))
	}
	return nil
}

// AddNames gives an image names; a name that another image has is taken from it.
func (s *Store) AddNames(id string, names []string) error {
	if err := s.lib.AddNames(id, names); err != nil {
		return fmt.Errorf("name image %q: %w", id, translate(err))
	}
	return nil
}

// RemoveNames takes names from an image.
func (s *Store) RemoveNames(id string, names []string) error {
	if err := s.lib.RemoveNames(id, names); err != nil {
		return fmt.Errorf("untag image %q: %w", id, translate(err))
	}
	return nil
}

// Layers lists all layers, containers' too.
func (s *Store) Layers() ([]Layer, error) {
	list, err := s.lib.Layers()
	if err != nil {
		return nil, fmt.Errorf("list layers: %w", err)
	}
	out := make([]Layer, len(list))
	for i := range list {
		out[i] = newLayer(&list[i])
	}
	return out, nil
}

// LayerPaths are a layer's directory and those of its parents, topmost first.
func (s *Store) LayerPaths(id string) (upper string, lower []string, err error) {
	driver, err := s.lib.GraphDriver()
	if err != nil {
		return "", nil, fmt.Errorf("open storage driver: %w", err)
	}
	meta, err := driver.Metadata(id)
	if err != nil {
		return "", nil, fmt.Errorf("look up layer %q: %w", id, translate(err))
	}
	return meta["UpperDir"], splitLower(meta["LowerDir"]), nil
}

// PutLayer adds a layer from an uncompressed tar stream. ErrExists when the id is taken.
func (s *Store) PutLayer(id, parent string, tar io.Reader) (Layer, error) {
	l, _, err := s.lib.PutLayer(id, parent, nil, "", false, nil, tar)
	if err != nil {
		return Layer{}, fmt.Errorf("add layer %q: %w", id, translate(err))
	}
	return newLayer(l), nil
}

// NewImage is an image to be created from a layer that is in the store.
type NewImage struct {
	ID       string
	Names    []string
	TopLayer string
	Manifest []byte
	Config   []byte
	Created  time.Time
}

// CreateImage adds an image with its documents in one step. ErrExists when the id is taken.
func (s *Store) CreateImage(n NewImage) (Image, error) {
	manifest, config := digest.FromBytes(n.Manifest), digest.FromBytes(n.Config)
	i, err := s.lib.CreateImage(n.ID, n.Names, n.TopLayer, "{}", &cs.ImageOptions{
		CreationDate: n.Created,
		Digest:       manifest,
		BigData: []cs.ImageBigDataOption{
			{Key: config.String(), Data: bytes.Clone(n.Config), Digest: config},
			{Key: "manifest-" + manifest.String(), Data: bytes.Clone(n.Manifest), Digest: manifest},
			{Key: cs.ImageDigestBigDataKey, Data: bytes.Clone(n.Manifest), Digest: manifest},
		},
	})
	if err != nil {
		return Image{}, fmt.Errorf("create image %q: %w", n.ID, translate(err))
	}
	return newImage(i), nil
}

// AddManifest records another manifest that an image is known by.
func (s *Store) AddManifest(id string, sum digest.Digest, manifest []byte) error {
	digestOf := func([]byte) (digest.Digest, error) { return sum, nil }
	if err := s.lib.SetImageBigData(id, cs.ImageDigestManifestBigDataNamePrefix+"-"+sum.String(), manifest, digestOf); err != nil {
		return fmt.Errorf("record a manifest of image %q: %w", id, translate(err))
	}
	return nil
}

// DeleteLayer removes a layer. ErrInUse when another layer, an image or a container stands on it.
func (s *Store) DeleteLayer(id string) error {
	if err := s.lib.DeleteLayer(id); err != nil {
		return fmt.Errorf("remove layer %q: %w", id, translate(err))
	}
	return nil
}
