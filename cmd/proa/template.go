package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/template"
)

// rowTemplate is a --format template, with the functions that Docker's have.
type rowTemplate struct{ t *template.Template }

// parseTemplate reads a Go template; nil for an empty one. "\t" and "\n" written out mean a tab and a new line.
func parseTemplate(format string) (*rowTemplate, error) {
	if format == "" {
		return nil, nil
	}
	format = strings.NewReplacer(`\t`, "\t", `\n`, "\n").Replace(format)
	t, err := template.New("format").Funcs(template.FuncMap{
		"json": func(v any) (string, error) {
			var buf bytes.Buffer
			enc := json.NewEncoder(&buf)
			enc.SetEscapeHTML(false)
			err := enc.Encode(v)
			return strings.TrimSpace(buf.String()), err
		},
		"join":  strings.Join,
		"lower": strings.ToLower,
		"upper": strings.ToUpper,
		"split": strings.Split,
		"title": func(s string) string { return strings.ToUpper(s[:min(1, len(s))]) + s[min(1, len(s)):] },
		"truncate": func(s string, n int) string {
			return s[:min(max(n, 0), len(s))]
		},
	}).Parse(format)
	if err != nil {
		return nil, fmt.Errorf("--format %q: %w", format, err)
	}
	return &rowTemplate{t}, nil
}

// print writes one value and a new line.
func (r *rowTemplate) print(w io.Writer, value any) error {
	var buf bytes.Buffer
	if err := r.t.Execute(&buf, value); err != nil {
		return fmt.Errorf("--format: %w", err)
	}
	buf.WriteByte('\n')
	_, err := w.Write(buf.Bytes())
	return err
}
