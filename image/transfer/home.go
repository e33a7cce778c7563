package transfer

import (
	"fmt"
	"strings"

	"go.podman.io/image/v5/docker/reference"
	"go.podman.io/image/v5/pkg/shortnames"
	"go.podman.io/image/v5/pkg/sysregistriesv2"
	"go.podman.io/image/v5/types"

	"github.com/proa-containers/proa/image"
)

// pushName is where an image goes that was called given: to the registry in its name. Without one there, an image that
// was made here (localhost/NAME) goes where home says.
func pushName(sys *types.SystemContext, img *image.Image, given string) (reference.Named, error) {
	if img.Match == "" {
		return nil, fmt.Errorf("an id says nothing of where to; give the name the image is to have in a registry as well")
	}
	if strings.HasPrefix(img.Match, "localhost/") && shortnames.IsShortName(given) {
		match, err := reference.ParseNormalizedNamed(img.Match)
		if err != nil {
			return nil, err
		}
		short := reference.Path(match)
		if t, ok := match.(reference.Tagged); ok {
			short += ":" + t.Tag()
		}
		return home(sys, short)
	}
	named, err := reference.ParseNormalizedNamed(img.Match)
	if err != nil {
		return nil, fmt.Errorf("%w %q: %w", image.ErrName, img.Match, err)
	}
	return reference.TagNameOnly(named), nil
}

// home completes the name of a destination. One without a registry is where a pull of it looks: its alias, the one
// registry for short names, or Docker Hub when there is none.
func home(sys *types.SystemContext, name string) (reference.Named, error) {
	named, err := reference.ParseNormalizedNamed(name)
	if err != nil {
		return nil, fmt.Errorf("%w %q: want [REGISTRY/]REPOSITORY[:TAG]: %w", image.ErrName, name, err)
	}
	if !shortnames.IsShortName(name) {
		return reference.TagNameOnly(named), nil
	}
	registries, err := sysregistriesv2.UnqualifiedSearchRegistries(sys)
	if err != nil {
		return nil, fmt.Errorf("%w: %w; mend it or move it away", ErrConfig, err)
	}
	repo, tag := name, ""
	if t, ok := named.(reference.Tagged); ok {
		tag = ":" + t.Tag()
		repo = strings.TrimSuffix(name, tag)
	}
	alias, _, err := sysregistriesv2.ResolveShortNameAlias(sys, repo)
	switch {
	case err != nil:
		return nil, fmt.Errorf("%w: %w; mend it or move it away", ErrConfig, err)
	case alias != nil:
		named, err = reference.ParseNormalizedNamed(alias.Name() + tag)
	case len(registries) == 1:
		named, err = reference.ParseNormalizedNamed(registries[0] + "/" + name)
	case len(registries) > 1:
		return nil, fmt.Errorf("the name has no registry, and registries.conf has several for such: %s; give the full name as the destination, such as %s/%s",
			strings.Join(registries, ", "), registries[0], name)
	}
	if err != nil {
		return nil, fmt.Errorf("%w %q: %w", image.ErrName, name, err)
	}
	return reference.TagNameOnly(named), nil
}
