package main

import (
	"encoding/json"
	"fmt"
	"strings"
	"text/tabwriter"
)

// printRows prints each row by the Go template format; behind "table " it is a table, with head's fields as its first
// line, or none without a head.
func printRows[T any](a *app, format string, head *T, rows []T) error {
	format, table := strings.CutPrefix(format, "table ")
	t, err := parseTemplate(format)
	if err != nil || t == nil {
		return err
	}
	out := a.out
	if table {
		w := tabwriter.NewWriter(a.out, 0, 0, 3, ' ', 0)
		defer w.Flush()
		out = w
		if head != nil {
			if err := t.print(out, *head); err != nil {
				return err
			}
		}
	}
	for _, row := range rows {
		if err := t.print(out, row); err != nil {
			return err
		}
	}
	return nil
}

// printJSONLines prints one object a line, as Docker does.
func printJSONLines[T any](a *app, rows []T) error {
	for _, row := range rows {
		data, err := json.Marshal(row)
		if err != nil {
			return err
		}
		fmt.Fprintln(a.out, string(data))
	}
	return nil
}
