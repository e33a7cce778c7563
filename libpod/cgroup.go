package libpod

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/proa-containers/proa/oci/monitor"
)

// thaw unfreezes a container that somebody froze through its cgroup.
func (e *Engine) thaw(c *Container) error {
	var init monitor.Init
	if err := readJSON(filepath.Join(e.runDir(c.ID), monitor.InitFile), &init); err != nil {
		return nil
	}
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/cgroup", init.PID))
	if err != nil {
		return nil
	}
	for _, root := range []string{"/sys/fs/cgroup", "/sys/fs/cgroup/unified"} {
		file := filepath.Join(root, unifiedPath(string(b)), "cgroup.freeze")
		if os.WriteFile(file, []byte("0"), 0) == nil {
			return nil
		}
	}
	return fmt.Errorf("container %q is paused and its cgroup can't be thawed", c.Name)
}
