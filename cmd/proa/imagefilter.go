package main

import (
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/opencontainers/go-digest"
	"github.com/proa-containers/proa/image"
	"github.com/proa-containers/proa/storage"
)

// imageFilterKeys are what --filter of images knows.
const imageFilterKeys = "dangling=BOOL, reference=PATTERN, label=KEY[=VALUE], label!=KEY[=VALUE], before=IMAGE, since=IMAGE, after=IMAGE, until=TIME, " +
	"id=PREFIX, digest=PREFIX, containers=BOOL, intermediate=BOOL or readonly=BOOL"

// imageFilter keeps an image's row or not.
type imageFilter func(image.Listed, imageRow) bool

func matchesAll(filters []imageFilter, i image.Listed, row imageRow) bool {
	for _, keep := range filters {
		if !keep(i, row) {
			return false
		}
	}
	return true
}

// parseImageFilters reads KEY=VALUE filters. Several references are alternatives, all else has to hold together.
func parseImageFilters(s *storage.Store, filters []string) ([]imageFilter, error) {
	var out []imageFilter
	var patterns []string
	for _, f := range filters {
		key, value, ok := strings.Cut(f, "=")
		if !ok || value == "" {
			return nil, fmt.Errorf("filter %q: want KEY=VALUE", f)
		}
		if key == "reference" {
			if _, err := path.Match(value, ""); err != nil {
				return nil, fmt.Errorf("filter %q: %w", f, err)
			}
			patterns = append(patterns, value)
			continue
		}
		keep, err := parseImageFilter(s, key, value)
		if err != nil {
			return nil, fmt.Errorf("filter %q: %w", f, err)
		}
		out = append(out, keep)
	}
	if len(patterns) > 0 {
		out = append(out, func(_ image.Listed, row imageRow) bool {
			for _, p := range patterns {
				if matchesReference(p, row) {
					return true
				}
			}
			return false
		})
	}
	return out, nil
}

func parseImageFilter(s *storage.Store, key, value string) (imageFilter, error) {
	switch key {
	case "dangling", "containers", "intermediate", "readonly":
		want, err := strconv.ParseBool(value)
		if err != nil {
			return nil, fmt.Errorf("want true or false")
		}
		return func(i image.Listed, _ imageRow) bool {
			is := map[string]bool{"dangling": len(i.Names) == 0, "containers": i.Containers > 0, "intermediate": i.Intermediate, "readonly": i.ReadOnly}
			return is[key] == want
		}, nil
	case "label", "label!":
		name, text, exact := strings.Cut(value, "=")
		return func(i image.Listed, _ imageRow) bool {
			got, ok := i.Config.Labels[name]
			return (ok && (!exact || got == text)) == (key == "label")
		}, nil
	case "id":
		return func(i image.Listed, _ imageRow) bool {
			return strings.HasPrefix(i.ID, strings.TrimPrefix(value, "sha256:"))
		}, nil
	case "digest":
		if !strings.HasPrefix(value, "sha256:") {
			value = "sha256:" + value
		}
		return func(i image.Listed, _ imageRow) bool {
			return slices.ContainsFunc(i.Digests, func(d digest.Digest) bool { return strings.HasPrefix(d.String(), value) })
		}, nil
	case "before", "since", "after":
		other, err := image.Lookup(s, value)
		if err != nil {
			return nil, err
		}
		return func(i image.Listed, _ imageRow) bool {
			if key == "before" {
				return i.Created.Before(other.Created)
			}
			return i.Created.After(other.Created)
		}, nil
	case "until":
		t, err := parseTime(value)
		if err != nil {
			return nil, err
		}
		return func(i image.Listed, _ imageRow) bool { return i.Created.Before(t) }, nil
	}
	return nil, fmt.Errorf("unknown key; there are %s", imageFilterKeys)
}

// matchesReference: a pattern with a tag has to match the tag too; one with fewer path components than the name, its end.
func matchesReference(pattern string, row imageRow) bool {
	name := row.Repository
	if strings.LastIndexByte(pattern, ':') > strings.LastIndexByte(pattern, '/') {
		name += ":" + row.Tag
	}
	for {
		if ok, err := path.Match(pattern, name); ok && err == nil {
			return true
		}
		_, rest, more := strings.Cut(name, "/")
		if !more {
			return false
		}
		name = rest
	}
}
