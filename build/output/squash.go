package output

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	ocispecs "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/proa-containers/proa/storage"
)

// Squash makes one layer of all but the lowest layers from top downward, of which keep stay, and fits the history of the
// configuration to it.
func Squash(ctx context.Context, s *storage.Store, top string, keep int, config []byte, epoch *time.Time) (string, []byte, error) {
	layers, err := s.Chain(top)
	if err != nil || len(layers) <= keep+1 {
		return top, config, err
	}
	base := ""
	if keep > 0 {
		base = layers[keep-1].ID
	}
	o := storage.StageOptions{Name: fmt.Sprintf("%ssquash-%s-%d", storage.CachePrefix, top, keep), Note: "squash"}
	if epoch != nil {
		o.Latest = *epoch
	}
	l, err := s.Flatten(ctx, base, top, o)
	if err != nil {
		return "", nil, err
	}
	var doc map[string]json.RawMessage
	var known struct {
		History []ocispecs.History `json:"history"`
	}
	if err := json.Unmarshal(config, &doc); err != nil {
		return "", nil, err
	}
	if err := json.Unmarshal(config, &known); err != nil {
		return "", nil, err
	}
	n := 0
	for i := range known.History {
		if h := &known.History[i]; !h.EmptyLayer {
			h.EmptyLayer = n >= keep
			n++
		}
	}
	created := l.Created.UTC()
	known.History = append(known.History, ocispecs.History{Created: &created, Comment: "squashed"})
	if doc["history"], err = json.Marshal(known.History); err != nil {
		return "", nil, err
	}
	config, err = json.Marshal(doc)
	return l.ID, config, err
}
