package main

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/proa-containers/proa/libpod"
	"github.com/proa-containers/proa/libpod/network"
)

type networkFilter func(*network.Network) bool

// selectNetworks keeps those that every filter takes; of several values of one key but labels and times one is enough, as
// with Docker.
func selectNetworks(e *libpod.Engine, list []*network.Network, filters []string) ([]*network.Network, error) {
	any, all := map[string][]networkFilter{}, []networkFilter{}
	for _, f := range filters {
		key, value, ok := strings.Cut(f, "=")
		if !ok {
			return nil, fmt.Errorf("invalid --filter %q: KEY=VALUE", f)
		}
		keep, err := parseNetworkFilter(e, key, value)
		if err != nil {
			return nil, fmt.Errorf("invalid --filter %q: %w", f, err)
		}
		if key == "label" || key == "label!" || key == "until" {
			all = append(all, keep)
		} else {
			any[key] = append(any[key], keep)
		}
	}
	for _, alternatives := range any {
		all = append(all, func(n *network.Network) bool {
			return slices.ContainsFunc(alternatives, func(keep networkFilter) bool { return keep(n) })
		})
	}
	return slices.DeleteFunc(list, func(n *network.Network) bool {
		return slices.ContainsFunc(all, func(keep networkFilter) bool { return !keep(n) })
	}), nil
}

func parseNetworkFilter(e *libpod.Engine, key, value string) (networkFilter, error) {
	switch key {
	case "name", "id":
		pattern, err := regexp.Compile(value)
		if err != nil {
			return nil, err
		}
		return func(n *network.Network) bool {
			if key == "id" {
				return pattern.MatchString(n.ID)
			}
			return pattern.MatchString(n.Name) || pattern.MatchString(shownName(n))
		}, nil
	case "label", "label!":
		k, want, exact := strings.Cut(value, "=")
		return func(n *network.Network) bool {
			got, ok := n.Labels[k]
			return (ok && (!exact || got == want)) == (key == "label")
		}, nil
	case "driver":
		return func(n *network.Network) bool { return n.Driver == value }, nil
	case "scope":
		if !slices.Contains([]string{"local", "global", "swarm"}, value) {
			return nil, errors.New("local, global or swarm")
		}
		return func(*network.Network) bool { return value == "local" }, nil
	case "type":
		if value != "custom" && value != "builtin" {
			return nil, errors.New("custom or builtin")
		}
		return func(n *network.Network) bool { return (n.Name == network.Default) == (value == "builtin") }, nil
	case "dangling":
		want, err := strconv.ParseBool(value)
		if err != nil {
			return nil, errors.New("true or false")
		}
		used, err := e.NetworkUsers()
		return func(n *network.Network) bool {
			return (n.Name != network.Default && len(used[n.Name]) == 0) == want
		}, err
	case "until":
		t, err := parseTime(value)
		return func(n *network.Network) bool { return n.Created.Before(t) }, err
	}
	return nil, errors.New("the key is name, id, driver, scope, type, label, label!, dangling or until")
}
