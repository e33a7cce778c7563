package main

import (
	"encoding/json"
	"errors"
	"time"

	"github.com/proa-containers/proa/libpod/volume"
	"github.com/urfave/cli/v2"
)

func newVolumeInspectCommand(a *app) *cli.Command {
	return &cli.Command{
		Name:      "inspect",
		Usage:     "show all there is to know of volumes, as JSON",
		ArgsUsage: "VOLUME [VOLUME...]",
		Flags: []cli.Flag{
			&cli.BoolFlag{Name: "all", Aliases: []string{"a"}, Usage: "all volumes"},
			&cli.StringFlag{Name: "format", Aliases: []string{"f"}, Usage: "json or a Go `TEMPLATE` for each"},
		},
		Action: func(c *cli.Context) error { return runVolumeInspect(a, c) },
	}
}

// inspectedVolume is a volume in the shape of Docker's inspect.
type inspectedVolume struct {
	CreatedAt  time.Time
	Driver     string
	Labels     map[string]string
	Mountpoint string
	Name       string
	Options    map[string]string
	Scope      string
}

func newInspectedVolume(v *volume.Volume) inspectedVolume {
	return inspectedVolume{v.CreatedAt, volume.Driver, v.Labels, v.Mountpoint(), v.Name, v.Options, "local"}
}

func runVolumeInspect(a *app, c *cli.Context) error {
	if c.Bool("all") == c.Args().Present() {
		return &exitError{1, errors.New("volume inspect takes either the names of volumes or --all")}
	}
	var t *rowTemplate
	var err error
	if f := c.String("format"); f != "json" {
		if t, err = parseTemplate(f); err != nil {
			return &exitError{1, err}
		}
	}
	_, s, err := a.volumes(c.Context)
	if err != nil {
		return err
	}
	var errs []error
	found := []any{}
	if c.Bool("all") {
		list, err := a.listVolumes(s)
		errs = append(errs, err)
		for _, v := range list {
			found = append(found, newInspectedVolume(v))
		}
	}
	for _, name := range c.Args().Slice() {
		v, err := s.Get(name)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		found = append(found, newInspectedVolume(v))
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
	return failed(errs)
}
