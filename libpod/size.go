package libpod

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"

	"github.com/proa-containers/proa/storage"
	"golang.org/x/sys/unix"
)

// Size of a container in bytes, as Docker counts: what its files hold, not what they take on disk.
type Size struct {
	Written int64 // by the container itself
	Root    int64 // that and its image
}

// Sizes measures containers, by their ids. One that is removed meanwhile has no size, nor has a directory that is
// used as a root: what is in it is not the container's.
func (e *Engine) Sizes(ctx context.Context, list []Listed) (map[string]Size, error) {
	s, err := e.store()
	if err != nil {
		return nil, err
	}
	all, err := s.Layers()
	if err != nil {
		return nil, err
	}
	layers := make(map[string]storage.Layer, len(all))
	for _, l := range all {
		layers[l.ID] = l
	}
	out := make(map[string]Size, len(list))
	for _, l := range list {
		upper, _, err := s.LayerPaths(l.ID) // a container's layer has its id
		if err != nil {
			continue
		}
		var size Size
		if size.Written, err = held(ctx, upper); err != nil {
			return nil, fmt.Errorf("measuring container %q: %w", l.Name, err)
		}
		size.Root = size.Written
		if img, err := s.Image(l.ImageID); err == nil {
			for layer, ok := layers[img.TopLayer]; ok; layer, ok = layers[layer.Parent] {
				size.Root += max(layer.Size, 0)
			}
		}
		out[l.ID] = size
	}
	return out, nil
}

// held is what the files below dir hold, each once however many names it has.
func held(ctx context.Context, dir string) (int64, error) {
	var n int64
	seen := map[uint64]bool{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if errors.Is(err, fs.ErrNotExist) { // the container removed it
			return nil
		}
		if err != nil || d.IsDir() {
			return err
		}
		var st unix.Stat_t
		if unix.Lstat(path, &st) != nil || st.Nlink > 1 && seen[st.Ino] {
			return nil
		}
		seen[st.Ino] = true
		n += st.Size
		return nil
	})
	return n, err
}
