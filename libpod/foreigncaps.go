package libpod

import (
	"slices"
	"strings"

	"github.com/moby/sys/capability"
	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// boundCapabilities leaves out the capabilities that proa itself can't have, as root in a confined environment: the
// bundled runtime does without them, others take them for an error.
func boundCapabilities(c *specs.LinuxCapabilities) {
	missing := map[string]bool{}
	for _, known := range capability.ListKnown() {
		if has, err := unix.PrctlRetInt(unix.PR_CAPBSET_READ, uintptr(known), 0, 0, 0); err != nil || has == 0 {
			missing["CAP_"+strings.ToUpper(known.String())] = true
		}
	}
	if len(missing) == 0 {
		return
	}
	for _, list := range []*[]string{&c.Bounding, &c.Permitted, &c.Effective, &c.Inheritable, &c.Ambient} {
		// A copy: the lists may share one array.
		*list = slices.DeleteFunc(slices.Clone(*list), func(name string) bool { return missing[name] })
	}
}
