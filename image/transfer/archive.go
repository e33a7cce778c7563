package transfer

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"go.podman.io/image/v5/copy"
	dockerarchive "go.podman.io/image/v5/docker/archive"
	"go.podman.io/image/v5/docker/reference"
	ociarchive "go.podman.io/image/v5/oci/archive"
	istorage "go.podman.io/image/v5/storage"
	"go.podman.io/image/v5/types"

	"github.com/proa-containers/proa/storage"
)

// Archive writes an image of the store to a file that is not there yet: as a docker-archive, or as an oci-archive.
func Archive(ctx context.Context, s *storage.Store, id, format, file string, names []string) error {
	dir, err := os.Open(filepath.Dir(file))
	if err != nil {
		return err
	}
	defer dir.Close()
	// The transports take no path with a colon, which the store's may have.
	file = fmt.Sprintf("/proc/self/fd/%d/%s", dir.Fd(), filepath.Base(file))
	sys, err := systemContext(s, Access{}, Platform{}, filepath.Dir(file))
	if err != nil {
		return err
	}
	policy, err := policyContext(sys)
	if err != nil {
		return err
	}
	defer func() { _ = policy.Destroy() }()
	src, err := istorage.Transport.NewStoreReference(s.Library(), nil, id)
	if err != nil {
		return err
	}
	var tagged []reference.NamedTagged
	for _, n := range names {
		named, err := reference.ParseNormalizedNamed(n)
		if err != nil {
			return err
		}
		if t, ok := named.(reference.NamedTagged); ok {
			tagged = append(tagged, t)
		}
	}
	var dest types.ImageReference
	if format == "docker" {
		w, werr := dockerarchive.NewWriter(sys, file)
		if werr != nil {
			return werr
		}
		defer w.Close()
		var first reference.NamedTagged
		if len(tagged) > 0 {
			first = tagged[0]
		}
		dest, err = w.NewReference(first)
	} else {
		name := ""
		if len(tagged) > 0 {
			name = tagged[0].String()
		}
		dest, err = ociarchive.NewReference(file, name)
	}
	if err != nil {
		return err
	}
	sys.DockerArchiveAdditionalTags = tagged[min(1, len(tagged)):]
	_, err = copy.Image(ctx, policy, dest, src, &copy.Options{SourceCtx: sys, DestinationCtx: sys})
	return err
}
