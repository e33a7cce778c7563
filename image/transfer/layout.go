package transfer

import (
	"context"
	"fmt"

	"go.podman.io/image/v5/oci/layout"

	"github.com/proa-containers/proa/image"
	"github.com/proa-containers/proa/storage"
)

// PullLayout brings the image of a digest from the OCI layout in dir into the store, unless it is there, and returns its
// id. It gets no name.
func PullLayout(ctx context.Context, s *storage.Store, dir, digest string, o PullOptions) (string, error) {
	if img, err := image.Lookup(s, digest); err == nil {
		return img.ID, nil
	}
	list, err := layout.List(dir)
	if err != nil {
		return "", fmt.Errorf("reading the OCI layout %q: %w", dir, err)
	}
	for n, l := range list {
		if l.ManifestDescriptor.Digest.String() != digest {
			continue
		}
		w, err := s.NewTransfer()
		if err != nil {
			return "", err
		}
		defer w.Close()
		sys, err := systemContext(s, o.Access, o.Platform, w.Dir)
		if err != nil {
			return "", err
		}
		ref, err := layout.NewIndexReference(dir, n)
		if err != nil {
			return "", err
		}
		got, err := loadOne(ctx, w, sys, ref, nil, o.Output)
		if err != nil {
			w.Undo()
			return "", err
		}
		return got.ID, nil
	}
	return "", fmt.Errorf("the OCI layout %q has no image %s", dir, digest)
}

// LayoutDigest is the digest of the image with a name in the OCI layout in dir; an empty name is that of the only one.
func LayoutDigest(dir, name string) (string, error) {
	list, err := layout.List(dir)
	if err != nil {
		return "", fmt.Errorf("reading the OCI layout %q: %w", dir, err)
	}
	for _, l := range list {
		tag := l.ManifestDescriptor.Annotations["org.opencontainers.image.ref.name"]
		if tag == name || name == "" && len(list) == 1 {
			return l.ManifestDescriptor.Digest.String(), nil
		}
	}
	return "", fmt.Errorf("the OCI layout %q has no image %q", dir, name)
}
