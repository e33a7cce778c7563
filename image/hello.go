package image

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/proa-containers/proa/storage"
)

// HelloName is the name of the built-in image.
const HelloName = "localhost/proa/hello:latest"

// EnsureHello makes the built-in image from a static program, without any network, and returns it. The image's id is
// the hash of its content, so that a second call, or two at once, finds it made; a call with another program moves the
// name to a new image and removes the old one unless a container uses it.
func EnsureHello(s *storage.Store, binary []byte) (*Image, error) {
	layer, err := helloLayer(binary)
	if err != nil {
		return nil, fmt.Errorf("make built-in image: %w", err)
	}
	diffID := digest.FromBytes(layer)
	config, manifest, err := helloDocuments(diffID, int64(len(layer)))
	if err != nil {
		return nil, fmt.Errorf("make built-in image: %w", err)
	}
	id := digest.FromBytes(config).Encoded()
	rec, err := s.Image(id)
	if err == nil {
		if !slices.Contains(rec.Names, HelloName) {
			if err := s.AddNames(id, []string{HelloName}); err != nil {
				return nil, err
			}
			if rec, err = s.Image(id); err != nil {
				return nil, err
			}
		}
		return newImage(s, rec)
	}
	if !errors.Is(err, storage.ErrNotFound) {
		return nil, err
	}
	old, oldErr := s.Image(HelloName)
	// The layer's id is what the transports would call it too: that of a lowest layer is its uncompressed digest.
	if _, err := s.PutLayer(diffID.Encoded(), "", bytes.NewReader(layer)); err != nil && !errors.Is(err, storage.ErrExists) {
		return nil, fmt.Errorf("make built-in image: %w", err)
	}
	// Named afterwards: creation does not take a name from another image. A crash between is mended by the next call.
	_, err = s.CreateImage(storage.NewImage{
		ID: id, TopLayer: diffID.Encoded(), Manifest: manifest, Config: config, Created: helloCreated(),
	})
	if err != nil && !errors.Is(err, storage.ErrExists) { // another process was faster
		return nil, fmt.Errorf("make built-in image: %w", err)
	}
	if err := s.AddNames(id, []string{HelloName}); err != nil {
		return nil, fmt.Errorf("make built-in image: %w", err)
	}
	if rec, err = s.Image(id); err != nil {
		return nil, fmt.Errorf("make built-in image: %w", err)
	}
	if oldErr == nil && old.ID != id && len(old.Names) == 1 {
		if _, err := s.DeleteImage(old.ID); err != nil && !errors.Is(err, storage.ErrInUse) && !errors.Is(err, storage.ErrNotFound) {
			return nil, err
		}
	}
	return newImage(s, rec)
}

// helloCreated is a constant, for the image's id to depend on its program alone.
func helloCreated() time.Time { return time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC) }

func helloLayer(binary []byte) ([]byte, error) {
	var buf bytes.Buffer
	w := tar.NewWriter(&buf)
	// Mount points, so that the image runs with a read-only root too.
	for _, dir := range []string{"dev/", "etc/", "proc/", "sys/", "tmp/"} {
		mode := int64(0o755)
		if dir == "tmp/" {
			mode = 0o1777
		}
		if err := w.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: dir, Mode: mode, ModTime: helloCreated()}); err != nil {
			return nil, err
		}
	}
	if err := w.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: "hello", Mode: 0o755, Size: int64(len(binary)), ModTime: helloCreated()}); err != nil {
		return nil, err
	}
	if _, err := w.Write(binary); err != nil {
		return nil, err
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return buf.Bytes(), nil
}

func helloDocuments(diffID digest.Digest, size int64) (config, manifest []byte, err error) {
	created := helloCreated()
	config, err = json.Marshal(document{
		Created: &created, Architecture: runtime.GOARCH, OS: "linux",
		Config: Config{
			Env:        []string{"PATH=/"},
			Entrypoint: []string{"/hello", "hello"},
			WorkingDir: "/",
			Labels:     map[string]string{"org.opencontainers.image.title": "hello", "org.opencontainers.image.licenses": "Apache-2.0"},
		},
		RootFS:  RootFS{Type: "layers", DiffIDs: []digest.Digest{diffID}},
		History: []History{{Created: &created, CreatedBy: "proa"}},
	})
	if err != nil {
		return nil, nil, err
	}
	type descriptor struct {
		MediaType string        `json:"mediaType"`
		Digest    digest.Digest `json:"digest"`
		Size      int64         `json:"size"`
	}
	manifest, err = json.Marshal(struct {
		SchemaVersion int          `json:"schemaVersion"`
		MediaType     string       `json:"mediaType"`
		Config        descriptor   `json:"config"`
		Layers        []descriptor `json:"layers"`
	}{
		2, "application/vnd.oci.image.manifest.v1+json",
		descriptor{"application/vnd.oci.image.config.v1+json", digest.FromBytes(config), int64(len(config))},
		[]descriptor{{"application/vnd.oci.image.layer.v1.tar", diffID, size}},
	})
	return config, manifest, err
}
