package main

import (
	"encoding/json"

	"github.com/proa-containers/proa/storage"
	"github.com/urfave/cli/v2"
)

func newDiffCommand(a *app) *cli.Command {
	return &cli.Command{
		Name:        "diff",
		Usage:       "list what a container has changed in its image's files",
		ArgsUsage:   "CONTAINER",
		Description: "Each line is A for an added path, C for a changed and D for a deleted one. What is mounted in the container is not looked at.",
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "format", Usage: "json or a Go `TEMPLATE` for each change, with .Kind and .Path"},
			latestFlag(),
		},
		Action: func(c *cli.Context) error { return runDiff(a, c) },
	}
}

// diffRow is a change for templates.
type diffRow struct{ Kind, Path string }

func runDiff(a *app, c *cli.Context) error {
	if err := oneCount(c, 0, "one container"); err != nil {
		return err
	}
	format := c.String("format")
	if format == "" {
		format = "{{.Kind}} {{.Path}}"
	}
	if _, err := parseTemplate(format); err != nil {
		return err
	}
	e, err := a.engine(c.Context)
	if err != nil {
		return err
	}
	ctr, _, err := one(c, e)
	if err != nil {
		return &exitError{1, err}
	}
	list, err := e.Diff(ctr)
	if err != nil {
		return &exitError{1, err}
	}
	if format == "json" {
		return printChanges(a, list)
	}
	rows := make([]diffRow, len(list))
	for i, ch := range list {
		rows[i] = diffRow{string(ch.Kind), ch.Path}
	}
	return printRows(a, format, &diffRow{"KIND", "PATH"}, rows)
}

// printChanges prints one object with Podman's three lists.
func printChanges(a *app, list []storage.Change) error {
	var out struct {
		Changed []string `json:"changed,omitempty"`
		Added   []string `json:"added,omitempty"`
		Deleted []string `json:"deleted,omitempty"`
	}
	for _, ch := range list {
		switch ch.Kind {
		case storage.Added:
			out.Added = append(out.Added, ch.Path)
		case storage.Modified:
			out.Changed = append(out.Changed, ch.Path)
		case storage.Deleted:
			out.Deleted = append(out.Deleted, ch.Path)
		}
	}
	enc := json.NewEncoder(a.out)
	enc.SetEscapeHTML(false)
	return enc.Encode(out)
}
