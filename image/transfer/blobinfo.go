package transfer

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	_ "github.com/mattn/go-sqlite3" // the library's cache is one of its files

	"github.com/proa-containers/proa/storage"
)

// What is known of blobs, and where in which registry they are, saves the sending of layers again. The library syncs its
// cache several times for each blob, so it is kept where that costs nothing, and a copy outlives a reboot:
//
//	RUNROOT/proa-blob-info/blob-info-cache-v1.sqlite     the cache
//	GRAPHROOT/proa-blob-info/blob-info-cache-v1.sqlite   the copy, replaced after a transfer that went well
//
// Losing either costs time alone.
const blobInfoFile = "blob-info-cache-v1.sqlite"

func blobInfoDir(s *storage.Store) string { return filepath.Join(s.RunRoot(), "proa-blob-info") }

func keptBlobInfo(s *storage.Store) string {
	return filepath.Join(s.GraphRoot(), "proa-blob-info", blobInfoFile)
}

// restoreBlobInfo makes the cache of the copy, once after each boot.
func restoreBlobInfo(ctx context.Context, s *storage.Store) {
	to, from := filepath.Join(blobInfoDir(s), blobInfoFile), keptBlobInfo(s)
	if _, err := os.Stat(to); err == nil {
		return
	}
	if _, err := os.Stat(from); err != nil {
		return
	}
	if err := copyDatabase(ctx, from, fmt.Sprintf("%s.%d", to, os.Getpid()), to); err != nil && ctx.Err() == nil {
		_ = os.Remove(from) // a damaged one would be of no use the next time either
	}
}

// keepBlobInfo replaces the copy when there is something new. It is written where a killed transfer's files are swept.
func keepBlobInfo(ctx context.Context, w *storage.Transfer) {
	from, to := filepath.Join(blobInfoDir(w.Store), blobInfoFile), keptBlobInfo(w.Store)
	cache, err := os.Stat(from)
	if err != nil {
		return
	}
	if kept, err := os.Stat(to); err != nil || kept.ModTime().Before(cache.ModTime()) {
		_ = copyDatabase(ctx, from, filepath.Join(w.Dir, blobInfoFile), to)
	}
}

// copyDatabase copies a database that others may be writing to, by way of tmp. Nothing is synced.
func copyDatabase(ctx context.Context, from, tmp, to string) error {
	if err := os.MkdirAll(filepath.Dir(to), 0o700); err != nil {
		return err
	}
	db, err := sql.Open("sqlite3", from+"?_synchronous=OFF")
	if err != nil {
		return err
	}
	defer db.Close()
	_ = os.Remove(tmp) // of a killed process whose number came again
	if _, err := db.ExecContext(ctx, "VACUUM INTO ?", tmp); err != nil {
		return errors.Join(err, os.Remove(tmp))
	}
	return os.Rename(tmp, to)
}
