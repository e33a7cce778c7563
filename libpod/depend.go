package libpod

import "strings"

// DependsOn tells whether c was made to share a namespace or the mounts of other.
func (c *Container) DependsOn(other *Container) bool {
	is := func(ref string) bool { return ref == other.Name || ref != "" && strings.HasPrefix(other.ID, ref) }
	n := c.Config.Namespaces
	for _, mode := range []string{n.PID, n.Network, n.IPC, n.UTS, n.Cgroup} {
		if ref, shared := strings.CutPrefix(mode, "container:"); shared && is(ref) {
			return true
		}
	}
	for _, from := range c.Config.Mounts.VolumesFrom {
		if ref, _, _ := strings.Cut(from, ":"); is(ref) {
			return true
		}
	}
	return false
}
