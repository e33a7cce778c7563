package image

import (
	"strings"
	"time"

	"github.com/proa-containers/proa/storage"
)

// Inspected is an image in the shape of Docker's image inspect, with Podman's additions at its end.
type Inspected struct {
	ID            string `json:"Id"`
	RepoTags      []string
	RepoDigests   []string
	Parent        string
	Comment       string
	Created       time.Time
	DockerVersion string
	Author        string
	Architecture  string
	Variant       string `json:",omitempty"`
	Os            string
	Size          int64
	VirtualSize   int64
	GraphDriver   GraphDriver
	RootFS        InspectedRootFS
	Metadata      map[string]any
	Config        Config
	Digest        string
	Labels        map[string]string
	NamesHistory  []string
	History       []History
}

// GraphDriver is where the image's layers are.
type GraphDriver struct {
	Name string
	Data map[string]string
}

// InspectedRootFS are the layers as Docker shows them.
type InspectedRootFS struct {
	Type   string
	Layers []string
}

// Inspect describes the image that ref finds; errors as Lookup's.
func Inspect(s *storage.Store, ref string) (*Inspected, error) {
	all, err := s.Images()
	if err != nil {
		return nil, err
	}
	rec, _, err := findRecord(all, ref)
	if err != nil {
		return nil, err
	}
	i, err := newImage(s, rec)
	if err != nil {
		return nil, err
	}
	layers, err := layerIndex(s)
	if err != nil {
		return nil, err
	}
	i.Size = layers.size(rec)
	out := &Inspected{
		ID: "sha256:" + i.ID, RepoTags: i.RepoTags(), RepoDigests: i.RepoDigests(), Comment: i.Comment, Created: i.Created,
		Author: i.Author, Architecture: i.Architecture, Variant: i.Variant, Os: i.OS, Size: i.Size, VirtualSize: i.Size,
		GraphDriver: GraphDriver{Name: s.Driver(), Data: map[string]string{}},
		RootFS:      InspectedRootFS{Type: i.RootFS.Type, Layers: []string{}},
		Metadata:    map[string]any{"LastTagTime": time.Time{}},
		Config:      i.Config, Digest: i.Digest.String(), Labels: i.Config.Labels, NamesHistory: rec.NamesHistory, History: i.History,
	}
	for _, d := range i.RootFS.DiffIDs {
		out.RootFS.Layers = append(out.RootFS.Layers, d.String())
	}
	if i.TopLayer != "" {
		upper, lower, err := s.LayerPaths(i.TopLayer)
		if err != nil {
			return nil, err
		}
		out.GraphDriver.Data["UpperDir"] = upper
		if len(lower) > 0 {
			out.GraphDriver.Data["LowerDir"] = strings.Join(lower, ":")
		}
	}
	return out, nil
}
