package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/proa-containers/proa/image"
	"github.com/proa-containers/proa/libpod"
	"github.com/proa-containers/proa/libpod/network"
	"github.com/proa-containers/proa/libpod/volume"
	"github.com/urfave/cli/v2"
)

func newInspectCommand(a *app, kind string) *cli.Command {
	return &cli.Command{
		Name:      "inspect",
		Usage:     "show all there is to know of containers, images, networks and volumes, as JSON",
		ArgsUsage: "NAME [NAME...]",
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "format", Aliases: []string{"f"}, Usage: "json or a Go `TEMPLATE` for each"},
			&cli.StringFlag{Name: "type", Value: kind, Usage: "only look for a `container`, an image, a network or a volume"},
			&cli.BoolFlag{Name: "size", Aliases: []string{"s"}, Usage: "measure what containers wrote, as SizeRw, and that with their image, as SizeRootFs"},
			latestFlag(),
		},
		Action: objectErrors(func(c *cli.Context) error { return runInspect(a, c) }),
	}
}

func runInspect(a *app, c *cli.Context) error {
	kind := c.String("type")
	if kind != "" && kind != "container" && kind != "image" && kind != "volume" && kind != "network" {
		return fmt.Errorf("invalid --type %q: container, image, network or volume", kind)
	}
	switch {
	case c.Bool("latest") && (c.Args().Present() || kind != "" && kind != "container"):
		return errors.New("inspect takes either --latest, which is a container, or names, not both")
	case c.NArg() == 0 && !c.Bool("latest"):
		return errors.New("inspect takes at least one container, image, network or volume")
	}
	var t *rowTemplate
	var err error
	if f := c.String("format"); f != "json" {
		if t, err = parseTemplate(f); err != nil {
			return err
		}
	}
	e, err := a.engine(c.Context)
	if err != nil {
		return err
	}
	refs := c.Args().Slice()
	if c.Bool("latest") {
		list, _, err := choose(c, e, nil)
		if err != nil {
			return err
		}
		kind, refs = "container", []string{list[0].ID}
	}
	found, errs := []any{}, []error(nil)
	for _, ref := range refs {
		v, err := inspectOne(c, e, kind, ref)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		found = append(found, v)
	}
	if t == nil {
		enc := json.NewEncoder(a.out)
		enc.SetEscapeHTML(false)
		enc.SetIndent("", "    ")
		errs = append(errs, enc.Encode(found))
	} else {
		for _, v := range found {
			errs = append(errs, printEither(a, t, v))
		}
	}
	if err := errors.Join(errs...); err != nil {
		return &exitError{1, err}
	}
	return nil
}

func inspectOne(c *cli.Context, e *libpod.Engine, kind, ref string) (any, error) {
	if kind == "" || kind == "container" {
		ctr, err := e.Lookup(ref)
		if err == nil {
			return inspectContainer(c, e, ctr)
		}
		if !missing(err) || kind == "container" {
			return nil, err
		}
	}
	if kind == "" || kind == "image" {
		s, err := e.Store()
		if err != nil {
			return nil, err
		}
		img, err := image.Inspect(s, ref)
		if !errors.Is(err, image.ErrNotFound) || kind == "image" {
			return img, err
		}
	}
	if kind == "" || kind == "network" {
		s, err := e.Networks()
		if err != nil {
			return nil, err
		}
		n, err := s.Get(ref)
		if err == nil {
			return e.InspectNetwork(n)
		}
		if !errors.Is(err, network.ErrNotFound) || kind == "network" {
			return nil, err
		}
	}
	s, err := e.Volumes()
	if err != nil {
		return nil, err
	}
	v, err := s.Get(ref)
	if errors.Is(err, volume.ErrNotFound) && kind == "" {
		return nil, fmt.Errorf("no such container, image, network or volume: %q", ref)
	}
	if err != nil {
		return nil, err
	}
	return newInspectedVolume(v), nil
}

func inspectContainer(c *cli.Context, e *libpod.Engine, ctr *libpod.Container) (*libpod.Inspected, error) {
	v, err := e.Inspect(ctr)
	if err != nil || !c.Bool("size") {
		return v, err
	}
	sizes, err := e.Sizes(c.Context, []libpod.Listed{{Container: ctr}})
	size := sizes[ctr.ID]
	v.SizeRw, v.SizeRootFs = &size.Written, &size.Root
	return v, err
}

// printEither executes the template on v, or where that has no such field on v as its JSON names it: users write
// .Id as well as .ID.
func printEither(a *app, t *rowTemplate, v any) error {
	var buf bytes.Buffer
	first := t.print(&buf, v)
	if first != nil {
		data, err := json.Marshal(v)
		if err != nil {
			return err
		}
		var m map[string]any
		if err := json.Unmarshal(data, &m); err != nil {
			return err
		}
		buf.Reset()
		t.t.Option("missingkey=error")
		if t.print(&buf, m) != nil {
			return first
		}
	}
	_, err := a.out.Write(buf.Bytes())
	return err
}
