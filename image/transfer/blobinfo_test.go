package transfer

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/opencontainers/go-digest"
	"go.podman.io/image/v5/pkg/blobinfocache/sqlite"
)

// TestBlobInfoOutlivesBoot: what is known of blobs is there after the run root was cleared, and a damaged copy is no more
// than a lost one.
func TestBlobInfoOutlivesBoot(t *testing.T) {
	s := open(t, "16m")
	if err := os.MkdirAll(blobInfoDir(s), 0o700); err != nil {
		t.Fatal(err)
	}
	cachePath := filepath.Join(blobInfoDir(s), blobInfoFile)
	known, plain := digest.FromString("compressed"), digest.FromString("plain")
	remembers := func() bool {
		cache, err := sqlite.New(cachePath)
		if err != nil {
			t.Fatal(err)
		}
		return cache.UncompressedDigest(known) == plain
	}
	cache, err := sqlite.New(cachePath)
	if err != nil {
		t.Fatal(err)
	}
	cache.RecordDigestUncompressedPair(known, plain)
	w, err := s.NewTransfer()
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	boot := func() {
		t.Helper()
		if err := os.Remove(cachePath); err != nil {
			t.Fatal(err)
		}
		restoreBlobInfo(t.Context(), s)
	}
	keepBlobInfo(t.Context(), w)
	boot()
	if !remembers() {
		t.Error("after a boot nothing is known")
	}
	if err := os.WriteFile(keptBlobInfo(s), []byte("no database at all, but long enough to be looked at as if it were one"), 0o600); err != nil {
		t.Fatal(err)
	}
	boot()
	if remembers() {
		t.Error("a damaged copy was restored")
	}
	if _, err := os.Stat(keptBlobInfo(s)); err == nil {
		t.Error("a damaged copy is still there")
	}
	keepBlobInfo(t.Context(), w)
	if left, _ := filepath.Glob(filepath.Join(s.GraphRoot(), "proa-blob-info/*")); len(left) != 1 {
		t.Errorf("the copy's directory has %v", left)
	}
}
