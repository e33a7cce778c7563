package output

import (
	"context"
	"fmt"
	"io"

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
	layout := transfer.DockerArchive
	if o.Format == "oci" {
		layout = transfer.OCIArchive
	}
	refs := o.Names
	if len(refs) == 0 {
		refs = []string{img.ID}
	}
	return toFile(o.Dest, o.Stdout, func(w io.Writer) error {
		if err := transfer.Save(ctx, s, refs, w, transfer.SaveOptions{Layout: layout}); err != nil {
			return fmt.Errorf("writing the archive: %w", err)
		}
		return nil
	})
}
