package transfer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"go.podman.io/image/v5/copy"
	"go.podman.io/image/v5/directory"
	dockerarchive "go.podman.io/image/v5/docker/archive"
	"go.podman.io/image/v5/docker/reference"
	"go.podman.io/image/v5/types"

	"github.com/proa-containers/proa/image"
	"github.com/proa-containers/proa/storage"
)

// Layout is how Save writes images.
type Layout string

// The layouts.
const (
	DockerArchive Layout = "docker-archive" // the zero value too
	OCIArchive    Layout = "oci-archive"
	OCIDir        Layout = "oci-dir"
	DockerDir     Layout = "docker-dir"
)

// ParseLayout checks a layout's name.
func ParseLayout(s string) (Layout, error) {
	switch l := Layout(s); l {
	case DockerArchive, OCIArchive, OCIDir, DockerDir:
		return l, nil
	}
	return "", fmt.Errorf("invalid --format %q: docker-archive, oci-archive, oci-dir or docker-dir", s)
}

// Directory tells whether the layout is one of a directory, and not of a single file.
func (l Layout) Directory() bool { return l == OCIDir || l == DockerDir }

// SaveOptions are those of Save and SaveDir.
type SaveOptions struct {
	Layout Layout
	// Compress the layers of a docker-dir; Uncompressed leaves those of an OCI layout as they are in the store. A
	// docker-archive has no compressed layers.
	Compress, Uncompressed bool
	Output                 Output
}

// saved is an image with the names it is to have in the archive.
type saved struct {
	id    string
	names []reference.NamedTagged
}

// Save writes images as one archive to out, each once, with the names it was asked for by: the name of a repository
// without a tag stands for all its tags, an id for no name.
func Save(ctx context.Context, s *storage.Store, refs []string, out io.Writer, o SaveOptions) error {
	return save(ctx, s, refs, o, func(w *storage.Transfer, sys *types.SystemContext, images []saved) error {
		if o.Layout != OCIArchive {
			return saveDockerArchive(ctx, sys, s, images, out, o)
		}
		dir := filepath.Join(w.Dir, "layout")
		if err := os.Mkdir(dir, 0o700); err != nil {
			return err
		}
		if err := saveOCI(ctx, sys, s, images, dir, o); err != nil {
			return err
		}
		return packLayout(ctx, dir, out)
	})
}

// SaveDir is Save into a directory, which is to be empty or absent; it has its name only when it is whole. A docker-dir
// holds one image.
func SaveDir(ctx context.Context, s *storage.Store, refs []string, dir string, o SaveOptions) error {
	if list, err := os.ReadDir(dir); err == nil && len(list) > 0 {
		return fmt.Errorf("save to %q: the directory is not empty", dir)
	} else if err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("save to %q: %w", dir, err)
	}
	return save(ctx, s, refs, o, func(_ *storage.Transfer, sys *types.SystemContext, images []saved) error {
		if o.Layout == DockerDir && len(images) > 1 {
			return fmt.Errorf("a docker-dir holds one image, not %d; save them one by one", len(images))
		}
		sweepParts(dir)
		part := partOf(dir, os.Getpid())
		if err := os.Mkdir(part, 0o755); err != nil {
			return err
		}
		err := saveInto(ctx, sys, s, images, part, o)
		if err == nil {
			err = os.Rename(part, dir)
		}
		if err != nil {
			return errors.Join(err, os.RemoveAll(part))
		}
		return nil
	})
}

// partOf is what a directory is called while a process writes it.
func partOf(dir string, pid int) string { return fmt.Sprintf("%s.part-%d", filepath.Clean(dir), pid) }

// sweepParts removes what processes left that were killed while they wrote the same directory.
func sweepParts(dir string) {
	list, _ := os.ReadDir(filepath.Dir(filepath.Clean(dir)))
	for _, e := range list {
		rest, ok := strings.CutPrefix(e.Name(), filepath.Base(dir)+".part-")
		pid, err := strconv.Atoi(rest)
		if ok && err == nil && errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) {
			_ = os.RemoveAll(partOf(dir, pid))
		}
	}
}

func save(ctx context.Context, s *storage.Store, refs []string, o SaveOptions, write func(*storage.Transfer, *types.SystemContext, []saved) error) error {
	images, err := savedImages(s, refs)
	if err != nil {
		return err
	}
	w, err := s.NewTransfer()
	if err != nil {
		return err
	}
	defer w.Close()
	sys, err := systemContext(s, Access{}, Platform{}, w.Dir)
	if err != nil {
		return err
	}
	sys.DirForceCompress, sys.OCIAcceptUncompressedLayers = o.Compress, o.Uncompressed
	err = write(w, sys, images)
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return fmt.Errorf("save: %w, nothing was kept", ErrInterrupted)
	}
	if r, ok := match(err, task{store: s}.remedies()); ok && errors.Is(r.kind, ErrNoSpace) {
		return fmt.Errorf("save: %w; free space where the archive goes and in %s (%w)", ErrNoSpace, s.GraphRoot(), oneLine{err})
	}
	return fmt.Errorf("save: %w", oneLine{err})
}

// savedImages finds the images, in the order they were asked for.
func savedImages(s *storage.Store, refs []string) ([]saved, error) {
	var out []saved
	at := map[string]int{}
	seen := map[string]bool{}
	for _, ref := range refs {
		names, err := namesOf(s, ref)
		if err != nil {
			return nil, fmt.Errorf("save: %w", err)
		}
		for _, n := range names {
			img, err := image.Lookup(s, n)
			if err != nil {
				return nil, fmt.Errorf("save: %w", err)
			}
			i, ok := at[img.ID]
			if !ok {
				i, at[img.ID] = len(out), len(out)
				out = append(out, saved{id: img.ID})
			}
			named, err := reference.ParseNormalizedNamed(img.Match)
			if tagged, ok := named.(reference.NamedTagged); err == nil && ok && !seen[img.Match] {
				seen[img.Match] = true
				out[i].names = append(out[i].names, tagged)
			}
		}
	}
	return out, nil
}

// namesOf are the names that ref stands for; ref itself when that is no repository's.
func namesOf(s *storage.Store, ref string) ([]string, error) {
	if image.HasTag(ref) {
		return []string{ref}, nil
	}
	tags, err := image.Tags(s, ref)
	if errors.Is(err, image.ErrNotFound) || errors.Is(err, image.ErrName) {
		return []string{ref}, nil // an id, or Lookup says what is wrong
	}
	return tags, err
}

// saveDockerArchive has the library write into a pipe: it takes the path of a file alone.
func saveDockerArchive(ctx context.Context, sys *types.SystemContext, s *storage.Store, images []saved, out io.Writer, o SaveOptions) error {
	r, w, err := os.Pipe()
	if err != nil {
		return err
	}
	copied := make(chan error, 1)
	go func() {
		_, err := io.Copy(out, r)
		copied <- errors.Join(err, r.Close()) // closed, it ends who writes to it
	}()
	archive, err := dockerarchive.NewWriter(sys, fmt.Sprintf("/proc/self/fd/%d", w.Fd()))
	if err == nil {
		err = saveAll(ctx, sys, s, images, o, func(img saved) (types.ImageReference, error) {
			if len(img.names) == 0 {
				return archive.NewReference(nil)
			}
			sys.DockerArchiveAdditionalTags = img.names[1:]
			return archive.NewReference(img.names[0])
		})
		err = errors.Join(err, archive.Close())
	}
	_ = w.Close() // the copying ends with the last who writes
	return errors.Join(<-copied, err)
}

// saveInto writes a directory, which is named by its descriptor: the transports take no path with a colon.
func saveInto(ctx context.Context, sys *types.SystemContext, s *storage.Store, images []saved, dir string, o SaveOptions) error {
	if o.Layout == OCIDir {
		return saveOCI(ctx, sys, s, images, dir, o)
	}
	return saveAll(ctx, sys, s, images, o, func(saved) (types.ImageReference, error) { return directory.NewReference(dir) })
}

func saveAll(ctx context.Context, sys *types.SystemContext, s *storage.Store, images []saved, o SaveOptions, to func(saved) (types.ImageReference, error)) error {
	format := image.OCI
	if o.Layout != OCIDir && o.Layout != OCIArchive {
		format = image.Docker
	}
	for _, img := range images {
		src, err := storedImage(s, img.id)
		if err != nil {
			return err
		}
		dest, err := to(img)
		if err != nil {
			return err
		}
		progress := startProgress(o.Output, "saving")
		_, err = send(ctx, sys, dest, src, &copy.Options{
			RemoveSignatures: true, // no layout but docker-dir has a place for them
			Progress:         progress.events, ProgressInterval: progress.interval, ForceManifestMIMEType: manifestType(format),
		})
		progress.stop(err == nil)
		if err != nil {
			return err
		}
	}
	return nil
}
