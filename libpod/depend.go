package libpod

import "strings"

// DependsOn tells whether c was made to share a namespace of other.
func (c *Container) DependsOn(other *Container) bool {
	n := c.Config.Namespaces
	for _, mode := range []string{n.PID, n.Network, n.IPC, n.UTS, n.Cgroup} {
		ref, shared := strings.CutPrefix(mode, "container:")
		if shared && (ref == other.Name || ref != "" && strings.HasPrefix(other.ID, ref)) {
			return true
		}
	}
	return false
}
