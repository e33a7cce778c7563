// Package output owns what becomes of a build's result: an image in the store, an archive, or files. It runs in proa-build,
// as root or as uid 0 of the user's namespace.
package output

import (
	"encoding/json"
	"fmt"
	"time"

	ocispecs "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/proa-containers/proa/image"
	"github.com/proa-containers/proa/storage"
)

// ImageOptions of Image.
type ImageOptions struct {
	Names  []string // as image.LocalName gives them
	Format image.Format
	Epoch  *time.Time // when everything was made; nil: when it was
}

// Image makes an image of the layer top and those beneath it. config is the image's configuration without what the layers
// say. The same layers and configuration are the same image.
func Image(s *storage.Store, top string, config []byte, o ImageOptions) (*image.Image, error) {
	layers, err := s.Chain(top)
	if err != nil {
		return nil, err
	}
	doc, created, err := document(config, layers, o.Epoch)
	if err != nil {
		return nil, fmt.Errorf("make the image's configuration: %w", err)
	}
	return image.Put(s, image.PutOptions{TopLayer: top, Layers: layers, Config: doc, Created: created, Names: o.Names, Format: o.Format})
}

// document completes an image's configuration: its layers, and when its history happened.
func document(config []byte, layers []storage.Layer, epoch *time.Time) ([]byte, time.Time, error) {
	var doc map[string]json.RawMessage
	var known struct {
		History []ocispecs.History `json:"history"`
	}
	if err := json.Unmarshal(config, &doc); err != nil {
		return nil, time.Time{}, err
	}
	if err := json.Unmarshal(config, &known); err != nil {
		return nil, time.Time{}, err
	}
	history := dated(known.History, layers, epoch)
	fs := image.RootFS{Type: "layers"}
	for _, l := range layers {
		fs.DiffIDs = append(fs.DiffIDs, l.DiffID)
	}
	created := time.Unix(0, 0).UTC()
	if n := len(history); n > 0 && history[n-1].Created != nil {
		created = history[n-1].Created.UTC()
	}
	if epoch != nil {
		created = epoch.UTC()
	}
	for name, v := range map[string]any{"history": history, "rootfs": fs, "created": created} {
		raw, err := json.Marshal(v)
		if err != nil {
			return nil, time.Time{}, err
		}
		doc[name] = raw
	}
	out, err := json.Marshal(doc)
	return out, created, err
}

// dated gives every entry a time: that of its layer, or of the layer that was made last before it. Layers that the history
// does not know of get an entry.
func dated(history []ocispecs.History, layers []storage.Layer, epoch *time.Time) []ocispecs.History {
	n := 0
	for i := range history {
		if history[i].EmptyLayer {
			continue
		}
		if n >= len(layers) {
			history[i].EmptyLayer = true
			continue
		}
		if history[i].Created == nil {
			t := layers[n].Created.UTC()
			history[i].Created = &t
		}
		n++
	}
	for ; n < len(layers); n++ {
		t := layers[n].Created.UTC()
		history = append(history, ocispecs.History{Created: &t, CreatedBy: layers[n].Note, Comment: "proa"})
	}
	var first *time.Time // of the build's own layers; entries before the first get its time
	for i := range history {
		if history[i].Created == nil {
			history[i].Created = laterTime(history[i:], first)
		}
		first = history[i].Created
	}
	if epoch != nil {
		for i := range history {
			if history[i].Created != nil && history[i].Created.After(*epoch) {
				history[i].Created = epoch
			}
		}
	}
	return history
}

func laterTime(rest []ocispecs.History, before *time.Time) *time.Time {
	if before != nil {
		return before
	}
	for _, h := range rest {
		if h.Created != nil {
			return h.Created
		}
	}
	return nil
}
