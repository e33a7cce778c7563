package image

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"runtime"
	"slices"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/proa-containers/proa/storage"
)

// Format is how an image's documents are written.
type Format string

// The formats.
const (
	OCI    Format = "oci"
	Docker Format = "docker"
)

// ParseFormat reads a format.
func ParseFormat(s string) (Format, error) {
	if f := Format(s); f == OCI || f == Docker {
		return f, nil
	}
	return "", fmt.Errorf("invalid image format %q: oci or docker", s)
}

// mediaTypes of the manifest, the configuration and a layer.
func (f Format) mediaTypes() (manifest, config, layer string) {
	if f == Docker {
		return "application/vnd.docker.distribution.manifest.v2+json", "application/vnd.docker.container.image.v1+json", "application/vnd.docker.image.rootfs.diff.tar"
	}
	return "application/vnd.oci.image.manifest.v1+json", "application/vnd.oci.image.config.v1+json", "application/vnd.oci.image.layer.v1.tar"
}

// CommitOptions of Commit.
type CommitOptions struct {
	Base      *Image    // what the layer lies on; nil: nothing
	Parent    string    // Base's top layer in the store
	Layer     io.Reader // an uncompressed tar, marked as the image specification says
	Squash    bool      // Layer has Base's files too: the image has no other layer, and no history before it
	Config    Config
	Name      string // as LocalName gives it; empty: none
	Author    string
	Message   string
	CreatedBy string
	Format    Format
}

// LocalName is the full name of an image that is made here: without a registry it is localhost's, without a tag the
// latest. ErrName for one that can't be given.
func LocalName(s string) (string, error) {
	n, err := parse(s)
	if err != nil {
		return "", err
	}
	if n.digest != "" {
		return "", fmt.Errorf("%w %q: a digest can't be given to an image; want [REGISTRY/]REPOSITORY[:TAG]", ErrName, s)
	}
	if !n.qualified() {
		n.repo = "localhost/" + n.repo
	}
	return n.String(), nil
}

// Commit makes an image of a layer. On an error, and when the process is killed, the store is soon as it was: at once,
// or with its next Sweep.
func Commit(s *storage.Store, o CommitOptions) (*Image, error) {
	if err := s.Sweep(); err != nil {
		return nil, err
	}
	draft, err := s.NewDraft(o.Parent, o.Layer)
	if err != nil {
		return nil, fmt.Errorf("make the image's layer: %w", err)
	}
	img, err := commit(s, draft, o)
	return img, errors.Join(err, draft.Close())
}

func commit(s *storage.Store, draft *storage.Draft, o CommitOptions) (*Image, error) {
	layers, err := s.Chain(draft.ID)
	if err != nil {
		return nil, err
	}
	now := time.Now().UTC()
	config, err := json.Marshal(newDocument(o, layers, now))
	if err != nil {
		return nil, err
	}
	manifest, err := newManifest(o.Format, config, layers)
	if err != nil {
		return nil, err
	}
	n := storage.NewImage{ID: digest.FromBytes(config).Encoded(), Manifest: manifest, Config: config, Created: now}
	if o.Name != "" {
		n.Names = []string{o.Name}
	}
	rec, err := draft.CreateImage(n)
	if err != nil {
		return nil, fmt.Errorf("make the image: %w", err)
	}
	return newImage(s, rec)
}

func newDocument(o CommitOptions, layers []storage.Layer, now time.Time) document {
	doc := document{
		Created: &now, Author: o.Author, Comment: o.Message, Architecture: runtime.GOARCH, OS: "linux", Config: o.Config, RootFS: RootFS{Type: "layers"},
	}
	if b := o.Base; b != nil {
		doc.Architecture, doc.Variant, doc.OS = b.Architecture, b.Variant, b.OS
		if !o.Squash {
			doc.History = slices.Clone(b.History)
		}
	}
	doc.History = append(doc.History, History{Created: &now, CreatedBy: o.CreatedBy, Author: o.Author, Comment: o.Message})
	for _, l := range layers {
		doc.RootFS.DiffIDs = append(doc.RootFS.DiffIDs, l.DiffID)
	}
	return doc
}

// newManifest names the layers uncompressed, as they are in the store; what copies the image out compresses them anew.
func newManifest(f Format, config []byte, layers []storage.Layer) ([]byte, error) {
	type descriptor struct {
		MediaType string        `json:"mediaType"`
		Digest    digest.Digest `json:"digest"`
		Size      int64         `json:"size"`
	}
	manifest, configType, layerType := f.mediaTypes()
	m := struct {
		SchemaVersion int          `json:"schemaVersion"`
		MediaType     string       `json:"mediaType"`
		Config        descriptor   `json:"config"`
		Layers        []descriptor `json:"layers"`
	}{2, manifest, descriptor{configType, digest.FromBytes(config), int64(len(config))}, nil}
	for _, l := range layers {
		m.Layers = append(m.Layers, descriptor{layerType, l.DiffID, l.Size})
	}
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	err := enc.Encode(m)
	return bytes.TrimSpace(buf.Bytes()), err
}
