package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/moby/buildkit/exporter/containerimage/exptypes"
	"github.com/urfave/cli/v2"
	"golang.org/x/term"

	"github.com/proa-containers/proa/build/frontend"
	"github.com/proa-containers/proa/build/output"
	"github.com/proa-containers/proa/image"
	"github.com/proa-containers/proa/storage"
)

// outputOption is an --output.
type outputOption struct {
	Type string // image, local, tar, oci or docker
	Dest string // - is standard output
}

func (o outputOption) toStdout() bool { return o.Dest == "-" }

func (o *buildOptions) parseOutput(c *cli.Context) error {
	for _, t := range c.StringSlice("tag") {
		name, err := image.LocalName(t)
		if err != nil {
			return err
		}
		o.tags = append(o.tags, name)
	}
	if err := refuseOutput(c); err != nil {
		return err
	}
	var err error
	if o.format, err = image.ParseFormat(c.String("format")); err != nil {
		return err
	}
	switch {
	case c.Bool("squash-all"):
		o.squash = "all"
	case c.Bool("squash"):
		o.squash = "new"
	}
	o.output = outputOption{Type: "image"}
	list := c.StringSlice("output")
	if len(list) > 1 {
		return errors.New("several --output at once are not supported yet; give one")
	}
	if len(list) == 1 {
		if err := o.parseOutputOption(list[0]); err != nil {
			return fmt.Errorf("--output %q: %w", list[0], err)
		}
	}
	if o.iidfile != "" && (o.output.Type == "local" || o.output.Type == "tar") {
		return fmt.Errorf("--iidfile: --output type=%s makes no image", o.output.Type)
	}
	return nil
}

// refuseOutput refuses the values of options that are there for scripts which say what is done anyway.
func refuseOutput(c *cli.Context) error {
	for _, name := range []string{"provenance", "sbom"} {
		if v := c.String(name); v != "" && v != "false" {
			return fmt.Errorf("--%s=%s: attestations are not supported yet; leave it out, or give --%s=false", name, v, name)
		}
	}
	if !c.Bool("layers") {
		return errors.New("--layers=false: every step is a layer; --squash makes one of them, and --no-cache does not use those of before")
	}
	if !c.Bool("rm") {
		return errors.New("--rm=false: the steps have no containers that could stay")
	}
	return nil
}

func (o *buildOptions) parseOutputOption(s string) error {
	if s == "-" {
		o.output = outputOption{"tar", "-"}
	} else if !strings.Contains(s, "=") {
		o.output = outputOption{"local", s}
	} else {
		f, err := fields(s)
		if err != nil {
			return err
		}
		for k, v := range f {
			switch k {
			case "type":
				o.output.Type = v
			case "dest":
				o.output.Dest = v
			case "name":
				name, err := image.LocalName(v)
				if err != nil {
					return err
				}
				o.tags = append(o.tags, name)
			default:
				return fmt.Errorf("%q is not supported; type, dest and name are", k)
			}
		}
	}
	switch o.output.Type {
	case "image":
		if o.output.Dest != "" {
			return errors.New("type=image goes to the store and has no dest")
		}
		return nil
	case "local":
		if o.output.Dest == "" || o.output.Dest == "-" {
			return errors.New("type=local needs dest=DIRECTORY")
		}
		return nil
	case "tar", "oci", "docker":
		if o.output.Dest == "" {
			o.output.Dest = "-"
		}
		if o.output.toStdout() && term.IsTerminal(1) {
			return fmt.Errorf("standard output is a terminal; give dest=FILE")
		}
		return nil
	case "registry":
		return errors.New("type=registry is not supported yet; build, and push the image then")
	}
	return errors.New("unknown type: image, local, tar, oci and docker are known")
}

// archive writes the image to where it was asked for.
func (o *buildOptions) archive(ctx context.Context, a *app, s *storage.Store, img *image.Image) error {
	return output.Archive(ctx, s, img, output.ArchiveOptions{Format: o.output.Type, Names: o.tags, Dest: o.output.Dest, Stdout: a.out})
}

// squashed is one layer in place of those that the build added, or of all.
func (o *buildOptions) squashed(ctx context.Context, s *storage.Store, top string, res *frontend.Result) (string, error) {
	keep := 0
	if raw := res.Meta[exptypes.ExporterImageBaseConfigKey]; raw != nil && o.squash == "new" {
		var base struct {
			RootFS image.RootFS `json:"rootfs"`
		}
		if err := json.Unmarshal(raw, &base); err != nil {
			return "", err
		}
		keep = len(base.RootFS.DiffIDs)
	}
	layer, config, err := output.Squash(ctx, s, top, keep, o.config(res), o.epoch)
	if err != nil {
		return "", fmt.Errorf("squashing the layers: %w", err)
	}
	res.Meta[exptypes.ExporterImageConfigKey] = config
	return layer, nil
}

// writeMeta writes what --metadata-file asks for, by BuildKit's keys.
func (o *buildOptions) writeMeta(img *image.Image) error {
	if o.meta == "" {
		return nil
	}
	doc := map[string]any{}
	if img != nil {
		doc["containerimage.config.digest"] = "sha256:" + img.ID
		doc["containerimage.digest"] = img.Digest
		doc["image.name"] = strings.Join(o.tags, ",")
	}
	b, err := json.MarshalIndent(doc, "", "  ")
	if err == nil {
		err = os.WriteFile(o.meta, append(b, '\n'), 0o644)
	}
	if err != nil {
		return fmt.Errorf("writing --metadata-file: %w", err)
	}
	return nil
}
