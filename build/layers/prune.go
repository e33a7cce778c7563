package layers

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/proa-containers/proa/storage"
)

// PruneOptions of Prune.
type PruneOptions struct {
	All  bool          // cache mounts and repositories too
	Age  time.Duration // only what was not used for so long
	Keep int64         // bytes of what was used last to keep
}

// ErrBusy says that a build runs.
var ErrBusy = errors.New("a build is running")

// Prune removes layers that only the cache needs, those that were not used for longest first, and returns how many bytes
// they had. A layer that an image stands on stays, and stays in the cache.
func Prune(ctx context.Context, s *storage.Store, o PruneOptions) (int64, error) {
	c, err := openCache(ctx, s)
	if err != nil {
		return 0, err
	}
	defer c.close()
	if err := unix.Flock(int(c.lock.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		return 0, fmt.Errorf("pruning the build cache: %w; wait for it to end", ErrBusy)
	}
	freed, err := c.pruneLayers(ctx, o)
	if err != nil || !o.All {
		return freed, err
	}
	for _, dir := range []string{"mount", "git"} {
		n, err := c.pruneDir(c.path(dir), o.Age)
		freed += n
		if err != nil {
			return freed, err
		}
	}
	return freed, nil
}

// What a build leaves of the cache when it ends: nothing that was not used for keepAge, and no more than keepSize.
const (
	keepAge  = 30 * 24 * time.Hour
	keepSize = 20 << 30
)

// collect prunes what is old, or too much. While another build runs it is left to that one.
func (c *cache) collect(ctx context.Context) error {
	if unix.Flock(int(c.lock.Fd()), unix.LOCK_EX|unix.LOCK_NB) != nil {
		return nil
	}
	_, err := c.pruneLayers(ctx, PruneOptions{Age: keepAge})
	if err == nil {
		_, err = c.pruneLayers(ctx, PruneOptions{Keep: keepSize})
	}
	return err
}

// entry is a layer of the cache.
type entry struct {
	storage.Layer
	used time.Time
}

// entries are the cache's layers, the one that was used last first.
func (c *cache) entries() ([]entry, error) {
	list, err := c.store.Layers()
	if err != nil {
		return nil, err
	}
	var out []entry
	for _, l := range list {
		i := slices.IndexFunc(l.Names, func(n string) bool { return strings.HasPrefix(n, prefix) })
		if i < 0 {
			continue
		}
		e := entry{l, l.Created}
		for _, n := range l.Names[i:] {
			if st, err := os.Stat(c.path("used/" + filepath.Base(n))); err == nil && st.ModTime().After(e.used) {
				e.used = st.ModTime()
			}
		}
		out = append(out, e)
	}
	slices.SortStableFunc(out, func(a, b entry) int { return cmp.Compare(b.used.UnixNano(), a.used.UnixNano()) })
	return out, nil
}

// pruneLayers goes through the layers until none can go: one goes when nothing stands on it any more.
func (c *cache) pruneLayers(ctx context.Context, o PruneOptions) (int64, error) {
	list, err := c.entries()
	if err != nil {
		return 0, err
	}
	var going []entry
	kept := int64(0)
	for _, e := range list {
		if kept+e.Size <= o.Keep || time.Since(e.used) < o.Age {
			kept += e.Size
			continue
		}
		going = append(going, e)
	}
	freed := int64(0)
	for more := true; more; {
		more = false
		for _, e := range slices.Backward(slices.Clone(going)) {
			if err := ctx.Err(); err != nil {
				return freed, err
			}
			err := c.store.DeleteLayer(e.ID)
			if errors.Is(err, storage.ErrInUse) {
				continue
			}
			if err != nil && !errors.Is(err, storage.ErrNotFound) {
				return freed, err
			}
			for _, n := range e.Names {
				_ = os.Remove(c.path("used/" + filepath.Base(n))) // it says when the layer was used, no more
			}
			n, err := c.dropParents(e.Layer)
			if err != nil {
				return freed, err
			}
			freed, more = freed+e.Size+n, true
			going = slices.DeleteFunc(going, func(x entry) bool { return x.ID == e.ID })
		}
	}
	return freed, nil
}

// dropParents removes the layers beneath one of the cache's that have gone with their image otherwise.
func (c *cache) dropParents(l storage.Layer) (freed int64, err error) {
	for l.Parent != "" {
		if l, err = c.store.NamedLayer(l.Parent); errors.Is(err, storage.ErrNotFound) {
			return freed, nil
		}
		if err != nil || slices.ContainsFunc(l.Names, func(n string) bool { return strings.HasPrefix(n, prefix) }) {
			return freed, err
		}
		if err = c.store.DeleteLayer(l.ID); errors.Is(err, storage.ErrInUse) || errors.Is(err, storage.ErrNotFound) {
			return freed, nil
		}
		if err != nil {
			return freed, err
		}
		freed += l.Size
	}
	return freed, nil
}

// pruneDir removes the directories in dir that were not used for age.
func (c *cache) pruneDir(dir string, age time.Duration) (int64, error) {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, os.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	freed := int64(0)
	for _, e := range entries {
		path := filepath.Join(dir, e.Name())
		if st, err := os.Stat(path); err != nil || time.Since(st.ModTime()) < age {
			continue
		}
		freed += treeSize(path)
		if err := os.RemoveAll(path); err != nil {
			return freed, fmt.Errorf("pruning the build cache: %w", err)
		}
	}
	return freed, nil
}

func treeSize(dir string) (n int64) {
	_ = filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err != nil {
			return nil
		}
		if info, err := d.Info(); err == nil && info.Mode().IsRegular() {
			n += info.Size()
		}
		return nil
	})
	return n
}
