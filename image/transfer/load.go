package transfer

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	dockerarchive "go.podman.io/image/v5/docker/archive"
	"go.podman.io/image/v5/docker/reference"
	cimage "go.podman.io/image/v5/image"
	"go.podman.io/image/v5/oci/layout"
	"go.podman.io/image/v5/pkg/compression"
	"go.podman.io/image/v5/types"

	"github.com/proa-containers/proa/storage"
)

// ErrArchive says that a file is no image archive.
var ErrArchive = errors.New("not an image archive")

// Loaded is an image that Load brought in.
type Loaded struct {
	ID    string
	Names []string
}

// Load brings the images of a docker-archive or oci-archive into the store, compressed or not. name is only for errors.
// Every image is loaded or, on an error, those after the one that failed are not; layers of the failed one are removed.
func Load(ctx context.Context, s *storage.Store, in io.Reader, name string, out Output) ([]Loaded, error) {
	w, err := s.NewTransfer()
	if err != nil {
		return nil, err
	}
	defer w.Close()
	loaded, err := load(ctx, w, in, out)
	if err != nil {
		w.Undo()
		return loaded, fmt.Errorf("load %q: %w", name, explainLoad(ctx, err, s))
	}
	return loaded, nil
}

func explainLoad(ctx context.Context, err error, s *storage.Store) error {
	if ctx.Err() != nil {
		return fmt.Errorf("%w, nothing was kept", ErrInterrupted)
	}
	if errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("%w: it ends too early; make or copy the archive again (%w)", ErrCorrupt, oneLine{err})
	}
	if errors.Is(err, ErrArchive) || errors.Is(err, ErrConfig) {
		return err
	}
	if r, ok := match(err, task{store: s}.remedies()); ok && (errors.Is(r.kind, ErrNoSpace) || errors.Is(r.kind, ErrCorrupt)) {
		if errors.Is(r.kind, ErrCorrupt) {
			r.text = "nothing was kept; make or copy the archive again"
		}
		return fmt.Errorf("%w; %s (%w)", r.kind, r.text, oneLine{err})
	}
	return err
}

func load(ctx context.Context, w *storage.Transfer, in io.Reader, out Output) ([]Loaded, error) {
	// The archives' transports take no path with a colon, which the store's may have.
	dir, err := os.Open(w.Dir)
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	work := fmt.Sprintf("/proc/self/fd/%d", dir.Fd())
	file, err := plainFile(ctx, work, in)
	if err != nil {
		return nil, err
	}
	kind, err := kindOf(file)
	if err != nil {
		return nil, err
	}
	sys, err := systemContext(w.Store, Access{}, Platform{}, w.Dir)
	if err != nil {
		return nil, err
	}
	if kind == "docker" {
		return loadDocker(ctx, w, sys, file, out)
	}
	return loadOCI(ctx, w, sys, work, file, out)
}

// plainFile puts the uncompressed archive into the workspace; the archive formats need to be read at random.
func plainFile(ctx context.Context, dir string, in io.Reader) (string, error) {
	plain, _, err := compression.AutoDecompress(in)
	if err != nil {
		return "", fmt.Errorf("%w: %w", ErrArchive, err)
	}
	defer plain.Close()
	f, err := os.CreateTemp(dir, "archive-")
	if err != nil {
		return "", err
	}
	defer f.Close()
	if _, err := io.Copy(f, &cancelReader{ctx, plain}); err != nil {
		return "", err
	}
	return f.Name(), f.Close()
}

type cancelReader struct {
	ctx context.Context
	in  io.Reader
}

func (c *cancelReader) Read(p []byte) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, err
	}
	return c.in.Read(p)
}

// kindOf looks for manifest.json, which makes a docker-archive (newer ones are OCI layouts too), and index.json.
func kindOf(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	oci := false
	for r := tar.NewReader(f); ; {
		h, err := r.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			return "", fmt.Errorf("%w (docker-archive or oci-archive, as docker save and podman save make them): %w", ErrArchive, err)
		}
		switch filepath.Clean(h.Name) {
		case "manifest.json":
			return "docker", nil
		case "index.json":
			oci = true
		}
	}
	if !oci {
		return "", fmt.Errorf("%w: it has neither a manifest.json (docker-archive) nor an index.json (oci-archive); a root file system runs without an image, with proa run --rootfs", ErrArchive)
	}
	return "oci", nil
}

func loadDocker(ctx context.Context, w *storage.Transfer, sys *types.SystemContext, file string, out Output) ([]Loaded, error) {
	r, err := dockerarchive.NewReader(sys, file)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrArchive, err)
	}
	defer r.Close()
	list, err := r.List()
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrArchive, err)
	}
	var loaded []Loaded
	for _, refs := range list {
		// Each reference is one name of the same image.
		var names []string
		for _, ref := range refs {
			tags, err := r.ManifestTagsForReference(ref)
			if err != nil {
				return loaded, fmt.Errorf("%w: %w", ErrArchive, err)
			}
			names = append(names, tags...)
		}
		one, err := loadOne(ctx, w, sys, refs[0], names, out)
		if err != nil {
			return loaded, err
		}
		loaded = append(loaded, one)
	}
	return loaded, nil
}

func loadOCI(ctx context.Context, w *storage.Transfer, sys *types.SystemContext, dir, file string, out Output) ([]Loaded, error) {
	root := filepath.Join(dir, "layout")
	if err := unpack(ctx, file, root); err != nil {
		return nil, err
	}
	list, err := layout.List(root)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrArchive, err)
	}
	var loaded []Loaded
	for n, l := range list {
		ref, err := layout.NewIndexReference(root, n)
		if err != nil {
			return loaded, err
		}
		var names []string
		for _, key := range []string{"io.containerd.image.name", "org.opencontainers.image.ref.name"} {
			// A bare tag as ref.name says nothing of the repository.
			if v := l.ManifestDescriptor.Annotations[key]; v != "" && tagged(v) {
				names = append(names, v)
				break
			}
		}
		one, err := loadOne(ctx, w, sys, ref, names, out)
		if err != nil {
			return loaded, err
		}
		loaded = append(loaded, one)
	}
	return loaded, nil
}

// tagged: the value is NAME:TAG.
func tagged(v string) bool {
	n, err := reference.ParseNormalizedNamed(v)
	if err != nil {
		return false
	}
	_, ok := n.(reference.Tagged)
	return ok
}

func loadOne(ctx context.Context, w *storage.Transfer, sys *types.SystemContext, ref types.ImageReference, names []string, out Output) (Loaded, error) {
	var full []string
	var first reference.Named
	for _, n := range names {
		named, err := reference.ParseNormalizedNamed(n)
		if err != nil {
			return Loaded{}, fmt.Errorf("%w: name %q in it: %w", ErrArchive, n, err)
		}
		named = reference.TagNameOnly(named)
		if first == nil {
			first = named
		}
		full = append(full, named.String())
	}
	source, err := ref.NewImageSource(ctx, sys)
	if err != nil {
		return Loaded{}, err
	}
	src := &opened{ref, source}
	if err := checkPlatform(ctx, sys, src, Platform{}); err != nil && !errors.Is(err, ErrPlatform) {
		return Loaded{}, errors.Join(err, source.Close())
	} else if err != nil {
		out.printf("warning: %v", err)
	}
	id := ""
	if first == nil {
		if id, err = configID(ctx, sys, src); err != nil {
			return Loaded{}, errors.Join(err, source.Close())
		}
	}
	if id, err = copyImage(ctx, w, sys, src, first, id, out); err != nil {
		return Loaded{}, err
	}
	if len(full) > 1 {
		if err := w.Store.AddNames(id, full[1:]); err != nil {
			return Loaded{}, err
		}
	}
	return Loaded{ID: id, Names: full}, nil
}

// configID is the id of an image without a name: the digest of its configuration.
func configID(ctx context.Context, sys *types.SystemContext, src *opened) (string, error) {
	img, err := cimage.FromUnparsedImage(ctx, sys, cimage.UnparsedInstance(src.source, nil))
	if err != nil {
		return "", err
	}
	return img.ConfigInfo().Digest.Encoded(), nil
}
