package libpod

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/proa-containers/proa/oci/monitor"
	"golang.org/x/sys/unix"
)

// Cgroups says where containers' cgroups can be made. An empty Root: nowhere, containers stay in their caller's.
type Cgroups struct {
	Root string // a cgroup v2 directory that we may write to
}

// detectCgroups finds a cgroup v2 directory of ours: the caller's own, when it was delegated to the user.
func detectCgroups() (Cgroups, error) {
	b, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		return Cgroups{}, fmt.Errorf("finding proa's cgroup: %w", err)
	}
	own := unifiedPath(string(b))
	var st unix.Statfs_t
	if own == "" || unix.Statfs("/sys/fs/cgroup", &st) != nil || st.Type != unix.CGROUP2_SUPER_MAGIC {
		return Cgroups{}, nil
	}
	dir := filepath.Join("/sys/fs/cgroup", own)
	if unix.Access(dir, unix.W_OK) != nil || unix.Access(filepath.Join(dir, "cgroup.procs"), unix.W_OK) != nil {
		return Cgroups{}, nil
	}
	return Cgroups{Root: dir}, nil
}

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
