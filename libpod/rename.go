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
	unlock, err := e.lockWhole(c)
	if err != nil {
		return err
	}
	defer unlock()
	old := c.Name
	now := *c
	now.Name = name
	renamed, err := now.record()
	if err != nil {
		return err
	}
	renamed.Name = old
	if err := e.state.Rename(renamed, name); err != nil {
		return err
	}
	e.tellMonitor(c.ID, monitor.Change{Name: &name})
	e.say(&now, "rename", "oldName", "/"+old)
	return nil
}
