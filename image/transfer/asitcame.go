package transfer

import (
	"context"
	"errors"
	"strings"
	"sync"

	cimage "go.podman.io/image/v5/image"
	"go.podman.io/image/v5/manifest"
	"go.podman.io/image/v5/pkg/blobinfocache"
	"go.podman.io/image/v5/types"
)

// sendAsItCame sends an image that was pulled, and whose layers the registry has in the compression they had then, with
// its own manifest: it keeps its digest. The library's copy makes the manifest anew. The manifest is nil when the image is
// none of those, and nothing was done.
func sendAsItCame(ctx context.Context, sys *types.SystemContext, to, from types.ImageReference, out Output) (sent []byte, err error) {
	src, err := from.NewImageSource(ctx, sys)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, src.Close()) }()
	unparsed := cimage.UnparsedInstance(src, nil)
	data, mime, err := unparsed.Manifest(ctx)
	if err != nil {
		return nil, err
	}
	if signatures, err := unparsed.Signatures(ctx); err != nil || len(signatures) > 0 {
		return nil, err // they have to be copied too
	}
	m, err := manifest.FromBlob(data, mime)
	if err != nil {
		return nil, err
	}
	layers := m.LayerInfos()
	for _, l := range layers {
		if !strings.HasSuffix(l.MediaType, "gzip") && !strings.HasSuffix(l.MediaType, "zstd") {
			return nil, nil // made here
		}
	}
	dest, err := to.NewImageDestination(ctx, sys)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, dest.Close()) }()
	cache := blobinfocache.DefaultCache(sys)
	if ok, err := allThere(ctx, dest, layers, cache); !ok || err != nil {
		return nil, err
	}
	if err := sendConfig(ctx, dest, src, m.ConfigInfo(), cache); err != nil {
		return nil, err
	}
	if err := dest.PutManifest(ctx, data, nil); err != nil {
		return nil, err
	}
	for _, l := range layers {
		out.printf("%s: already there", short(l.BlobInfo))
	}
	return data, dest.Commit(ctx, unparsed)
}

// allThere asks for all layers at once. A layer that another repository has is mounted from it.
func allThere(ctx context.Context, dest types.ImageDestination, layers []manifest.LayerInfo, cache types.BlobInfoCache) (bool, error) {
	const atOnce = 6 // as the library's copy
	places := make(chan struct{}, atOnce)
	there, errs := make([]bool, len(layers)), make([]error, len(layers))
	var all sync.WaitGroup
	for i, l := range layers {
		all.Go(func() {
			places <- struct{}{}
			there[i], _, errs[i] = dest.TryReusingBlob(ctx, l.BlobInfo, cache, false)
			<-places
		})
	}
	all.Wait()
	for i := range layers {
		if errs[i] != nil || !there[i] {
			return false, errs[i]
		}
	}
	return true, nil
}

func sendConfig(ctx context.Context, dest types.ImageDestination, src types.ImageSource, config types.BlobInfo, cache types.BlobInfoCache) error {
	if ok, _, err := dest.TryReusingBlob(ctx, config, cache, false); ok || err != nil {
		return err
	}
	body, size, err := src.GetBlob(ctx, config, cache)
	if err != nil {
		return err
	}
	config.Size = size
	_, err = dest.PutBlob(ctx, body, config, cache, true)
	return errors.Join(err, body.Close())
}
