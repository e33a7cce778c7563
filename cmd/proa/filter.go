package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/proa-containers/proa/image"
	"github.com/proa-containers/proa/libpod"
	"github.com/proa-containers/proa/oci/spec"
	"github.com/proa-containers/proa/storage"
)

// filterKeys are what --filter of ps knows.
const filterKeys = "ancestor, before, command, exited, expose, health, id, is-task, label, label!, name, network, pod, publish, restart-policy, since, status, until or volume"

// keep tells whether a filter lets a container through.
type keep func(libpod.Listed) bool

// parseContainerFilters reads KEY=VALUE filters. As in Docker, several values of one key are alternatives, but for
// labels and times, of which all have to hold; all keys have to hold together.
func parseContainerFilters(ctx context.Context, e *libpod.Engine, filters []string) (keep, error) {
	alternatives := map[string][]keep{}
	for i, f := range filters {
		key, value, ok := strings.Cut(f, "=")
		if !ok || value == "" {
			return nil, fmt.Errorf("invalid --filter %q: want KEY=VALUE, with a key of %s", f, filterKeys)
		}
		k, err := containerFilter(ctx, e, key, value)
		if err != nil {
			return nil, fmt.Errorf("invalid --filter %q: %w", f, err)
		}
		if slices.Contains([]string{"label", "label!", "before", "since", "until"}, key) {
			key += strconv.Itoa(i)
		}
		alternatives[key] = append(alternatives[key], k)
	}
	groups := slices.Collect(maps.Values(alternatives))
	return func(l libpod.Listed) bool {
		for _, g := range groups {
			if !slices.ContainsFunc(g, func(k keep) bool { return k(l) }) {
				return false
			}
		}
		return true
	}, nil
}

func containerFilter(ctx context.Context, e *libpod.Engine, key, value string) (keep, error) {
	switch key {
	case "id", "name", "command":
		return patternFilter(key, value)
	case "label", "label!":
		name, text, exact := strings.Cut(value, "=")
		return func(l libpod.Listed) bool {
			got, ok := l.Labels[name]
			return (ok && (!exact || got == text)) == (key == "label")
		}, nil
	case "status":
		return statusFilter(value)
	case "exited":
		code, err := strconv.Atoi(value)
		if err != nil {
			return nil, errors.New("want an exit code")
		}
		return func(l libpod.Listed) bool { return l.Status.State == libpod.Exited && l.Status.Run.ExitCode == code }, nil
	case "ancestor":
		return ancestorFilter(ctx, e, value)
	case "before", "since", "until":
		return timeFilter(e, key, value)
	case "volume":
		return func(l libpod.Listed) bool {
			return slices.ContainsFunc(l.Config.Mounts.List, func(m spec.Mount) bool {
				return m.Type != "tmpfs" && (m.Source == value || m.Target == value) || m.Volume != nil && m.Volume.Name == value
			})
		}, nil
	}
	if keep, err := networkSettingFilter(e, key, value); keep != nil || err != nil {
		return keep, err
	}
	return settingFilter(key, value)
}

// settingFilter are the filters by what a container was made with; where proa has nothing of the kind yet, they are
// errors: an empty list would be an answer.
func settingFilter(key, value string) (keep, error) {
	switch key {
	case "health":
		if !slices.Contains([]string{"starting", "healthy", "unhealthy", "none"}, value) {
			return nil, errors.New("want starting, healthy, unhealthy or none")
		}
		return func(l libpod.Listed) bool { return healthOf(l) == value }, nil
	case "restart-policy":
		if !slices.Contains([]string{"no", "on-failure", "always", "unless-stopped"}, value) {
			return nil, errors.New("want no, on-failure, always or unless-stopped")
		}
		return func(l libpod.Listed) bool { return restartOf(l) == value }, nil
	case "is-task":
		task, err := strconv.ParseBool(value)
		if err != nil {
			return nil, errors.New("want true or false")
		}
		return func(libpod.Listed) bool { return !task }, nil // no container is a swarm's
	case "pod":
		return nil, errors.New("proa has no pods yet")
	}
	return nil, fmt.Errorf("unknown key; there are %s", filterKeys)
}

// healthOf is the health of a container in Docker's words: without a check, none.
func healthOf(l libpod.Listed) string {
	if l.Health == nil {
		return "none"
	}
	return l.Health.Status
}

// restartOf is the name of a container's restart policy.
func restartOf(l libpod.Listed) string { return cmp.Or(l.Restart.Name, "no") }

// patternFilter matches regular expressions, as Docker does; a name with or without the slash that Docker's have.
func patternFilter(key, value string) (keep, error) {
	re, err := regexp.Compile(value)
	if err != nil {
		return nil, fmt.Errorf("not a regular expression: %w", err)
	}
	return func(l libpod.Listed) bool {
		switch key {
		case "id":
			return re.MatchString(l.ID)
		case "command":
			return len(l.Config.Process.Args) > 0 && re.MatchString(l.Config.Process.Args[0])
		}
		return re.MatchString(l.Name) || re.MatchString("/"+l.Name)
	}, nil
}

// statusFilter takes Docker's words and Podman's.
func statusFilter(value string) (keep, error) {
	docker := []string{"created", "initialized", "restarting", "running", "removing", "paused", "exited", "dead"}
	want := value
	switch value {
	case "configured":
		want = "created"
	case "stopped":
		want = "exited"
	}
	if !slices.Contains(docker, want) {
		return nil, fmt.Errorf("want one of %s", strings.Join(docker, ", "))
	}
	return func(l libpod.Listed) bool { return string(l.Status.State) == want }, nil
}

// timeFilter compares when containers were made, with another container or a time.
func timeFilter(e *libpod.Engine, key, value string) (keep, error) {
	if key == "until" {
		t, err := parseTime(value)
		return func(l libpod.Listed) bool { return l.Created.Before(t) }, err
	}
	other, err := e.Lookup(value)
	if err != nil {
		return nil, err
	}
	return func(l libpod.Listed) bool {
		if key == "before" {
			return l.Created.Before(other.Created)
		}
		return l.Created.After(other.Created)
	}, nil
}

// ancestorFilter finds the containers of an image and of those built on it. An image that is gone is known by the name
// that its containers were made with.
func ancestorFilter(ctx context.Context, e *libpod.Engine, value string) (keep, error) {
	s, err := e.Store()
	if err != nil {
		return nil, err
	}
	ids, err := descendants(ctx, s, value)
	if err != nil {
		return nil, err
	}
	return func(l libpod.Listed) bool {
		return slices.Contains(ids, l.ImageID) || l.Image == value || l.ImageID != "" && strings.TrimPrefix(value, "sha256:") == l.ImageID
	}, nil
}

func descendants(ctx context.Context, s *storage.Store, ref string) ([]string, error) {
	img, err := image.Lookup(s, ref)
	if errors.Is(err, image.ErrNotFound) || errors.Is(err, image.ErrName) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return image.Descendants(ctx, s, img)
}
