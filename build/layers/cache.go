package layers

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/opencontainers/go-digest"
	"golang.org/x/sys/unix"

	"github.com/proa-containers/proa/storage"
)

// prefix begins the names of the cache's layers; the rest is the key in hexadecimal digits.
const prefix = storage.CachePrefix

// cache finds layers by how they were made. Layout, in the graph root, besides the layers' names:
//
//	proa-build/lock       shared lock: a build runs. Exclusive: none does, and what is old may go
//	proa-build/used/KEY   its time is that of the last use of the layer called KEY
//	proa-build/contents   digests of the client's files, see contents
//	proa-build/mount/ID/  the files of a cache mount
//	proa-build/git/ID/    a repository
type cache struct {
	store *storage.Store
	dir   string
	lock  *os.File
}

func openCache(ctx context.Context, s *storage.Store) (*cache, error) {
	if err := s.Sweep(); err != nil {
		return nil, err
	}
	c := &cache{store: s, dir: filepath.Join(s.GraphRoot(), "proa-build")}
	if err := os.MkdirAll(c.path("used"), 0o700); err != nil {
		return nil, fmt.Errorf("opening the build cache: %w", err)
	}
	var err error
	if c.lock, err = os.OpenFile(c.path("lock"), os.O_RDWR|os.O_CREATE, 0o600); err != nil {
		return nil, fmt.Errorf("opening the build cache: %w", err)
	}
	if err := unix.Flock(int(c.lock.Fd()), unix.LOCK_SH); err != nil {
		return nil, fmt.Errorf("locking the build cache: %w", err)
	}
	return c, ctx.Err()
}

func (c *cache) path(name string) string { return filepath.Join(c.dir, name) }

func (c *cache) close() error { return c.lock.Close() }

// key is the name of a layer that was made in a way.
type key struct{ hash.Hash }

// keyVersion changes when layers are made otherwise than before.
const keyVersion = "1"

func newKey(kind string) key {
	k := key{sha256.New()}
	io.WriteString(k, keyVersion+" "+kind+"\n")
	return k
}

// add writes a part, of whatever content, so that no two lists of parts are the same.
func (k key) add(parts ...any) {
	for _, p := range parts {
		switch p := p.(type) {
		case []byte:
			fmt.Fprintf(k, "%d:", len(p))
			k.Write(p)
		default:
			s := fmt.Sprint(p)
			fmt.Fprintf(k, "%d:%s", len(s), s)
		}
	}
}

func (k key) name() string { return prefix + hex.EncodeToString(k.Sum(nil)) }

// find is the tree of the layer with a name, on parent.
func (c *cache) find(name string, parent tree) (tree, bool, error) {
	l, err := c.store.NamedLayer(name)
	if errors.Is(err, storage.ErrNotFound) {
		return tree{}, false, nil
	}
	if err != nil {
		return tree{}, false, err
	}
	c.touch(name)
	return parent.with(l), true, nil
}

// touch notes that a layer was used. That it can't be noted only makes the layer look older.
func (c *cache) touch(name string) {
	path := c.path("used/" + filepath.Base(name))
	now := time.Now()
	if os.Chtimes(path, now, now) == nil {
		return
	}
	if f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY, 0o600); err == nil {
		f.Close()
	}
}

// with is the tree of a layer on t.
func (t tree) with(l storage.Layer) tree {
	chain := l.DiffID
	if t.chain != "" {
		chain = digest.FromString(t.chain.String() + " " + l.DiffID.String())
	}
	return tree{layer: l.ID, chain: chain}
}

// grow makes a layer on parent, or finds the one that is called name; fresh makes it anew in any case.
func (s *Solver) grow(ctx context.Context, name, note string, parent tree, fresh bool, beneath string, fill func(root *os.File) error) (tree, bool, error) {
	fresh = fresh || s.NoCache
	if !fresh {
		if t, ok, err := s.cache.find(name, parent); ok || err != nil {
			return t, ok, err
		}
	}
	o := storage.StageOptions{Name: name, Note: note, Beneath: beneath, Latest: s.Latest}
	if fresh {
		o.Name = name + "-" + hex.EncodeToString(newID())
	}
	l, err := s.Store.Stage(ctx, parent.layer, o, fill)
	if errors.Is(err, storage.ErrExists) && !fresh { // another build was faster
		if t, ok, ferr := s.cache.find(name, parent); ok || ferr != nil {
			return t, false, ferr
		}
	}
	if err == nil && fresh {
		err = s.Store.NameLayer(l.ID, name)
	}
	if err != nil {
		return tree{}, false, err
	}
	s.cache.touch(name)
	return parent.with(l), false, nil
}
