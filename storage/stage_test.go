package storage_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	cs "go.podman.io/storage"
	"go.podman.io/storage/pkg/archive"
	"golang.org/x/sys/unix"

	"github.com/proa-containers/proa/storage"
)

// write makes a file in a mounted tree.
func write(name, content string) func(*os.File) error {
	return func(root *os.File) error {
		fd, err := unix.Openat(int(root.Fd()), name, unix.O_WRONLY|unix.O_CREAT|unix.O_TRUNC, 0o644)
		if err != nil {
			return err
		}
		f := os.NewFile(uintptr(fd), name)
		_, err = f.WriteString(content)
		return errors.Join(err, f.Close())
	}
}

func read(t testing.TB, s *storage.Store, layer, name string) string {
	t.Helper()
	root, err := s.MountLayer(layer)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	b, err := os.ReadFile(fmt.Sprintf("/proc/self/fd/%d/%s", root.Fd(), name))
	if err != nil {
		return "error: " + err.Error()
	}
	return string(b)
}

// archiveDigest is the digest of what the library archives of a layer, as a push does.
func archiveDigest(t testing.TB, s *storage.Store, id string) digest.Digest {
	t.Helper()
	plain := archive.Uncompressed
	r, err := s.Library().Diff("", id, &cs.DiffOptions{Compression: &plain})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	d, err := digest.FromReader(r)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func TestStage(t *testing.T) {
	s, ctx := open(t), context.Background()
	base, err := s.Stage(ctx, "", storage.StageOptions{Name: "x/base", Note: "the first"}, func(root *os.File) error {
		return errors.Join(write("kept", "1")(root), write("changed", "1")(root), write("gone", "1")(root), unix.Mkdirat(int(root.Fd()), "dir", 0o750))
	})
	if err != nil {
		t.Fatal(err)
	}
	top, err := s.Stage(ctx, base.ID, storage.StageOptions{Name: "x/top"}, func(root *os.File) error {
		return errors.Join(write("changed", "2")(root), write("dir/new", "2")(root), unix.Unlinkat(int(root.Fd()), "gone", 0))
	})
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{"kept": "1", "changed": "2", "dir/new": "2", "gone": "no such file"} {
		if got := read(t, s, top.ID, name); got != want && !strings.Contains(got, "error: ") || strings.Contains(got, "error: ") && !strings.Contains(got, want) {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	for _, l := range []storage.Layer{base, top} {
		if got := archiveDigest(t, s, l.ID); got != l.DiffID || got == "" {
			t.Errorf("a push would send %s, and the layer says %s", got, l.DiffID)
		}
	}
	if l, err := s.NamedLayer("x/base"); err != nil || l.ID != base.ID || l.Note != "the first" {
		t.Errorf("by name: %+v %v", l, err)
	}
	if l, err := s.Stage(ctx, base.ID, storage.StageOptions{Name: "x/again"}, func(root *os.File) error { return nil }); err != nil || l.Parent != base.ID {
		t.Errorf("an empty one: %+v %v", l, err)
	}
	if _, err := s.Stage(ctx, "", storage.StageOptions{Name: "x/base"}, write("a", "")); !errors.Is(err, storage.ErrExists) {
		t.Errorf("a second of the name: %v", err)
	}
	failed := errors.New("filling failed")
	if _, err := s.Stage(ctx, "", storage.StageOptions{Name: "x/failed"}, func(*os.File) error { return failed }); !errors.Is(err, failed) {
		t.Errorf("a failed one: %v", err)
	}
	if _, err := s.NamedLayer("x/failed"); !errors.Is(err, storage.ErrNotFound) {
		t.Errorf("a failed one is there: %v", err)
	}
	if left, err := os.ReadDir(filepath.Join(s.GraphRoot(), "proa-stage")); err != nil || len(left) != 0 {
		t.Errorf("left: %v %v", left, err)
	}
}

func TestStageLatest(t *testing.T) {
	s, then := open(t), time.Unix(1_000_000_000, 0)
	make := func(name string) storage.Layer {
		t.Helper()
		l, err := s.Stage(context.Background(), "", storage.StageOptions{Name: name, Latest: then}, write("f", "same"))
		if err != nil {
			t.Fatal(err)
		}
		return l
	}
	if a, b := make("x/a"), make("x/b"); a.DiffID != b.DiffID || a.ID != b.ID || a.ID != a.DiffID.Encoded() {
		t.Errorf("two layers of the same files and times are %s %s and %s %s", a.ID, a.DiffID, b.ID, b.DiffID)
	}
	for _, name := range []string{"x/a", "x/b"} {
		if got := read(t, s, mustNamed(t, s, name).ID, "f"); got != "same" {
			t.Errorf("%s: %q", name, got)
		}
	}
}

func TestGraftAndFlatten(t *testing.T) {
	s, ctx := open(t), context.Background()
	stage := func(parent, name string, fill func(*os.File) error) storage.Layer {
		t.Helper()
		l, err := s.Stage(ctx, parent, storage.StageOptions{Name: name}, fill)
		if err != nil {
			t.Fatal(err)
		}
		return l
	}
	base := stage("", "x/base", func(root *os.File) error { return errors.Join(write("f", "old")(root), write("g", "1")(root)) })
	alone := stage("", "x/alone", func(root *os.File) error {
		return errors.Join(write("f", "new")(root), unix.Mkdirat(int(root.Fd()), "d", 0o711))
	})
	l, err := s.Graft(ctx, alone.ID, base.ID, storage.StageOptions{Name: "x/graft"})
	if err != nil {
		t.Fatal(err)
	}
	if l.DiffID != alone.DiffID || archiveDigest(t, s, l.ID) != alone.DiffID || l.Parent != base.ID {
		t.Errorf("grafted: %+v, of %+v", l, alone)
	}
	if got := read(t, s, l.ID, "f") + read(t, s, l.ID, "g"); got != "new1" {
		t.Errorf("files: %q", got)
	}
	top := stage(l.ID, "x/top", func(root *os.File) error {
		return errors.Join(unix.Unlinkat(int(root.Fd()), "g", 0), write("h", "2")(root))
	})
	for on, want := range map[string]string{"": "new2", base.ID: "new2"} {
		flat, err := s.Flatten(ctx, on, top.ID, storage.StageOptions{Name: "x/flat" + on})
		if err != nil {
			t.Fatal(err)
		}
		if got := read(t, s, flat.ID, "f") + read(t, s, flat.ID, "h"); got != want || flat.Parent != on {
			t.Errorf("on %q: %q on %q", on, got, flat.Parent)
		}
		if got := read(t, s, flat.ID, "g"); !strings.Contains(got, "no such file") {
			t.Errorf("on %q, what was removed is there: %s", on, got)
		}
	}
}

// TestSweepStages: what a killed process was filling goes, and what a living one fills stays.
func TestSweepStages(t *testing.T) {
	s := open(t)
	dir, drop, err := s.Workspace()
	if err != nil {
		t.Fatal(err)
	}
	defer drop()
	killed := filepath.Join(s.GraphRoot(), "proa-stage", "killed")
	if err := os.MkdirAll(filepath.Join(killed, "dir/sub"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(killed, "lock"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := s.Sweep(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(killed); !os.IsNotExist(err) {
		t.Errorf("what was left is there: %v", err)
	}
	if _, err := os.Stat(dir); err != nil {
		t.Errorf("what is in use has gone: %v", err)
	}
}

// TestCheckKeepsCache: a layer of the build cache, and what it stands on, need no image.
func TestCheckKeepsCache(t *testing.T) {
	s := open(t)
	i := addImage(t, s, imageID, 2)
	if _, err := s.Stage(context.Background(), i.TopLayer, storage.StageOptions{Name: storage.CachePrefix + "k"}, write("f", "1")); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Stage(context.Background(), "", storage.StageOptions{Name: "other"}, write("f", "1")); err != nil {
		t.Fatal(err)
	}
	if _, err := s.DeleteImage(imageID); err != nil {
		t.Fatal(err)
	}
	r, err := s.Check(context.Background(), storage.CheckOptions{})
	if err != nil || len(r.Problems) != 1 || r.Problems[0].Kind != "layer" {
		t.Fatalf("problems: %v %v; want that of the other layer", r.Problems, err)
	}
	if err := r.Repair(context.Background(), false); err != nil {
		t.Fatal(err)
	}
	if got := read(t, s, mustNamed(t, s, storage.CachePrefix+"k").ID, "1"); got != "x" {
		t.Errorf("after a repair: %q", got)
	}
}

func mustNamed(t testing.TB, s *storage.Store, name string) storage.Layer {
	t.Helper()
	l, err := s.NamedLayer(name)
	if err != nil {
		t.Fatal(err)
	}
	return l
}
