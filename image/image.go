// Package image owns what an image in the store is: how it is named and found, what its configuration says, how it is
// listed, inspected and removed. It links no transport; what moves images in and out is image/transfer, in proa-image.
// It runs in proa and proa-image, as root or as uid 0 of the user's namespace.
package image

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/proa-containers/proa/storage"
)

// Errors of this package; match with errors.Is.
var (
	ErrNotFound  = errors.New("no such image")
	ErrAmbiguous = errors.New("ambiguous image name")
	ErrInUse     = errors.New("image is in use")
	ErrName      = errors.New("invalid image name")
	ErrConfig    = errors.New("broken configuration file")
)

// Image is an image in the store.
type Image struct {
	ID           string        // 64 hexadecimal digits, without "sha256:"
	Names        []string      // fully qualified, with a tag or a digest
	Digest       digest.Digest // of the manifest
	Digests      []digest.Digest
	TopLayer     string
	Created      time.Time
	Size         int64 // of all layers and documents; only List and Inspect fill it
	Architecture string
	Variant      string
	OS           string
	Author       string
	Comment      string
	Config       Config
	History      []History
	RootFS       RootFS
	ReadOnly     bool // in an additional image store
	// Match is the stored name Lookup found the image by; empty when it was found by its id.
	Match string
}

// Config is the container configuration of an image: the OCI image config's, and what Docker adds to it.
type Config struct {
	Hostname        string `json:",omitempty"`
	Domainname      string `json:",omitempty"`
	User            string
	ExposedPorts    map[string]struct{} `json:",omitempty"`
	Env             []string
	Cmd             []string
	Healthcheck     *Healthcheck        `json:",omitempty"`
	ArgsEscaped     bool                `json:",omitempty"`
	Volumes         map[string]struct{} `json:",omitempty"`
	WorkingDir      string
	Entrypoint      []string
	NetworkDisabled bool     `json:",omitempty"`
	OnBuild         []string `json:",omitempty"`
	Labels          map[string]string
	StopSignal      string   `json:",omitempty"`
	StopTimeout     *int     `json:",omitempty"`
	Shell           []string `json:",omitempty"`
}

// Healthcheck is Docker's health probe; durations are nanoseconds.
type Healthcheck struct {
	Test          []string      `json:",omitempty"`
	Interval      time.Duration `json:",omitempty"`
	Timeout       time.Duration `json:",omitempty"`
	StartPeriod   time.Duration `json:",omitempty"`
	StartInterval time.Duration `json:",omitempty"`
	Retries       int           `json:",omitempty"`
}

// History is one step of how an image was made.
type History struct {
	Created    *time.Time `json:"created,omitempty"`
	CreatedBy  string     `json:"created_by,omitempty"`
	Author     string     `json:"author,omitempty"`
	Comment    string     `json:"comment,omitempty"`
	EmptyLayer bool       `json:"empty_layer,omitempty"`
}

// RootFS lists an image's layers, lowest first, by the digests of their uncompressed archives.
type RootFS struct {
	Type    string          `json:"type"`
	DiffIDs []digest.Digest `json:"diff_ids"`
}

// document is the image config as it is stored.
type document struct {
	Created      *time.Time `json:"created,omitempty"`
	Author       string     `json:"author,omitempty"`
	Comment      string     `json:"comment,omitempty"`
	Architecture string     `json:"architecture"`
	Variant      string     `json:"variant,omitempty"`
	OS           string     `json:"os"`
	Config       Config     `json:"config"`
	RootFS       RootFS     `json:"rootfs"`
	History      []History  `json:"history,omitempty"`
}

// newImage reads a stored image's configuration.
func newImage(s *storage.Store, rec storage.Image) (*Image, error) {
	data, err := configData(s, rec)
	if err != nil {
		return nil, err
	}
	var doc document
	if err := json.Unmarshal(data, &doc); err != nil {
		return nil, fmt.Errorf("read configuration of image %q: %w; remove the image and pull it again", rec.ID, err)
	}
	i := &Image{
		ID: rec.ID, Names: rec.Names, Digest: rec.Digest, Digests: rec.Digests, TopLayer: rec.TopLayer, Created: rec.Created,
		Architecture: doc.Architecture, Variant: doc.Variant, OS: doc.OS, Author: doc.Author, Comment: doc.Comment,
		Config: doc.Config, History: doc.History, RootFS: doc.RootFS, ReadOnly: rec.ReadOnly,
	}
	if doc.Created != nil {
		i.Created = *doc.Created
	}
	if i.Digest == "" && len(i.Digests) > 0 {
		i.Digest = i.Digests[0]
	}
	return i, nil
}

// Document is an image's configuration as it is stored.
func Document(s *storage.Store, i *Image) ([]byte, error) {
	rec, err := s.Image(i.ID)
	if err != nil {
		return nil, err
	}
	return configData(s, rec)
}

// configData finds the config document. An image's id is nearly always its digest; else the manifest names it.
func configData(s *storage.Store, rec storage.Image) ([]byte, error) {
	key := "sha256:" + rec.ID
	if _, ok := rec.DataSizes[key]; !ok {
		manifest, err := s.ImageData(rec.ID, "manifest")
		if err != nil {
			return nil, err
		}
		var m struct {
			SchemaVersion int `json:"schemaVersion"`
			Config        struct {
				Digest string `json:"digest"`
			} `json:"config"`
		}
		if err := json.Unmarshal(manifest, &m); err != nil {
			return nil, fmt.Errorf("read manifest of image %q: %w; remove the image and pull it again", rec.ID, err)
		}
		if m.Config.Digest == "" {
			return nil, fmt.Errorf("image %q has a manifest of schema %d, which names no configuration; pull it again", rec.ID, m.SchemaVersion)
		}
		key = m.Config.Digest
	}
	return s.ImageData(rec.ID, key)
}

// RepoTags are the image's names that have a tag.
func (i *Image) RepoTags() []string {
	tags := []string{}
	for _, n := range i.Names {
		if !strings.Contains(n, "@") {
			tags = append(tags, n)
		}
	}
	return tags
}

// RepoDigests are the image's repositories, each with every digest the image is known by.
func (i *Image) RepoDigests() []string {
	out := []string{}
	for _, n := range i.Names {
		r := splitName(n)
		for _, d := range i.Digests {
			if full := r.repo + "@" + d.String(); !slices.Contains(out, full) {
				out = append(out, full)
			}
		}
	}
	return out
}

// Command is what the image runs: its entrypoint, then its command.
func (i *Image) Command() []string { return slices.Concat(i.Config.Entrypoint, i.Config.Cmd) }
