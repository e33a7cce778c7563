package main

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/docker/go-units"
	"github.com/proa-containers/proa/image"
	"github.com/urfave/cli/v2"
)

// historyRow is one step, with the fields that Docker's --format has.
type historyRow struct {
	ID, CreatedSince, CreatedAt, CreatedBy, Size, Comment string
}

func newHistoryCommand(a *app) *cli.Command {
	return &cli.Command{
		Name:      "history",
		Usage:     "show the steps an image was made in",
		ArgsUsage: "IMAGE",
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "format", Usage: "table, json or a Go `TEMPLATE`, with \"table \" before it for a table"},
			&cli.BoolFlag{Name: "human", Aliases: []string{"H"}, Value: true, Usage: "sizes and times for people; false for bytes and RFC 3339"},
			&cli.BoolFlag{Name: "no-trunc", Usage: "whole ids and commands"},
			&cli.BoolFlag{Name: "quiet", Aliases: []string{"q"}, Usage: "ids alone"},
		},
		Action: func(c *cli.Context) error {
			if c.NArg() != 1 {
				return fmt.Errorf("history takes one image, not %d", c.NArg())
			}
			s, err := a.store(c.Context)
			if err != nil {
				return err
			}
			steps, err := image.Steps(s, c.Args().First())
			if err != nil {
				return &exitError{1, err}
			}
			return printHistory(a, c, steps)
		},
	}
}

func printHistory(a *app, c *cli.Context, steps []image.Step) error {
	var rows []historyRow
	for _, s := range steps {
		rows = append(rows, newHistoryRow(s, c.Bool("human"), c.Bool("no-trunc")))
	}
	format := c.String("format")
	switch {
	case c.Bool("quiet") && format == "":
		format = "{{.ID}}"
	case format == "json":
		return printJSONLines(a, rows)
	case format == "" || format == "table":
		format = "table {{.ID}}\t{{.CreatedSince}}\t{{.CreatedBy}}\t{{.Size}}\t{{.Comment}}"
	}
	head := historyRow{"IMAGE", "CREATED", "CREATED AT", "CREATED BY", "SIZE", "COMMENT"}
	if !c.Bool("human") {
		format = strings.ReplaceAll(format, ".CreatedSince", ".CreatedAt")
		head.CreatedAt = head.CreatedSince
	}
	return printRows(a, format, &head, rows)
}

func newHistoryRow(s image.Step, human, whole bool) historyRow {
	const shown = 45 // characters of a command, as Docker shows
	row := historyRow{
		ID: "<missing>", CreatedSince: "N/A", CreatedAt: "N/A", CreatedBy: strings.ReplaceAll(s.CreatedBy, "\t", " "),
		Size: strconv.FormatInt(s.Size, 10), Comment: s.Comment,
	}
	if human {
		row.Size = units.HumanSizeWithPrecision(float64(s.Size), 3)
	}
	if s.ID != "" {
		row.ID = "sha256:" + s.ID
	}
	if !s.Created.IsZero() {
		row.CreatedSince, row.CreatedAt = units.HumanDuration(time.Since(s.Created))+" ago", s.Created.Local().Format(time.RFC3339)
	}
	if !whole {
		if s.ID != "" {
			row.ID = s.ID[:12]
		}
		if by := []rune(row.CreatedBy); len(by) > shown {
			row.CreatedBy = string(by[:shown-1]) + "…"
		}
	}
	return row
}
