package transfer

import (
	"archive/tar"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"

	imgspec "github.com/opencontainers/image-spec/specs-go/v1"
	"go.podman.io/image/v5/oci/layout"
	"go.podman.io/image/v5/types"

	"github.com/proa-containers/proa/storage"
)

// saveOCI writes an OCI layout, each image once.
func saveOCI(ctx context.Context, sys *types.SystemContext, s *storage.Store, images []saved, dir string, o SaveOptions) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	path := fmt.Sprintf("/proc/self/fd/%d", d.Fd())
	err = saveAll(ctx, sys, s, images, o, func(img saved) (types.ImageReference, error) {
		if len(img.names) == 0 {
			return layout.NewReference(path, "")
		}
		return layout.NewReference(path, img.names[0].String())
	})
	if err != nil {
		return err
	}
	return nameInIndex(filepath.Join(dir, imgspec.ImageIndexFile), images)
}

// nameInIndex adds an entry to a layout's index for each further name of its images.
func nameInIndex(file string, images []saved) error {
	data, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	var index imgspec.Index
	if err := json.Unmarshal(data, &index); err != nil {
		return err
	}
	entries := map[string]imgspec.Descriptor{}
	for _, e := range index.Manifests {
		entries[e.Annotations[imgspec.AnnotationRefName]] = e
	}
	for _, img := range images {
		for _, n := range img.names[min(1, len(img.names)):] {
			e := entries[img.names[0].String()]
			e.Annotations = maps.Clone(e.Annotations)
			e.Annotations[imgspec.AnnotationRefName] = n.String()
			index.Manifests = append(index.Manifests, e)
		}
	}
	if data, err = json.Marshal(index); err != nil {
		return err
	}
	return os.WriteFile(file, data, 0o644)
}

// packLayout writes a directory's files as a tar.
func packLayout(ctx context.Context, dir string, out io.Writer) error {
	w := tar.NewWriter(out)
	err := filepath.WalkDir(dir, func(path string, e os.DirEntry, err error) error {
		if err != nil || path == dir {
			return err
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		info, err := e.Info()
		if err != nil {
			return err
		}
		name, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		if e.IsDir() {
			return w.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: name + "/", Mode: 0o755, ModTime: info.ModTime()})
		}
		if err := w.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o644, Size: info.Size(), ModTime: info.ModTime()}); err != nil {
			return err
		}
		f, err := os.Open(path)
		if err != nil {
			return err
		}
		defer f.Close()
		_, err = io.Copy(w, f)
		return err
	})
	return errors.Join(err, w.Close())
}
