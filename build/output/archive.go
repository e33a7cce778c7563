package output

import (
	"context"
	"fmt"
	"io"
	"os"

	"github.com/proa-containers/proa/image"
	"github.com/proa-containers/proa/image/transfer"
	"github.com/proa-containers/proa/storage"
)

// ArchiveOptions of Archive.
type ArchiveOptions struct {
	Format string // oci or docker
	Names  []string
	Dest   string // a file, or - for Stdout
	Stdout io.Writer
}

// Archive writes an image as an archive that docker load, podman load and proa load read.
func Archive(ctx context.Context, s *storage.Store, img *image.Image, o ArchiveOptions) error {
	dir, drop, err := s.Workspace()
	if err != nil {
		return err
	}
	defer drop()
	file := dir + "/archive"
	if err := transfer.Archive(ctx, s, img.ID, o.Format, file, o.Names); err != nil {
		return fmt.Errorf("writing the archive: %w", err)
	}
	f, err := os.Open(file)
	if err != nil {
		return err
	}
	defer f.Close()
	return toFile(o.Dest, o.Stdout, func(w io.Writer) error {
		_, err := io.Copy(w, f)
		return err
	})
}
