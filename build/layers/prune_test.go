package layers

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/proa-containers/proa/build/sandbox"
	"github.com/proa-containers/proa/storage"
	"github.com/proa-containers/proa/storage/storagetest"
)

func TestMain(m *testing.M) { storagetest.Main(m) }

// fill adds a layer of the cache that has size bytes and was last used at a time.
func fill(t *testing.T, c *cache, name, parent string, size int, used time.Time) storage.Layer {
	t.Helper()
	l, err := c.store.Stage(context.Background(), parent, storage.StageOptions{Name: prefix + name}, func(root *os.File) error {
		return os.WriteFile(fmt.Sprintf("/proc/self/fd/%d/%s", root.Fd(), name), make([]byte, size), 0o644)
	})
	if err != nil {
		t.Fatal(err)
	}
	c.touch(prefix + name)
	if err := os.Chtimes(c.path("used/"+name), used, used); err != nil {
		t.Fatal(err)
	}
	return l
}

func (c *cache) has(t *testing.T, names ...string) (out string) {
	t.Helper()
	for _, n := range names {
		if _, ok, err := c.find(prefix+n, tree{}); err != nil {
			t.Fatal(err)
		} else if ok {
			out += n
		}
	}
	return out
}

func TestPrune(t *testing.T) {
	s := storagetest.Open(t, "")
	c, err := openCache(context.Background(), s)
	if err != nil {
		t.Fatal(err)
	}
	// Created a moment ago, all of them: what counts is the later of that and the last use.
	now := time.Now()
	a := fill(t, c, "a", "", 1000, now.Add(time.Hour))
	fill(t, c, "b", a.ID, 1000, now.Add(3*time.Hour))
	fill(t, c, "c", a.ID, 1000, now.Add(2*time.Hour))
	fill(t, c, "d", "", 1000, now.Add(time.Hour))
	prune := func(o PruneOptions) {
		t.Helper()
		if _, err := c.pruneLayers(context.Background(), o); err != nil {
			t.Fatal(err)
		}
	}
	prune(PruneOptions{Age: time.Minute})
	if got := c.has(t, "a", "b", "c", "d"); got != "abcd" {
		t.Fatalf("of young layers are left: %s", got)
	}
	list, err := c.entries()
	if err != nil || len(list) != 4 {
		t.Fatalf("entries: %v %v", list, err)
	}
	prune(PruneOptions{Keep: 2 * list[0].Size})
	// find has touched them all: what was asked for last, d, is kept, and c; a stays for c.
	if got := c.has(t, "a", "b", "c", "d"); got != "acd" {
		t.Fatalf("of what is to be kept is left: %s", got)
	}
	prune(PruneOptions{})
	if got := c.has(t, "a", "b", "c", "d"); got != "" {
		t.Fatalf("of all is left: %s", got)
	}
	if used, err := os.ReadDir(c.path("used")); err != nil || len(used) != 0 {
		t.Errorf("times of use are left: %v %v", used, err)
	}
	if err := c.close(); err != nil {
		t.Fatal(err)
	}
}

// TestPruneBusy: nothing is pruned while a build runs.
func TestPruneBusy(t *testing.T) {
	s := storagetest.Open(t, "")
	solver, err := New(context.Background(), Options{Store: s, Host: &sandbox.Host{}})
	if err != nil {
		t.Fatal(err)
	}
	fill(t, solver.cache, "a", "", 1, time.Now())
	if _, err := Prune(context.Background(), s, PruneOptions{}); err == nil {
		t.Error("the cache of a running build was pruned")
	}
	if err := solver.Close(context.Background()); err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(s.GraphRoot(), "proa-build/mount/x")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if _, err := Prune(context.Background(), s, PruneOptions{All: true}); err != nil {
		t.Error(err)
	}
	if err := unix.Access(dir, unix.F_OK); err != unix.ENOENT {
		t.Errorf("a cache mount after pruning all: %v", err)
	}
}
