package libpod

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// fileV1 is a file of the cgroup in the hierarchy that has the controller, which may have others too; "" without one.
func fileV1(dirs []string, controller, name string) string {
	for _, dir := range dirs {
		if strings.Contains(dir, controller) {
			return filepath.Join(dir, name)
		}
	}
	return ""
}

// readUsageV1 is readUsage for the cgroups of version 1 that a container of root has, one in each hierarchy
// (admin-guide/cgroup-v1 of the kernel's documentation).
func readUsageV1(dirs []string) (u Usage, err error) {
	u = Usage{Memory: -1, MemoryLimit: -1, PIDs: -1, Read: -1, Write: -1}
	file := func(controller, name string) string { return fileV1(dirs, controller, name) }
	if u.Memory, err = number(file("/memory/", "memory.usage_in_bytes")); err != nil {
		u.Missing = append(u.Missing, "memory")
	} else {
		stat, err := keyed(file("/memory/", "memory.stat"))
		if err != nil {
			return u, err
		}
		u.Memory = max(0, u.Memory-stat["total_inactive_file"])
		u.MemoryLimit = memoryLimit("") // the host's
		if n, ok := stat["hierarchical_memory_limit"]; ok && n > 0 && n < u.MemoryLimit {
			u.MemoryLimit = n
		}
	}
	if u.PIDs, err = number(file("/pids/", "pids.current")); err != nil {
		u.Missing = append(u.Missing, "pids")
	}
	b, err := os.ReadFile(file("/blkio/", "blkio.throttle.io_service_bytes_recursive"))
	if err != nil {
		u.Missing = append(u.Missing, "io")
		return u, nil
	}
	u.Read, u.Write = 0, 0
	for line := range strings.Lines(string(b)) {
		f := strings.Fields(line) // DEVICE OPERATION BYTES
		if len(f) != 3 {
			continue
		}
		n, _ := strconv.ParseInt(f[2], 10, 64)
		switch f[1] {
		case "Read":
			u.Read += n
		case "Write":
			u.Write += n
		}
	}
	return u, nil
}
