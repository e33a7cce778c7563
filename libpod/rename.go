package libpod

import (
	"fmt"

	"github.com/proa-containers/proa/oci/monitor"
)

// Rename gives the container another name.
func (e *Engine) Rename(c *Container, name string) error {
	if !validName(name) {
		return fmt.Errorf("invalid container name %q: letters, digits, _ . and -, the first a letter or digit", name)
	}
	if name == c.Name {
		return fmt.Errorf("container %q has that name already", name)
	}
	unlock, err := e.lock(c.ID)
	if err != nil {
		return err
	}
	defer unlock()
	r, err := e.state.Find(c.ID)
	if err != nil {
		return err
	}
	now, err := decode(r)
	if err != nil {
		return err
	}
	old := now.Name
	now.Name = name
	renamed, err := now.record()
	if err != nil {
		return err
	}
	renamed.Name = r.Name
	if err := e.state.Rename(renamed, name); err != nil {
		return err
	}
	e.tellMonitor(c.ID, monitor.Change{Name: &name})
	e.say(now, "rename", "oldName", "/"+old)
	return nil
}
