package libpod

import (
	"maps"
	"reflect"
	"slices"

	"github.com/proa-containers/proa/image"
	"github.com/proa-containers/proa/oci/spec"
)

// Clone is c as it was asked for, to be created again: without its id, its name and what its image, img, said, which
// the new image then says. A nil img leaves all in.
func (c *Container) Clone(img *image.Image) *Container {
	n := *c
	n.ID, n.Name, n.Last, n.layer, n.Standing = "", "", nil, nil, true
	n.Started = false
	n.Labels, n.Annotations = maps.Clone(c.Labels), maps.Clone(c.Annotations)
	n.Config.Mounts.List = cloneMounts(c.Config.Mounts.List, img != nil)
	if n.Log.Lazy { // the path is the old container's own
		n.Log.Path, n.Log.Lazy = "", false
	}
	if img != nil {
		n.withoutImage(img.Config)
	}
	return &n
}

func (c *Container) withoutImage(cfg image.Config) {
	p := &c.Config.Process
	if slices.Equal(p.Entrypoint, cfg.Entrypoint) {
		p.Entrypoint = nil
		if slices.Equal(p.Cmd, cfg.Cmd) {
			p.Cmd = nil
		}
	}
	p.Env = slices.DeleteFunc(slices.Clone(p.Env), func(v string) bool { return slices.Contains(cfg.Env, v) })
	if p.Cwd == cfg.WorkingDir {
		p.Cwd = ""
	}
	if p.User == cfg.User {
		p.User = ""
	}
	if c.StopSignal == cfg.StopSignal {
		c.StopSignal = ""
	}
	if c.StopTimeout != nil && cfg.StopTimeout != nil && *c.StopTimeout == *cfg.StopTimeout {
		c.StopTimeout = nil
	}
	var own *spec.Health
	if inheritHealth(&own, cfg.Healthcheck); reflect.DeepEqual(own, c.Config.Health) {
		c.Config.Health = nil
	}
	c.withoutPorts(cfg)
	maps.DeleteFunc(c.Labels, func(k, v string) bool { return cfg.Labels[k] == v })
}
