package storage_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/proa-containers/proa/storage"
)

// begunRemoval leaves the journal of a process that was killed while it removed an image.
func begunRemoval(t *testing.T, s *storage.Store, image, top string) {
	t.Helper()
	dir := filepath.Join(s.GraphRoot(), "proa-removal")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, image), []byte(top), 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestRemovalKilled: what was removed by half goes with the next Sweep, what was not yet begun stays, and an image that a
// layer is shared with keeps it.
func TestRemovalKilled(t *testing.T) {
	s := open(t)
	first := addImage(t, s, imageID, 2)
	before := inStore(t, s)
	begunRemoval(t, s, imageID, first.TopLayer)
	if err := s.Sweep(); err != nil || inStore(t, s) != before {
		t.Errorf("an image that is still there: %v\n%s\nwant\n%s", err, inStore(t, s), before)
	}

	a, b := strings.Repeat("1", 64), strings.Repeat("2", 64)
	if _, err := s.PutLayer(a, first.TopLayer, oneFile(t, 1)); err != nil {
		t.Fatal(err)
	}
	if _, err := s.PutLayer(b, a, oneFile(t, 2)); err != nil {
		t.Fatal(err)
	}
	begunRemoval(t, s, otherID, b)
	tr, err := s.NewTransfer()
	if err != nil {
		t.Fatal(err)
	}
	tr.Close() // its Sweep came before it
	if inStore(t, s) != before {
		t.Errorf("after Sweep:\n%s\nwant\n%s", inStore(t, s), before)
	}

	if tr, err = s.NewTransfer(); err != nil {
		t.Fatal(err)
	}
	if _, err := s.PutLayer(a, first.TopLayer, oneFile(t, 1)); err != nil {
		t.Fatal(err)
	}
	begunRemoval(t, s, otherID, a)
	if err := s.Sweep(); err != nil || !strings.Contains(inStore(t, s), "layer 11111111") {
		t.Errorf("while a transfer runs: %v\n%s", err, inStore(t, s))
	}
	tr.Close()
	if err := s.Sweep(); err != nil || inStore(t, s) != before {
		t.Errorf("after it: %v\n%s\nwant\n%s", err, inStore(t, s), before)
	}
	if _, err := s.DeleteImage(imageID); err != nil {
		t.Fatal(err)
	}
	if left := inStore(t, s); left != "" {
		t.Errorf("left: %s", left)
	}
}
