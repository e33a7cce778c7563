package launch

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/proa-containers/proa/oci/plan"
)

// prepare writes the id maps of a new user namespace and puts the init into its cgroups.
func (c *Config) prepare(pid int) error {
	for _, n := range c.Plan.Namespaces {
		if n.Type == unix.CLONE_NEWUSER && n.Path == "" {
			if err := writeMaps(pid, c.Plan.UIDMaps, c.Plan.GIDMaps); err != nil {
				return err
			}
		}
	}
	if c.Prepare != nil {
		if err := c.Prepare(pid); err != nil {
			return err
		}
	}
	for _, dir := range c.Plan.CgroupDirs {
		name := filepath.Join(dir, "cgroup.procs")
		if err := os.WriteFile(name, []byte(strconv.Itoa(pid)), 0); err != nil {
			return fmt.Errorf("enter the cgroup: %w", err)
		}
	}
	return nil
}

// writeMaps writes the maps itself when it may, and leaves it to newuidmap and newgidmap otherwise.
func writeMaps(pid int, uids, gids []plan.IDMap) error {
	if len(uids) == 1 && len(gids) == 1 && gids[0].Size == 1 && os.Geteuid() != 0 {
		// Without privilege only one's own group, and only once setgroups(2) is given up.
		name := fmt.Sprintf("/proc/%d/setgroups", pid)
		if err := os.WriteFile(name, []byte("deny"), 0); err != nil {
			return fmt.Errorf("give up setgroups: %w", err)
		}
	}
	if err := writeMap(pid, "uid_map", "newuidmap", uids); err != nil {
		return err
	}
	return writeMap(pid, "gid_map", "newgidmap", gids)
}

func writeMap(pid int, file, helper string, maps []plan.IDMap) error {
	var b bytes.Buffer
	args := []string{strconv.Itoa(pid)}
	for _, m := range maps {
		line := fmt.Sprintf("%d %d %d", m.Container, m.Host, m.Size)
		args = append(args, strings.Fields(line)...)
		b.WriteString(line + "\n")
	}
	err := os.WriteFile(fmt.Sprintf("/proc/%d/%s", pid, file), b.Bytes(), 0)
	if err == nil || !errors.Is(err, unix.EPERM) {
		if err != nil {
			return fmt.Errorf("map the ids of the user namespace: %w", err)
		}
		return nil
	}
	out, err := exec.Command(helper, args...).CombinedOutput()
	if errors.Is(err, exec.ErrNotFound) {
		return fmt.Errorf("map the ids of the user namespace: %s is not installed; install the package uidmap", helper)
	}
	if err != nil {
		return fmt.Errorf("map the ids of the user namespace: %s %s: %w: %s", helper, strings.Join(args, " "), err, bytes.TrimSpace(out))
	}
	return nil
}

// allCaps lists the kernel's capabilities.
func allCaps() ([]uintptr, error) {
	b, err := os.ReadFile("/proc/sys/kernel/cap_last_cap")
	if err != nil {
		return nil, fmt.Errorf("read the number of capabilities: %w", err)
	}
	last, err := strconv.Atoi(strings.TrimSpace(string(b)))
	if err != nil {
		return nil, fmt.Errorf("read the number of capabilities: %w", err)
	}
	caps := make([]uintptr, last+1)
	for i := range caps {
		caps[i] = uintptr(i)
	}
	return caps, nil
}

// StartTime is the identity of a process beside its pid: field 22 of /proc/PID/stat.
func StartTime(pid int) (uint64, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, fmt.Errorf("read the start time of process %d: %w", pid, err)
	}
	// The command, field 2, is in parentheses and may contain anything.
	f := strings.Fields(string(b[bytes.LastIndexByte(b, ')')+1:]))
	if len(f) < 20 {
		return 0, fmt.Errorf("read the start time of process %d: unexpected format", pid)
	}
	return strconv.ParseUint(f[19], 10, 64)
}
