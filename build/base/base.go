// Package base finds the images that builds start from: in the store, at registries, in OCI layouts. It links the image
// transports, and runs in proa-build, as root or as uid 0 of the user's namespace.
package base

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"

	"github.com/moby/buildkit/solver/pb"

	"github.com/proa-containers/proa/image"
	"github.com/proa-containers/proa/image/transfer"
	"github.com/proa-containers/proa/storage"
)

// Finder finds images. What was found once stays for the build.
type Finder struct {
	Store *storage.Store
	Pull  transfer.PullOptions // its policy is for images that the build does not say more of
	mu    sync.Mutex
	known map[string]string
}

// Find implements layers.Images.
func (f *Finder) Find(ctx context.Context, ref string, p *pb.Platform, mode string) (string, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	o := f.Pull
	if p != nil {
		o.Platform = transfer.Platform{OS: p.OS, Arch: p.Architecture, Variant: p.Variant}
	}
	key := ref + " " + o.Platform.String()
	if id, ok := f.known[key]; ok {
		return id, nil
	}
	switch mode {
	case pb.AttrImageResolveModeForcePull:
		o.Policy = transfer.Always
	case pb.AttrImageResolveModePreferLocal:
		o.Policy = transfer.Missing
	}
	id, err := f.find(ctx, ref, o)
	if err != nil {
		return "", err
	}
	if f.known == nil {
		f.known = map[string]string{}
	}
	f.known[key] = id
	return id, nil
}

// find goes by the name that the Dockerfile has: the frontend has made a full one of it, and a short one may also be that
// of an image made here, or of another registry than Docker's.
func (f *Finder) find(ctx context.Context, ref string, o transfer.PullOptions) (string, error) {
	short, ok := strings.CutPrefix(ref, "docker.io/library/")
	if !ok {
		short = strings.TrimPrefix(ref, "docker.io/")
	}
	if o.Policy != transfer.Always && o.Policy != transfer.Newer && short != ref {
		local := o
		local.Policy = transfer.Never
		for _, name := range []string{ref, short} {
			if ids, err := transfer.Pull(ctx, f.Store, name, local); err == nil && len(ids) > 0 {
				return ids[0], nil
			}
		}
	}
	ids, err := transfer.Pull(ctx, f.Store, short, o)
	if errors.Is(err, image.ErrNotFound) && o.Policy == transfer.Never {
		return "", fmt.Errorf("%w %q: pull it first, or leave out --pull=never", image.ErrNotFound, short)
	}
	if err != nil {
		return "", err
	}
	if len(ids) == 0 {
		return "", fmt.Errorf("%w %q", image.ErrNotFound, short)
	}
	return ids[0], nil
}

// Layout implements layers.Images.
func (f *Finder) Layout(ctx context.Context, dir, ref string, p *pb.Platform) (string, error) {
	_, digest, _ := strings.Cut(ref, "@")
	o := f.Pull
	if p != nil {
		o.Platform = transfer.Platform{OS: p.OS, Arch: p.Architecture, Variant: p.Variant}
	}
	return transfer.PullLayout(ctx, f.Store, dir, digest, o)
}
