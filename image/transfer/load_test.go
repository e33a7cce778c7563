package transfer

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"

	"github.com/proa-containers/proa/image"
)

// dockerArchive is what docker save writes.
func dockerArchive(t *testing.T, layer []byte, names ...string) []byte {
	t.Helper()
	config, err := json.Marshal(map[string]any{
		"architecture": hostArch, "os": "linux", "config": map[string]any{},
		"rootfs": map[string]any{"type": "layers", "diff_ids": []digest.Digest{digest.FromBytes(layer)}},
	})
	if err != nil {
		t.Fatal(err)
	}
	manifest, err := json.Marshal([]any{map[string]any{"Config": "config.json", "RepoTags": names, "Layers": []string{"layer.tar"}}})
	if err != nil {
		t.Fatal(err)
	}
	return archive(t, file("layer.tar", string(layer)), file("config.json", string(config)), file("manifest.json", string(manifest)))
}

// ociArchive is what an oci-archive has, with the index's annotations given.
func ociArchive(t *testing.T, layer []byte, annotations map[string]string) []byte {
	t.Helper()
	r := newRegistry(t)
	d := r.push(t, "1", hostArch, layer)
	manifest := r.content["/v2/x/manifests/1"]
	index, err := json.Marshal(map[string]any{"schemaVersion": 2, "manifests": []any{
		map[string]any{"mediaType": typeManifest, "digest": d, "size": len(manifest), "annotations": annotations},
	}})
	if err != nil {
		t.Fatal(err)
	}
	entries := []entry{file("oci-layout", `{"imageLayoutVersion":"1.0.0"}`), file("index.json", string(index)), file("blobs/sha256/"+d.Encoded(), string(manifest))}
	for path, data := range r.content {
		if hex, ok := strings.CutPrefix(path, "/v2/x/blobs/sha256:"); ok {
			entries = append(entries, file("blobs/sha256/"+hex, string(data)))
		}
	}
	return archive(t, entries...)
}

func TestLoad(t *testing.T) {
	layer := archive(t, file("a", "1"))
	for name, c := range map[string]struct {
		archive []byte
		want    string
	}{
		"docker":           {dockerArchive(t, layer, "x.example/a:1", "b:2"), "x.example/a:1 docker.io/library/b:2"},
		"docker nameless":  {dockerArchive(t, layer), ""},
		"docker gzip":      {compress(t, dockerArchive(t, layer, "x.example/a:1")), "x.example/a:1"},
		"oci":              {ociArchive(t, layer, map[string]string{"org.opencontainers.image.ref.name": "x.example/a:1"}), "x.example/a:1"},
		"oci gzip":         {compress(t, ociArchive(t, layer, map[string]string{"org.opencontainers.image.ref.name": "x.example/a:1"})), "x.example/a:1"},
		"oci tag alone":    {ociArchive(t, layer, map[string]string{"org.opencontainers.image.ref.name": "latest"}), ""},
		"oci containerd's": {ociArchive(t, layer, map[string]string{"io.containerd.image.name": "docker.io/library/c:2", "org.opencontainers.image.ref.name": "2"}), "docker.io/library/c:2"},
	} {
		t.Run(name, func(t *testing.T) {
			s := open(t, "16m")
			loaded, err := Load(context.Background(), s, bytes.NewReader(c.archive), name, Output{})
			if err != nil {
				t.Fatal(err)
			}
			if len(loaded) != 1 || strings.Join(loaded[0].Names, " ") != c.want {
				t.Fatalf("loaded %+v, want the names %q", loaded, c.want)
			}
			for _, ref := range append(loaded[0].Names, loaded[0].ID) {
				if i, err := image.Lookup(s, ref); err != nil || i.ID != loaded[0].ID {
					t.Errorf("%s: %v, %v", ref, i, err)
				}
			}
		})
	}
}

func TestLoadFailures(t *testing.T) {
	layer := archive(t, file("a", strings.Repeat("x", 1<<16)))
	docker, oci := dockerArchive(t, layer, "x.example/a:1"), ociArchive(t, layer, nil)
	var escape bytes.Buffer
	escape.Write(archive(t, file("index.json", "{}"), file("../../evil", "x")))
	for name, c := range map[string]struct {
		archive []byte
		want    error
	}{
		"empty":                   {nil, ErrArchive},
		"not an archive":          {bytes.Repeat([]byte("no archive "), 1000), ErrArchive},
		"another tar":             {layer, ErrArchive},
		"docker truncated":        {docker[:len(docker)/2], ErrCorrupt},
		"oci truncated":           {oci[:len(oci)-4096], nil},
		"gzip truncated":          {compress(t, docker)[:200], ErrCorrupt},
		"oci path traversal":      {escape.Bytes(), ErrArchive},
		"bad name":                {dockerArchive(t, layer, "UPPER CASE"), ErrArchive},
		"layer of another digest": {bytes.Replace(docker, []byte(digest.FromBytes(layer).Encoded()), []byte(strings.Repeat("0", 64)), 1), nil},
	} {
		t.Run(name, func(t *testing.T) {
			s := open(t, "16m")
			loaded, err := Load(context.Background(), s, bytes.NewReader(c.archive), "the file", Output{})
			if err == nil || c.want != nil && !errors.Is(err, c.want) {
				t.Errorf("loaded %v, error is %v, want %v", loaded, err, c.want)
			}
			emptyStore(t, s)
		})
	}
}

func TestLoadCancelled(t *testing.T) {
	s := open(t, "16m")
	ctx, cancel := context.WithCancel(context.Background())
	pipe, w := io.Pipe()
	go func() {
		_, _ = w.Write(dockerArchive(t, archive(t, file("a", "1")), "x.example/a:1"))
		cancel()
		w.Close()
	}()
	if _, err := Load(ctx, s, pipe, "pipe", Output{}); !errors.Is(err, ErrInterrupted) {
		t.Errorf("error is %v, want ErrInterrupted", err)
	}
	emptyStore(t, s)
}
