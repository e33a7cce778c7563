package storage_test

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/proa-containers/proa/storage"
	"github.com/proa-containers/proa/storage/storagetest"
)

// oneFile is a layer with a file of n bytes.
func oneFile(t testing.TB, n int) *bytes.Buffer {
	t.Helper()
	var buf bytes.Buffer
	w := tar.NewWriter(&buf)
	if err := w.WriteHeader(&tar.Header{Name: "f", Mode: 0o644, Size: int64(n), Typeflag: tar.TypeReg}); err != nil {
		t.Fatal(err)
	}
	w.Write(make([]byte, n))
	w.Close()
	return &buf
}

// inStore is what there is in the store: images with their names, layers, journals.
func inStore(t testing.TB, s *storage.Store) string {
	t.Helper()
	images, err := s.Images()
	if err != nil {
		t.Fatal(err)
	}
	layers, err := s.Layers()
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, i := range images {
		out = append(out, fmt.Sprintf("image %.8s %v", i.ID, i.Names))
	}
	for _, l := range layers {
		out = append(out, "layer "+l.ID[:8])
	}
	for _, pattern := range []string{"proa-draft/*", "proa-removal/*", "proa-transfer/t-*", "overlay/*/diff"} {
		found, err := filepath.Glob(filepath.Join(s.GraphRoot(), pattern))
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, found...)
	}
	slices.Sort(out)
	return strings.Join(out, "\n")
}

func draftImage(id string) storage.NewImage {
	return storage.NewImage{ID: id, Names: []string{"localhost/x:latest"}, Manifest: []byte(`{"m":2}`), Config: []byte(`{}`)}
}

const otherID = "cdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcd"

func TestDraft(t *testing.T) {
	s := open(t)
	first := addImage(t, s, imageID, 1)
	before := inStore(t, s)
	d, err := s.NewDraft(first.TopLayer, oneFile(t, 10))
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Sweep(); err != nil { // the process lives
		t.Fatal(err)
	}
	if _, err := s.Chain(d.ID); err != nil {
		t.Errorf("a draft that is being made was swept: %v", err)
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	if got := inStore(t, s); got != before {
		t.Errorf("after Close:\n%s\nbefore:\n%s", got, before)
	}
	if d, err = s.NewDraft(first.TopLayer, oneFile(t, 10)); err != nil {
		t.Fatal(err)
	}
	i, err := d.CreateImage(draftImage(otherID))
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	chain, err := s.Chain(i.TopLayer)
	if err != nil || len(chain) != 2 || chain[0].ID != first.TopLayer || chain[1].DiffID == "" {
		t.Errorf("chain = %+v, %v", chain, err)
	}
	if !slices.Equal(i.Names, []string{"localhost/x:latest"}) {
		t.Errorf("names = %v", i.Names)
	}
	if old, err := s.Image(imageID); err != nil || len(old.Names) != 0 {
		t.Errorf("the name's last image has %v, %v", old.Names, err)
	}
}

// TestDraftKilled runs this test again in a child that is killed at one step, and sweeps what it left.
func TestDraftKilled(t *testing.T) {
	if step := os.Getenv("PROA_DRAFT_STEP"); step != "" {
		killedAt(t, step)
	}
	s := open(t)
	first := addImage(t, s, imageID, 1)
	before := inStore(t, s)
	for _, step := range []string{"layer", "image"} {
		cmd := exec.Command("/proc/self/exe", "-test.run", "^TestDraftKilled$")
		cmd.Env = append(os.Environ(), "PROA_DRAFT_STEP="+step, "PROA_DRAFT_ROOT="+s.GraphRoot(), "PROA_DRAFT_RUN="+s.RunRoot(), "PROA_DRAFT_PARENT="+first.TopLayer)
		out, err := cmd.CombinedOutput()
		var exit *exec.ExitError
		if !errors.As(err, &exit) || exit.ExitCode() != -1 {
			t.Fatalf("%s: the child was not killed: %v: %s", step, err, out)
		}
		if inStore(t, s) == before {
			t.Errorf("%s: the child left nothing, so that nothing is tried", step)
		}
		if err := s.Sweep(); err != nil {
			t.Fatal(err)
		}
		if got := inStore(t, s); got != before {
			t.Errorf("%s: after Sweep:\n%s\nbefore:\n%s", step, got, before)
		}
	}
}

// killedAt makes a draft and, at the step image, an image that has no name yet; then this process is killed.
func killedAt(t *testing.T, step string) {
	s, err := storage.Open(t.Context(), storage.Options{GraphRoot: os.Getenv("PROA_DRAFT_ROOT"), RunRoot: os.Getenv("PROA_DRAFT_RUN"), Rootless: true, OuterUID: 4711})
	if err != nil {
		t.Fatal(err)
	}
	d, err := s.NewDraft(os.Getenv("PROA_DRAFT_PARENT"), oneFile(t, 10))
	if err != nil {
		t.Fatal(err)
	}
	if step == "image" {
		n := draftImage(otherID)
		n.Names = nil
		if err := os.WriteFile(filepath.Join(s.GraphRoot(), "proa-draft", d.ID), []byte(n.ID), 0); err != nil { // as CreateImage does with a name
			t.Fatal(err)
		}
		if _, err := d.CreateImage(n); err != nil {
			t.Fatal(err)
		}
	}
	p, err := os.FindProcess(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Kill(); err != nil {
		t.Fatal(err)
	}
	select {}
}

func TestDraftOnFullDisk(t *testing.T) {
	s := storagetest.Open(t, "8m")
	first := addImage(t, s, imageID, 1)
	before := inStore(t, s)
	if _, err := s.NewDraft(first.TopLayer, oneFile(t, 20<<20)); err == nil {
		t.Fatal("20 MB went onto a disk of 8 MB")
	}
	if got := inStore(t, s); got != before {
		t.Errorf("left behind:\n%s\nbefore:\n%s", got, before)
	}
	if _, err := s.NewDraft(first.TopLayer, strings.NewReader("no archive")); err == nil {
		t.Error("what is no archive became a layer")
	}
	if got := inStore(t, s); got != before {
		t.Errorf("left behind by what is no archive:\n%s\nbefore:\n%s", got, before)
	}
}
