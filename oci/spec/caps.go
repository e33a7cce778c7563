package spec

import (
	"fmt"
	"slices"
	"strings"

	"github.com/moby/sys/capability"
)

// defaultCaps are what Docker leaves to a container's root.
var defaultCaps = [...]string{
	"CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FSETID", "CAP_FOWNER", "CAP_MKNOD", "CAP_NET_RAW", "CAP_SETGID", "CAP_SETUID",
	"CAP_SETFCAP", "CAP_SETPCAP", "CAP_NET_BIND_SERVICE", "CAP_SYS_CHROOT", "CAP_KILL", "CAP_AUDIT_WRITE",
}

// allCaps are the capabilities that this kernel knows.
func allCaps() []string {
	list, err := capability.ListSupported()
	if err != nil {
		return defaultCaps[:]
	}
	out := make([]string, 0, len(list))
	for _, c := range list {
		out = append(out, "CAP_"+strings.ToUpper(c.String()))
	}
	return out
}

// ParseCapability is the full name of a capability written as in --cap-add, or ALL.
func ParseCapability(s string) (string, error) {
	name := strings.ToUpper(s)
	if name == "ALL" {
		return name, nil
	}
	if !strings.HasPrefix(name, "CAP_") {
		name = "CAP_" + name
	}
	for _, c := range capability.ListKnown() {
		if name == "CAP_"+strings.ToUpper(c.String()) {
			return name, nil
		}
	}
	return "", fmt.Errorf("unknown capability %q: see capabilities(7), with or without CAP_, or ALL", s)
}

// Capabilities is the bounding set of a container, sorted.
func (s Security) Capabilities() []string {
	if s.Privileged {
		return sorted(allCaps())
	}
	set := map[string]bool{}
	if !slices.Contains(s.CapDrop, "ALL") {
		for _, c := range defaultCaps {
			set[c] = true
		}
	}
	if slices.Contains(s.CapAdd, "ALL") {
		for _, c := range allCaps() {
			set[c] = true
		}
	}
	for _, c := range s.CapDrop {
		delete(set, c)
	}
	for _, c := range s.CapAdd {
		if c != "ALL" {
			set[c] = true
		}
	}
	out := make([]string, 0, len(set))
	for c := range set {
		out = append(out, c)
	}
	return sorted(out)
}

func sorted(s []string) []string {
	slices.Sort(s)
	return s
}
