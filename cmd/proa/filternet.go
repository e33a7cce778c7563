package main

import (
	"errors"
	"slices"

	"github.com/proa-containers/proa/libpod"
	"github.com/proa-containers/proa/libpod/network"
)

// networkSettingFilter are the filters of ps by networks and ports; nil for another key.
func networkSettingFilter(e *libpod.Engine, key, value string) (keep, error) {
	switch key {
	case "network":
		return networkNameFilter(e, value)
	case "publish", "expose":
		p, err := network.ParseExposed(value)
		if err != nil {
			return nil, err
		}
		return func(l libpod.Listed) bool {
			if key == "expose" && slices.ContainsFunc(l.Exposed, func(o network.Port) bool { return o.Meets(p) }) {
				return true
			}
			return slices.ContainsFunc(l.Bound, func(b libpod.Bound) bool {
				port := b.Port
				if key == "publish" {
					port = b.Host.Port()
				}
				return p.Serves(port, b.Protocol)
			})
		}, nil
	}
	return nil, nil
}

// networkNameFilter takes a network by name or id, or a mode. One that is not there has no containers.
func networkNameFilter(e *libpod.Engine, value string) (keep, error) {
	if value == network.ModeNone || value == network.ModeHost {
		return func(l libpod.Listed) bool { return l.Config.Namespaces.Network == value }, nil
	}
	s, err := e.Networks()
	if err != nil {
		return nil, err
	}
	n, err := s.Get(value)
	if errors.Is(err, network.ErrNotFound) {
		return func(libpod.Listed) bool { return false }, nil
	}
	if err != nil {
		return nil, err
	}
	return func(l libpod.Listed) bool { return l.OnNetwork(n.Name) }, nil
}
