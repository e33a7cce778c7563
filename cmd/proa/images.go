package main

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/docker/go-units"
	"github.com/proa-containers/proa/image"
	"github.com/urfave/cli/v2"
)

type imagesOptions struct {
	all, quiet, noTrunc, digests, noHeading bool
	format, sort                            string
	filters                                 []imageFilter
}

// imageRow is one name of one image, with the fields that Docker's --format has, which are those of its JSON, and
// Podman's.
type imageRow struct {
	Repository, Tag, Digest, ID, CreatedSince, CreatedAt, Size, VirtualSize, Containers, SharedSize, UniqueSize string

	Created, CreatedTime, ReadOnly string `json:"-"`

	image *image.Listed
}

func newImagesCommand(a *app) *cli.Command {
	return &cli.Command{
		Name:      "images",
		Usage:     "list images",
		ArgsUsage: "[REPOSITORY[:TAG]]",
		Flags: []cli.Flag{
			&cli.BoolFlag{Name: "all", Aliases: []string{"a"}, Usage: "nameless parent images too"},
			&cli.BoolFlag{Name: "digests", Usage: "show digests"},
			&cli.StringSliceFlag{Name: "filter", Aliases: []string{"f"}, Usage: "only those with `KEY=VALUE`: " + imageFilterKeys},
			&cli.StringFlag{Name: "format", Usage: "table, json or a Go `TEMPLATE`, with \"table \" before it for a table"},
			&cli.BoolFlag{Name: "no-trunc", Usage: "whole ids"},
			&cli.BoolFlag{Name: "noheading", Aliases: []string{"n"}, Usage: "a table without its first line"},
			&cli.StringFlag{Name: "sort", Value: "created", Usage: "by `FIELD`: created, id, repository, size or tag"},
			&cli.BoolFlag{Name: "quiet", Aliases: []string{"q"}, Usage: "ids alone"},
		},
		Action: func(c *cli.Context) error { return runImages(a, c) },
	}
}

func runImages(a *app, c *cli.Context) error {
	o := imagesOptions{
		all: c.Bool("all"), quiet: c.Bool("quiet"), noTrunc: c.Bool("no-trunc"), digests: c.Bool("digests"), noHeading: c.Bool("noheading"),
		format: c.String("format"), sort: c.String("sort"),
	}
	filters := c.StringSlice("filter")
	switch {
	case c.NArg() > 1:
		return errors.New("images takes at most one name")
	case imageOrder(o.sort) == nil:
		return fmt.Errorf("invalid --sort %q: created, id, repository, size or tag", o.sort)
	case c.NArg() == 1:
		filters = append(filters, "reference="+c.Args().First())
	}
	s, err := a.store(c.Context)
	if err != nil {
		return err
	}
	o.all = o.all || slices.Contains(filters, "intermediate=true")
	if o.filters, err = parseImageFilters(s, filters); err != nil {
		return err
	}
	list, bad, err := image.List(c.Context, s)
	if err != nil {
		return err
	}
	for _, err := range bad {
		fmt.Fprintln(a.err, "proa: warning:", err)
	}
	return printImages(a, o, list)
}

// imageOrder compares two rows by a field of --sort; nil for one that there is not.
func imageOrder(field string) func(x, y imageRow) int {
	switch field {
	case "created":
		return func(x, y imageRow) int { return y.image.Created.Compare(x.image.Created) }
	case "id":
		return func(x, y imageRow) int { return cmp.Compare(x.image.ID, y.image.ID) }
	case "repository":
		return func(x, y imageRow) int { return cmp.Compare(x.Repository, y.Repository) }
	case "size":
		return func(x, y imageRow) int { return cmp.Compare(x.image.Size, y.image.Size) }
	case "tag":
		return func(x, y imageRow) int { return cmp.Compare(x.Tag, y.Tag) }
	}
	return nil
}

func printImages(a *app, o imagesOptions, list []image.Listed) error {
	var rows []imageRow
	seen := map[string]bool{}
	for _, i := range list {
		if i.Intermediate && !o.all {
			continue
		}
		for _, row := range imageRows(i, o) {
			if o.quiet && seen[row.ID] || !matchesAll(o.filters, i, row) {
				continue
			}
			seen[row.ID] = true
			rows = append(rows, row)
		}
	}
	slices.SortStableFunc(rows, imageOrder(o.sort))
	switch {
	case o.quiet && o.format == "":
		o.format = "{{.ID}}"
	case o.format == "json":
		return printJSONLines(a, rows)
	case o.format == "" || o.format == "table":
		o.format = "table {{.Repository}}\t{{.Tag}}\t{{.ID}}\t{{.CreatedSince}}\t{{.Size}}"
		if o.digests {
			o.format = "table {{.Repository}}\t{{.Tag}}\t{{.Digest}}\t{{.ID}}\t{{.CreatedSince}}\t{{.Size}}"
		}
	}
	head := &imageRow{
		"REPOSITORY", "TAG", "DIGEST", "IMAGE ID", "CREATED", "CREATED AT", "SIZE", "SIZE", "CONTAINERS", "SHARED SIZE", "UNIQUE SIZE",
		"CREATED", "CREATED AT", "READONLY", nil,
	}
	if o.noHeading {
		head = nil
	}
	return printRows(a, o.format, head, rows)
}

// imageRows are an image's names; one without a name has "<none>".
func imageRows(i image.Listed, o imagesOptions) []imageRow {
	id := i.ID[:12]
	if o.noTrunc {
		id = "sha256:" + i.ID
	}
	base := imageRow{
		Repository: "<none>", Tag: "<none>", Digest: "<none>", ID: id,
		CreatedSince: units.HumanDuration(time.Since(i.Created)) + " ago", CreatedAt: i.Created.Local().Format("2006-01-02 15:04:05 -0700 MST"),
		Size: units.HumanSizeWithPrecision(float64(i.Size), 3), Containers: fmt.Sprint(i.Containers), SharedSize: "N/A", UniqueSize: "N/A",
		ReadOnly: strconv.FormatBool(i.ReadOnly), image: &i,
	}
	base.VirtualSize, base.Created, base.CreatedTime = base.Size, base.CreatedSince, base.CreatedAt
	if i.Digest != "" {
		base.Digest = i.Digest.String()
	}
	if i.Created.IsZero() {
		base.CreatedSince, base.Created = "N/A", "N/A"
	}
	var rows []imageRow
	tagged := map[string]bool{}
	for _, n := range i.RepoTags() {
		row := base
		cut := strings.LastIndexByte(n, ':')
		row.Repository, row.Tag = n[:cut], n[cut+1:]
		tagged[row.Repository] = true
		rows = append(rows, row)
	}
	for _, n := range i.Names {
		if repo, sum, ok := strings.Cut(n, "@"); ok && !tagged[repo] {
			row := base
			row.Repository, row.Digest = repo, sum
			rows = append(rows, row)
		}
	}
	if len(rows) == 0 {
		rows = append(rows, base)
	}
	return rows
}
