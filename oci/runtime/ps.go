package runtime

import (
	"fmt"
	"os"
	"path/filepath"
	"sort"
	"strconv"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// Pids lists the container's processes, in the caller's pid namespace.
func (r *Runtime) Pids(id string) ([]int, error) {
	rec, err := r.Load(id)
	if err != nil {
		return nil, err
	}
	return r.pids(rec)
}

// pids asks the cgroup. Without one, it looks for the processes in the container's pid namespace; without that
// either, there is the first process and its descendants.
func (r *Runtime) pids(rec *Record) ([]int, error) {
	cg, err := loadCgroup(rec)
	if err != nil {
		return nil, err
	}
	if cg != nil {
		pids, err := cg.GetAllPids()
		if err != nil {
			return nil, fmt.Errorf("list the processes of container %q: %w", rec.ID, err)
		}
		return pids, nil
	}
	if !alive(rec.Pid, rec.StartTime) {
		return nil, nil
	}
	stats, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		return nil, err
	}
	var own unix.Stat_t
	if err := unix.Stat(fmt.Sprintf("/proc/%d/ns/pid", rec.Pid), &own); err != nil {
		return nil, fmt.Errorf("look at the container's pid namespace: %w", err)
	}
	in := map[int]bool{rec.Pid: true}
	parent := map[int]int{}
	for _, dir := range stats {
		pid, err := strconv.Atoi(filepath.Base(dir))
		if err != nil {
			continue
		}
		var st unix.Stat_t
		if rec.hasOwn(specs.PIDNamespace) && unix.Stat(dir+"/ns/pid", &st) == nil && st.Ino == own.Ino {
			in[pid] = true
		}
		parent[pid] = parentOf(dir)
	}
	var out []int
	for pid := range parent {
		for p := pid; p > 1; p = parent[p] {
			if in[p] {
				out = append(out, pid)
				break
			}
		}
	}
	sort.Ints(out)
	return out, nil
}

// parentOf reads field 4 of stat.
func parentOf(dir string) int {
	b, err := os.ReadFile(dir + "/stat")
	if err != nil {
		return 0
	}
	for i := len(b) - 1; i > 0; i-- {
		if b[i] == ')' {
			var state string
			var ppid int
			if _, err := fmt.Sscan(string(b[i+1:]), &state, &ppid); err != nil {
				return 0
			}
			return ppid
		}
	}
	return 0
}
