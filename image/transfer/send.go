package transfer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"regexp"
	"slices"
	"strings"
	"syscall"

	"go.podman.io/image/v5/copy"
	"go.podman.io/image/v5/directory"
	"go.podman.io/image/v5/docker"
	dockerarchive "go.podman.io/image/v5/docker/archive"
	ociarchive "go.podman.io/image/v5/oci/archive"
	"go.podman.io/image/v5/oci/layout"

	imgspec "github.com/opencontainers/image-spec/specs-go/v1"
	"go.podman.io/image/v5/manifest"
	"go.podman.io/image/v5/pkg/compression"
	"go.podman.io/image/v5/signature"
	istorage "go.podman.io/image/v5/storage"
	"go.podman.io/image/v5/types"

	"github.com/proa-containers/proa/image"
	"github.com/proa-containers/proa/storage"
)

// storedImage is an image of the store as something to be copied.
func storedImage(s *storage.Store, id string) (types.ImageReference, error) {
	ref, err := istorage.Transport.NewStoreReference(s.Library(), nil, id)
	if err != nil {
		return nil, fmt.Errorf("name image in storage: %w", err)
	}
	return ref, nil
}

// send copies an image of the store to dest and returns the manifest it has there.
func send(ctx context.Context, sys *types.SystemContext, dest, src types.ImageReference, o *copy.Options) ([]byte, error) {
	// The policy was asked when the image came in.
	policy, err := signature.NewPolicyContext(&signature.Policy{Default: []signature.PolicyRequirement{signature.NewPRInsecureAcceptAnything()}})
	if err != nil {
		return nil, err
	}
	defer func() { _ = policy.Destroy() }()
	o.SourceCtx, o.DestinationCtx = sys, sys
	return copy.Image(ctx, policy, dest, src, o)
}

// manifestType is the media type of a manifest of that format; "" leaves it as it is.
func manifestType(f image.Format) string {
	switch f {
	case image.OCI:
		return imgspec.MediaTypeImageManifest
	case image.Docker:
		return manifest.DockerV2Schema2MediaType
	}
	return ""
}

// Compression is how layers are sent.
type Compression struct {
	Algorithm string // gzip, zstd or zstd:chunked; empty: gzip, and layers that are there in another way are taken
	Level     *int
	Force     bool // no layer that the registry has compressed otherwise is taken for it
}

// levels are the lowest and highest level of each algorithm.
var levels = map[string][2]int{"gzip": {1, 9}, "zstd": {1, 20}, "zstd:chunked": {1, 20}}

func (c Compression) check(f image.Format) error {
	name := c.Algorithm
	if name == "" {
		name = "gzip"
	}
	bounds, ok := levels[name]
	switch {
	case !ok:
		return fmt.Errorf("compression format %q: want gzip, zstd or zstd:chunked", name)
	case c.Level != nil && (*c.Level < bounds[0] || *c.Level > bounds[1]):
		return fmt.Errorf("compression level %d: %s has the levels %d to %d", *c.Level, name, bounds[0], bounds[1])
	case f == image.Docker && name != "gzip":
		return fmt.Errorf("compression format %q: images of the docker format have gzip alone; give --format oci", name)
	}
	return nil
}

func (c Compression) set(sys *types.SystemContext) {
	sys.CompressionLevel = c.Level
	if c.Algorithm == "" {
		return
	}
	if a, err := compression.AlgorithmByName(c.Algorithm); err == nil { // it was checked
		sys.CompressionFormat = &a
	}
}

// fileDestination is what TRANSPORT:PATH names; nil for a registry's name.
func fileDestination(to string) (types.ImageReference, error) {
	transport, rest, ok := strings.Cut(to, ":")
	if !ok {
		return nil, nil
	}
	parsers := map[string]func(string) (types.ImageReference, error){
		directory.Transport.Name(): directory.Transport.ParseReference, layout.Transport.Name(): layout.ParseReference,
		dockerarchive.Transport.Name(): dockerarchive.ParseReference, ociarchive.Transport.Name(): ociarchive.ParseReference,
	}
	parse := parsers[transport]
	if parse == nil {
		return nil, refuseTransport(transport)
	}
	ref, err := parse(rest)
	if err != nil {
		return nil, fmt.Errorf("push to %q: %w", to, err)
	}
	return ref, nil
}

// refuseTransport: some words before a colon are no registry but ways to hand an image over that proa has not.
func refuseTransport(name string) error {
	if slices.Contains([]string{"docker-daemon", "containers-storage", "ostree", "sif", "tarball", "atomic"}, name) {
		return fmt.Errorf("push to %q: want a registry, or docker-archive:, oci-archive:, oci: or dir: and a path", name+":")
	}
	return nil
}

// serverFault finds a registry's own faults in errors of the library, which have no type.
var serverFault = regexp.MustCompile(`(?i)status(?:code)?:? 5\d\d\b|received unexpected http status: 5\d\d\b|\b50[0234] (?:internal server error|bad gateway|service unavailable|gateway time-?out)`)

// passing tells whether an error may be gone when the same is tried again. unreached: so may be that nobody answers.
func passing(err error, unreached bool) bool {
	var dns *net.DNSError
	var op *net.OpError
	switch {
	case errors.Is(err, context.Canceled), errors.Is(err, syscall.ENOSPC):
		return false
	case errors.As(err, &dns), errors.Is(err, syscall.ECONNREFUSED):
		return unreached
	case errors.Is(err, docker.ErrTooManyRequests), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, io.EOF):
		return true
	case errors.As(err, &op):
		return op.Op != "remote error" // the other's TLS says no
	}
	return serverFault.MatchString(err.Error())
}
