package harness

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
)

// BaseName is the image the tests run: busybox and a few files, built by Busybox.
const BaseName = "localhost/proa-test/busybox:latest"

// Entry is one member of a layer. A zero Type is a file, or a directory when Name ends in a slash.
type Entry struct {
	Name, Content, Link string
	Mode                int64
	UID, GID            int
	Type                byte
	Major, Minor        int64
}

// Layer is an uncompressed tar of the entries, in order.
func Layer(entries ...Entry) []byte {
	var buf bytes.Buffer
	w := tar.NewWriter(&buf)
	for _, e := range entries {
		h := &tar.Header{Name: e.Name, Mode: e.Mode, Uid: e.UID, Gid: e.GID, Typeflag: e.Type, Linkname: e.Link,
			Devmajor: e.Major, Devminor: e.Minor, Format: tar.FormatPAX}
		switch {
		case e.Type != 0:
		case strings.HasSuffix(e.Name, "/"):
			h.Typeflag = tar.TypeDir
		default:
			h.Typeflag = tar.TypeReg
		}
		if h.Typeflag == tar.TypeReg {
			h.Size = int64(len(e.Content))
		}
		if h.Mode == 0 {
			h.Mode = 0o755
		}
		// The headers are ours: writing to a buffer fails only for a malformed one.
		if err := w.WriteHeader(h); err != nil {
			panic(err)
		}
		if h.Typeflag == tar.TypeReg {
			if _, err := w.Write([]byte(e.Content)); err != nil {
				panic(err)
			}
		}
	}
	if err := w.Close(); err != nil {
		panic(err)
	}
	return buf.Bytes()
}

// Config is the part of an image's configuration that the tests set.
type Config struct {
	Env          []string            `json:"Env,omitempty"`
	Cmd          []string            `json:"Cmd,omitempty"`
	Entrypoint   []string            `json:"Entrypoint,omitempty"`
	ExposedPorts map[string]struct{} `json:"ExposedPorts,omitempty"`
	WorkingDir   string              `json:"WorkingDir,omitempty"`
	User         string              `json:"User,omitempty"`
	StopSignal   string              `json:"StopSignal,omitempty"`
	Volumes      map[string]struct{} `json:"Volumes,omitempty"`
	Labels       map[string]string   `json:"Labels,omitempty"`
	Healthcheck  any                 `json:",omitempty"`
}

// Image is an image to be archived or pushed; Arch defaults to this machine's, Created to a constant.
type Image struct {
	Config  Config
	Layers  [][]byte
	Arch    string
	Created string // RFC 3339
}

// ConfigJSON is the image's configuration blob.
func (i Image) ConfigJSON() []byte {
	arch := i.Arch
	if arch == "" {
		arch = runtime.GOARCH
	}
	created := i.Created
	if created == "" {
		created = "2024-01-01T00:00:00Z"
	}
	diffs := make([]string, len(i.Layers))
	for n, l := range i.Layers {
		diffs[n] = Digest(l)
	}
	return mustJSON(map[string]any{
		"architecture": arch, "os": "linux", "created": created, "config": i.Config,
		"rootfs": map[string]any{"type": "layers", "diff_ids": diffs},
	})
}

// DockerArchive is the image as `docker save` writes it.
func (i Image) DockerArchive(tags ...string) []byte {
	config := i.ConfigJSON()
	name := strings.TrimPrefix(Digest(config), "sha256:") + ".json"
	var entries []Entry
	var layers []string
	for _, l := range i.Layers {
		f := strings.TrimPrefix(Digest(l), "sha256:") + ".tar"
		layers = append(layers, f)
		entries = append(entries, Entry{Name: f, Content: string(l), Mode: 0o644})
	}
	entries = append(entries, Entry{Name: name, Content: string(config), Mode: 0o644},
		Entry{Name: "manifest.json", Mode: 0o644, Content: string(mustJSON([]any{map[string]any{
			"Config": name, "RepoTags": tags, "Layers": layers}}))})
	return Layer(entries...)
}

// OCIArchive is the image as an OCI layout in a tar, its only manifest named by ref.
func (i Image) OCIArchive(ref string) []byte {
	manifest, blobs := i.Manifest(ociTypes, func(b []byte) []byte { return b })
	index := mustJSON(map[string]any{"schemaVersion": 2, "manifests": []any{map[string]any{
		"mediaType": ociTypes.manifest, "digest": Digest(manifest), "size": len(manifest),
		"annotations": map[string]string{"org.opencontainers.image.ref.name": ref}}}})
	entries := []Entry{{Name: "oci-layout", Content: `{"imageLayoutVersion":"1.0.0"}`, Mode: 0o644},
		{Name: "index.json", Content: string(index), Mode: 0o644}, {Name: "blobs/"}, {Name: "blobs/sha256/"}}
	for _, b := range append(blobs, manifest) {
		entries = append(entries, Entry{Name: "blobs/sha256/" + strings.TrimPrefix(Digest(b), "sha256:"), Content: string(b), Mode: 0o644})
	}
	return Layer(entries...)
}

type mediaTypes struct{ manifest, config, layer string }

var ociTypes = mediaTypes{"application/vnd.oci.image.manifest.v1+json", "application/vnd.oci.image.config.v1+json",
	"application/vnd.oci.image.layer.v1.tar"}

// DockerTypes are the media types of an image manifest, version 2, schema 2, with gzipped layers.
var DockerTypes = mediaTypes{"application/vnd.docker.distribution.manifest.v2+json",
	"application/vnd.docker.container.image.v1+json", "application/vnd.docker.image.rootfs.diff.tar.gzip"}

// Manifest is the image's manifest and the blobs it names; pack turns a layer into what is transferred.
func (i Image) Manifest(mt mediaTypes, pack func([]byte) []byte) (manifest []byte, blobs [][]byte) {
	config := i.ConfigJSON()
	blobs = append(blobs, config)
	layers := []any{}
	for _, l := range i.Layers {
		b := pack(l)
		blobs = append(blobs, b)
		layers = append(layers, map[string]any{"mediaType": mt.layer, "digest": Digest(b), "size": len(b)})
	}
	return mustJSON(map[string]any{"schemaVersion": 2, "mediaType": mt.manifest, "layers": layers,
		"config": map[string]any{"mediaType": mt.config, "digest": Digest(config), "size": len(config)}}), blobs
}

// Digest is the sha256 digest of b in the form a manifest uses.
func Digest(b []byte) string {
	sum := sha256.Sum256(b)
	return "sha256:" + hex.EncodeToString(sum[:])
}

func mustJSON(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return b
}

// Busybox is an image of the machine's static busybox: one file, a link per applet, a user and a group beside root's.
func Busybox() (Image, error) {
	path, err := exec.LookPath("busybox")
	if err != nil {
		return Image{}, fmt.Errorf("build the base image (install busybox-static): %w", err)
	}
	if path, err = filepath.EvalSymlinks(path); err != nil {
		return Image{}, err
	}
	bin, err := os.ReadFile(path)
	if err != nil {
		return Image{}, err
	}
	list, err := exec.Command(path, "--list").Output()
	if err != nil {
		return Image{}, err
	}
	if len(list) == 0 {
		return Image{}, errors.New("build the base image: busybox --list names no applet")
	}
	entries := []Entry{{Name: "bin/"}, {Name: "etc/"}, {Name: "root/", Mode: 0o700}, {Name: "home/"},
		{Name: "home/alice/", UID: 1000, GID: 1000}, {Name: "tmp/", Mode: 0o1777}, {Name: "var/"}, {Name: "srv/"},
		{Name: "etc/passwd", Mode: 0o644, Content: "root:x:0:0:root:/root:/bin/sh\nalice:x:1000:1000::/home/alice:/bin/sh\n"},
		{Name: "etc/group", Mode: 0o644, Content: "root:x:0:\nalice:x:1000:\naudio:x:29:alice\n"},
		{Name: "etc/notexec", Mode: 0o644, Content: "data\n"},
		{Name: "bin/busybox", Content: string(bin)}}
	for _, a := range strings.Fields(string(list)) {
		if a != "busybox" {
			entries = append(entries, Entry{Name: "bin/" + a, Type: tar.TypeSymlink, Link: "busybox"})
		}
	}
	return Image{Layers: [][]byte{Layer(entries...)},
		Config: Config{Env: []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}, Cmd: []string{"sh"}}}, nil
}
