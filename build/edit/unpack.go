package edit

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"

	"golang.org/x/sys/unix"

	"github.com/proa-containers/proa/libpod/tree"
	"github.com/proa-containers/proa/storage"
)

// unpack unpacks a source into Dest if it is a tar archive, compressed or not.
func (c *Copy) unpack(ctx context.Context, s *source, root *os.File) (bool, error) {
	f, err := tree.Reopen(s.File, unix.O_RDONLY)
	if err != nil {
		return false, fmt.Errorf("opening %q: %w", "/"+s.name, err)
	}
	defer f.Close()
	if !isArchive(f) {
		return false, nil
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return false, err
	}
	dest, err := mkdirAll(root, c.Dest, 0o755, c.Made)
	if err != nil {
		return false, err
	}
	defer dest.Close()
	plain, err := storage.Decompress(f)
	if err != nil {
		return false, fmt.Errorf("unpacking %q: %w", "/"+s.name, err)
	}
	defer plain.Close()
	sink := tree.Extract(tree.Directory{Top: dest.File, Root: root, Path: path.Join(dest.Dir, dest.Base), Owner: c.Made.Owner, Force: true, Warn: c.Warn})
	err = tree.ReadArchive(ctx, plain, sink, c.Warn)
	if err = errors.Join(err, sink.Close()); err != nil {
		return true, fmt.Errorf("unpacking %q: %w", "/"+s.name, err)
	}
	return true, nil
}

func isArchive(f *os.File) bool {
	plain, err := storage.Decompress(f)
	if err != nil {
		return false
	}
	defer plain.Close()
	_, err = tar.NewReader(plain).Next()
	return err == nil
}
