package transfer

import (
	"context"
	"errors"

	"github.com/opencontainers/go-digest"
	"go.podman.io/image/v5/docker/reference"
	cimage "go.podman.io/image/v5/image"
	"go.podman.io/image/v5/manifest"
	"go.podman.io/image/v5/signature"
	"go.podman.io/image/v5/types"

	"github.com/proa-containers/proa/storage"
)

// adopt serves an image that was made here and comes back, from a registry or an archive: the store has it already, on
// layers with ids of their own, and the library refuses to make it again on others. The image gets the name and the
// manifest that came. The id is empty when the store has no such image.
func adopt(ctx context.Context, s *storage.Store, sys *types.SystemContext, policy *signature.PolicyContext, src types.ImageSource, name reference.Named) (string, error) {
	unparsed, data, err := chosenInstance(ctx, sys, src)
	if err != nil {
		return "", err
	}
	img, err := cimage.FromUnparsedImage(ctx, sys, unparsed)
	if err != nil {
		return "", err
	}
	rec, err := s.Image(img.ConfigInfo().Digest.Encoded())
	if errors.Is(err, storage.ErrNotFound) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	config, err := img.OCIConfig(ctx) // checked against its digest
	if err != nil || rec.TopLayer == chainID(config.RootFS.DiffIDs) {
		return "", err
	}
	if ok, err := policy.IsRunningImageAllowed(ctx, unparsed); err != nil || !ok {
		return "", err
	}
	sum, err := manifest.Digest(data)
	if err != nil {
		return "", err
	}
	if err := s.AddManifest(rec.ID, sum, data); err != nil {
		return "", err
	}
	if name == nil {
		return rec.ID, nil
	}
	return rec.ID, s.AddNames(rec.ID, []string{name.String()})
}

// chosenInstance is the image itself, or the one for the platform of a list, and its manifest.
func chosenInstance(ctx context.Context, sys *types.SystemContext, src types.ImageSource) (*cimage.UnparsedImage, []byte, error) {
	unparsed := cimage.UnparsedInstance(src, nil)
	data, mime, err := unparsed.Manifest(ctx)
	if err != nil || !manifest.MIMETypeIsMultiImage(mime) {
		return unparsed, data, err
	}
	list, err := manifest.ListFromBlob(data, mime)
	if err != nil {
		return nil, nil, err
	}
	chosen, err := list.ChooseInstance(sys)
	if err != nil {
		return nil, nil, err
	}
	unparsed = cimage.UnparsedInstance(src, &chosen)
	data, _, err = unparsed.Manifest(ctx)
	return unparsed, data, err
}

// chainID is the id that the library gives to the topmost of layers.
func chainID(diffIDs []digest.Digest) string {
	id := ""
	for _, d := range diffIDs {
		id = storage.ChainID(id, d)
	}
	return id
}
