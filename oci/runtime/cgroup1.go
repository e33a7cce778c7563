package runtime

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"strconv"

	"github.com/opencontainers/cgroups"
	devices "github.com/opencontainers/cgroups/devices/config"
	"github.com/opencontainers/runtime-spec/specs-go"
)

// setLegacy sets what the manager of cgroup v1 does not: the device rules in their order, and the limits of kernel
// memory.
func setLegacy(m cgroups.Manager, r *cgroups.Resources, spec *specs.LinuxResources) error {
	if dir := m.Path("devices"); dir != "" && !r.SkipDevices && canApplyInOrder(r.Devices) {
		if err := applyInOrder(dir, r.Devices); err != nil {
			return err
		}
	}
	dir := m.Path("memory")
	if spec == nil || spec.Memory == nil || dir == "" {
		return nil
	}
	if tcp := spec.Memory.KernelTCP; tcp != nil {
		if err := cgroups.WriteFile(dir, "memory.kmem.tcp.limit_in_bytes", strconv.FormatInt(*tcp, 10)); err != nil {
			return err
		}
	}
	return limitKernelMemory(dir, spec.Memory.Kernel) //nolint:staticcheck // deprecated, still to be applied where it can be
}

// limitKernelMemory warns where the kernel no longer has the limit: Linux 5.16 to 6.0 refuse it, later ones take and
// ignore it. The memory limit counts kernel memory there.
func limitKernelMemory(dir string, limit *int64) error {
	if limit == nil {
		return nil
	}
	const file = "memory.kmem.limit_in_bytes"
	err := cgroups.WriteFile(dir, file, strconv.FormatInt(*limit, 10))
	if err != nil && !errors.Is(err, errors.ErrUnsupported) && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if now, readErr := cgroups.ReadFile(dir, file); err != nil || readErr != nil || !limited(now, *limit) {
		slog.Warn("linux.resources.memory.kernel has no effect on this kernel; linux.resources.memory.limit counts kernel memory too")
	}
	return nil
}

// limited reports whether a limit was taken over; the kernel rounds down to pages.
func limited(now string, limit int64) bool {
	var n int64
	_, err := fmt.Sscan(now, &n)
	return err == nil && (limit < 0 || n <= limit)
}

// canApplyInOrder holds for a list of what is allowed of nothing. A denial after that would not take a device out of
// a wildcard allowed before; those lists are left to the manager, which computes their effect.
func canApplyInOrder(rules []*devices.Rule) bool {
	for i, r := range rules {
		all := r.Type == devices.WildcardDevice && r.Major == devices.Wildcard && r.Minor == devices.Wildcard
		if first := i == 0; r.Allow == first || first && !all || !first && all {
			return false
		}
	}
	return len(rules) > 0
}

// applyInOrder makes devices.list read as config.json does.
func applyInOrder(dir string, rules []*devices.Rule) error {
	for _, r := range rules {
		file := "devices.allow"
		if !r.Allow {
			file = "devices.deny"
		}
		if err := cgroups.WriteFile(dir, file, r.CgroupString()); err != nil {
			return err
		}
	}
	return nil
}
