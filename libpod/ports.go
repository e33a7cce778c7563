package libpod

import (
	"maps"
	"slices"

	"github.com/proa-containers/proa/image"
	"github.com/proa-containers/proa/libpod/network"
)

// CompletePorts adds the ports that the image says it serves, and with PublishAll publishes all that are exposed. It may
// be called again. What the image says of protocols that proa does not know is left out.
func (c *Container) CompletePorts(img *image.Image) {
	if img != nil {
		for _, p := range imagePorts(img.Config) {
			if !slices.Contains(c.Exposed, p) {
				c.Exposed = append(c.Exposed, p)
			}
		}
	}
	if !c.PublishAll {
		return
	}
	for _, p := range c.Exposed {
		for i := range p.Count {
			one := network.Port{Container: p.Container + i, Count: 1, Protocol: p.Protocol}
			if !slices.ContainsFunc(c.Ports, func(o network.Port) bool { return o.Serves(one.Container, one.Protocol) }) {
				c.Ports = append(c.Ports, one)
			}
		}
	}
}

func imagePorts(cfg image.Config) []network.Port {
	var out []network.Port
	for _, s := range slices.Sorted(maps.Keys(cfg.ExposedPorts)) {
		if p, err := network.ParseExposed(s); err == nil {
			out = append(out, p)
		}
	}
	return out
}

// withoutPorts takes back what CompletePorts did with an image's configuration.
func (c *Container) withoutPorts(cfg image.Config) {
	theirs := imagePorts(cfg)
	if c.PublishAll {
		c.Ports = slices.DeleteFunc(slices.Clone(c.Ports), func(p network.Port) bool {
			return p.Host == 0 && !p.HostIP.IsValid() && slices.ContainsFunc(theirs, func(o network.Port) bool { return o.Serves(p.Container, p.Protocol) })
		})
	}
	c.Exposed = slices.DeleteFunc(slices.Clone(c.Exposed), func(p network.Port) bool { return slices.Contains(theirs, p) })
}
