package transfer

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"go.podman.io/image/v5/docker"
	"go.podman.io/image/v5/docker/reference"
	cimage "go.podman.io/image/v5/image"
	"go.podman.io/image/v5/manifest"
	"go.podman.io/image/v5/pkg/shortnames"
	"go.podman.io/image/v5/pkg/sysregistriesv2"
	"go.podman.io/image/v5/types"

	"github.com/proa-containers/proa/image"
	"github.com/proa-containers/proa/storage"
)

// Policy says when Pull asks the registry.
type Policy string

// The policies of Pull.
const (
	Always  Policy = "always"  // the zero value too
	Missing Policy = "missing" // unless there is a local image of the name and platform
	Newer   Policy = "newer"   // unless the local image is the registry's, or the registry can't be reached
	Never   Policy = "never"
)

// ParsePolicy checks a policy's name.
func ParsePolicy(s string) (Policy, error) {
	switch p := Policy(s); p {
	case Always, Missing, Newer, Never:
		return p, nil
	case "":
		return Always, nil
	}
	return "", fmt.Errorf("pull policy %q: want always, missing, newer or never", s)
}

// PullOptions are those of Pull.
type PullOptions struct {
	Access
	Platform Platform
	Policy   Policy
	AllTags  bool
	Output   Output
	Pulled   func(name, id string) // told of each image that came, when all are there; may be nil
}

// Pull brings an image from a registry into the store and returns the ids of what it pulled: one, or with AllTags one
// for each tag. When it fails or ctx is cancelled, the layers it added are removed.
func Pull(ctx context.Context, s *storage.Store, ref string, o PullOptions) ([]string, error) {
	ref = strings.TrimPrefix(ref, "docker://")
	local, err := usable(s, ref, o.Platform)
	if err != nil {
		return nil, err
	}
	switch {
	case local != nil && (o.Policy == Missing || o.Policy == Never):
		return []string{local.ID}, nil
	case o.Policy == Never:
		return nil, fmt.Errorf("%w %q: pull it with proa pull, or give another --pull policy than never", image.ErrNotFound, ref)
	}
	w, err := s.NewTransfer()
	if err != nil {
		return nil, err
	}
	defer w.Close()
	sys, err := systemContext(s, o.Access, o.Platform, w.Dir)
	if err != nil {
		return nil, err
	}
	if err := checkConfig(sys, o.Access); err != nil {
		return nil, fmt.Errorf("pull %q: %w", ref, err)
	}
	names, err := resolve(sys, ref)
	if err != nil {
		return nil, err
	}
	if o.AllTags {
		if names, err = allTags(ctx, sys, names[0], ref); err != nil {
			return nil, pullTask(names[0], o.Access, s).explain(ctx, err)
		}
	}
	restoreBlobInfo(ctx, s)
	var pulled []Loaded
	told := o.Pulled
	o.Pulled = func(name, id string) { pulled = append(pulled, Loaded{id, []string{name}}) }
	ids, err := pullNames(ctx, w, sys, names, local, o)
	if err != nil {
		w.Undo()
		return ids, err
	}
	keepBlobInfo(ctx, w)
	for _, p := range pulled {
		if told != nil {
			told(p.Names[0], p.ID)
		}
	}
	return ids, nil
}

// usable is the local image of a name, when it has one for the platform asked for.
func usable(s *storage.Store, ref string, p Platform) (*image.Image, error) {
	i, err := image.Lookup(s, ref)
	switch {
	case errors.Is(err, image.ErrNotFound), errors.Is(err, image.ErrAmbiguous):
		return nil, nil
	case err != nil:
		return nil, err
	case p.Arch != "" && p.Arch != i.Architecture, p.OS != "" && p.OS != i.OS, p.Variant != "" && i.Variant != "" && p.Variant != i.Variant:
		return nil, nil
	}
	return i, nil
}

func pullNames(ctx context.Context, w *storage.Transfer, sys *types.SystemContext, names []reference.Named, local *image.Image, o PullOptions) ([]string, error) {
	var ids []string
	var errs []error
	for _, name := range names {
		id, err := pullOne(ctx, w, sys, name, local, o)
		if err == nil {
			ids = append(ids, id)
			if !o.AllTags {
				return ids, nil
			}
			continue
		}
		errs = append(errs, pullTask(name, o.Access, w.Store).explain(ctx, err))
		if o.AllTags || ctx.Err() != nil {
			return nil, errs[len(errs)-1]
		}
	}
	if len(errs) > 0 && local != nil && o.Policy == Newer {
		return []string{local.ID}, nil
	}
	if len(errs) > 1 {
		return nil, fmt.Errorf("no registry of registries.conf has it: %w", oneLine{errors.Join(errs...)})
	}
	return ids, errors.Join(errs...)
}

// resolve finds the full names that a name may stand for, in the order to try.
func resolve(sys *types.SystemContext, ref string) ([]reference.Named, error) {
	if !shortnames.IsShortName(ref) {
		named, err := reference.ParseNormalizedNamed(ref)
		if err != nil {
			return nil, fmt.Errorf("%w %q: want [REGISTRY/]REPOSITORY[:TAG|@DIGEST]: %w", image.ErrName, ref, err)
		}
		return []reference.Named{withoutTagBesideDigest(named)}, nil
	}
	registries, err := sysregistriesv2.UnqualifiedSearchRegistries(sys)
	if err != nil {
		return nil, fmt.Errorf("%w: %w; mend it or move it away", ErrConfig, err)
	}
	resolved, err := shortnames.Resolve(sys, ref)
	if err != nil && len(registries) > 0 {
		return nil, fmt.Errorf("resolve %q: %w; give the full name, such as docker.io/library/%s", ref, err, ref)
	}
	if err != nil {
		// No alias and no list of registries: as with Docker, the name is one on Docker Hub.
		named, err := reference.ParseNormalizedNamed(ref)
		if err != nil {
			return nil, fmt.Errorf("%w %q: %w", image.ErrName, ref, err)
		}
		return []reference.Named{withoutTagBesideDigest(named)}, nil
	}
	var names []reference.Named
	for _, c := range resolved.PullCandidates {
		names = append(names, withoutTagBesideDigest(c.Value))
	}
	return names, nil
}

// withoutTagBesideDigest completes a name with latest, and drops a tag that a digest makes meaningless.
func withoutTagBesideDigest(n reference.Named) reference.Named {
	if d, ok := n.(reference.Digested); ok {
		if c, err := reference.WithDigest(reference.TrimNamed(n), d.Digest()); err == nil {
			return c
		}
	}
	return reference.TagNameOnly(n)
}

func allTags(ctx context.Context, sys *types.SystemContext, name reference.Named, ref string) ([]reference.Named, error) {
	if strings.Contains(ref, "@") || strings.LastIndexByte(ref, ':') > strings.LastIndexByte(ref, '/') {
		return []reference.Named{name}, fmt.Errorf("%q: --all-tags takes a name without a tag", ref)
	}
	r, err := docker.NewReference(name)
	if err != nil {
		return []reference.Named{name}, err
	}
	tags, err := docker.GetRepositoryTags(ctx, sys, r)
	if err != nil {
		return []reference.Named{name}, err
	}
	var names []reference.Named
	for _, t := range tags {
		n, err := reference.WithTag(reference.TrimNamed(name), t)
		if err != nil {
			return []reference.Named{name}, err
		}
		names = append(names, n)
	}
	return names, nil
}

func pullOne(ctx context.Context, w *storage.Transfer, sys *types.SystemContext, name reference.Named, local *image.Image, o PullOptions) (string, error) {
	ref, err := docker.NewReference(name)
	if err != nil {
		return "", err
	}
	if o.Policy == Newer && local != nil {
		if d, err := docker.GetDigest(ctx, sys, ref); err == nil && slices.Contains(local.Digests, d) {
			return local.ID, nil
		}
	}
	o.Output.printf("Pulling %s", name)
	source, err := ref.NewImageSource(ctx, sys)
	if err != nil {
		return "", err
	}
	src := &opened{ref, source}
	if err := checkPlatform(ctx, sys, src, o.Platform); err != nil {
		return "", errors.Join(err, source.Close())
	}
	id, err := copyImage(ctx, w, sys, src, name, "", o.Output)
	if err == nil {
		o.Pulled(name.String(), id)
	}
	return id, err
}

// checkPlatform refuses an image that is not for the platform asked for, or for this host, before a layer is fetched.
func checkPlatform(ctx context.Context, sys *types.SystemContext, src *opened, want Platform) error {
	blob, mime, err := src.source.GetManifest(ctx, nil)
	if err != nil {
		return err
	}
	if manifest.MIMETypeIsMultiImage(mime) {
		list, err := manifest.ListFromBlob(blob, mime)
		if err != nil {
			return fmt.Errorf("read the image's list of platforms: %w", err)
		}
		if _, err := list.ChooseInstance(sys); err != nil {
			return &platformError{want: completed(want), have: platforms(list)}
		}
		return nil
	}
	img, err := cimage.FromUnparsedImage(ctx, sys, cimage.UnparsedInstance(src.source, nil))
	if err != nil {
		return err
	}
	info, err := img.Inspect(ctx)
	if err != nil {
		return err
	}
	have := Platform{info.Os, info.Architecture, info.Variant}
	w := completed(want)
	if have.Arch != "" && have.Arch != w.Arch || have.OS != "" && have.OS != w.OS || w.Variant != "" && have.Variant != "" && w.Variant != have.Variant {
		return &platformError{want: w, have: []string{have.String()}}
	}
	return nil
}

func platforms(list manifest.List) []string {
	var out []string
	for _, d := range list.Instances() {
		inst, err := list.Instance(d)
		if err != nil || inst.ReadOnly.Platform == nil {
			continue
		}
		p := inst.ReadOnly.Platform
		name := Platform{p.OS, p.Architecture, p.Variant}.String()
		if p.OS != "unknown" && !slices.Contains(out, name) {
			out = append(out, name)
		}
	}
	return out
}
