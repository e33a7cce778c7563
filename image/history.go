package image

import (
	"time"

	"github.com/proa-containers/proa/storage"
)

// Step is one step of how an image was made, with what it added.
type Step struct {
	ID        string // of the image that the step made; empty when it isn't there
	Created   time.Time
	CreatedBy string
	Comment   string
	Size      int64 // of the step's layer
}

// Steps are an image's history, the newest step first; errors as Lookup's. An image whose history tells less than its
// layers do has a nameless step for each of the others.
func Steps(s *storage.Store, ref string) ([]Step, error) {
	i, err := Lookup(s, ref)
	if err != nil {
		return nil, err
	}
	layers, err := layerIndex(s)
	if err != nil {
		return nil, err
	}
	chain := layers.chain(i.TopLayer) // the topmost first
	var steps []Step
	for n := len(i.History) - 1; n >= 0; n-- {
		h := i.History[n]
		step := Step{CreatedBy: h.CreatedBy, Comment: h.Comment}
		if h.Created != nil {
			step.Created = *h.Created
		}
		if !h.EmptyLayer && len(chain) > 0 {
			step.Size, chain = max(chain[0].Size, 0), chain[1:]
		}
		steps = append(steps, step)
	}
	for _, l := range chain {
		steps = append(steps, Step{Size: max(l.Size, 0)})
	}
	if len(steps) > 0 {
		steps[0].ID = i.ID
	}
	return steps, nil
}
