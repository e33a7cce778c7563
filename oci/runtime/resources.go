package runtime

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"

	"github.com/opencontainers/cgroups"
	_ "github.com/opencontainers/cgroups/devices" // teaches the managers device rules
	devices "github.com/opencontainers/cgroups/devices/config"
	"github.com/opencontainers/runtime-spec/specs-go"
)

// Limits names the limits asked for.
func Limits(r *specs.LinuxResources) []string {
	if r == nil {
		return nil
	}
	var out []string
	add := func(name string, set bool) {
		if set {
			out = append(out, name)
		}
	}
	if m := r.Memory; m != nil {
		add("memory", m.Limit != nil && *m.Limit > 0 || m.Swap != nil && *m.Swap > 0 || m.Reservation != nil && *m.Reservation > 0 || m.Swappiness != nil || m.DisableOOMKiller != nil && *m.DisableOOMKiller)
	}
	if m := r.Memory; m != nil {
		add("kernel TCP memory", m.KernelTCP != nil && *m.KernelTCP > 0)
	}
	if c := r.CPU; c != nil {
		add("cpu", c.Shares != nil && *c.Shares > 0 || c.Quota != nil && *c.Quota > 0 || c.Idle != nil && *c.Idle != 0)
	}
	add("cpuset", r.CPU != nil && (r.CPU.Cpus != "" || r.CPU.Mems != ""))
	add("pids", r.Pids != nil && r.Pids.Limit != nil && *r.Pids.Limit > 0)
	add("block I/O", r.BlockIO != nil)
	add("huge pages", len(r.HugepageLimits) > 0)
	add("network classes", r.Network != nil)
	add("rdma", len(r.Rdma) > 0)
	add("unified", len(r.Unified) > 0)
	return out
}

// limitError names the limits whose controllers a cgroup v2 was not given, when err comes of that.
func limitError(m cgroups.Manager, r *specs.LinuxResources, err error) error {
	if errors.Is(err, fs.ErrNotExist) && cgroups.IsCgroup2UnifiedMode() {
		dir := m.Path("")
		have := strings.Fields(readLine(filepath.Join(dir, "cgroup.controllers")))
		var missing []string
		for _, limit := range Limits(r) {
			controller, other := map[string]string{"block I/O": "io", "huge pages": "hugetlb"}[limit]
			if !other {
				controller = limit
			}
			if !slices.Contains(have, controller) {
				missing = append(missing, controller)
			}
		}
		if len(missing) > 0 {
			return fmt.Errorf("set the container's limits: the cgroup %q has no controller %s to give; have it delegated (systemd: Delegate=) or remove the limit", filepath.Dir(dir), strings.Join(missing, ", "))
		}
	}
	return fmt.Errorf("set the container's limits: %w", err)
}

// Resources converts the limits and device rules of a spec to what a cgroup manager takes; nil is the default rules.
func Resources(s *specs.LinuxResources) (*cgroups.Resources, error) {
	r := &cgroups.Resources{Devices: defaultRules()}
	if s == nil {
		return r, nil
	}
	if len(s.Devices) > 0 {
		rules, err := deviceRules(s.Devices)
		if err != nil {
			return nil, err
		}
		r.Devices = append(rules, defaultRules()[1:]...)
	}
	if m := s.Memory; m != nil {
		set(&r.Memory, m.Limit)
		set(&r.MemoryReservation, m.Reservation)
		set(&r.MemorySwap, m.Swap)
		set(&r.OomKillDisable, m.DisableOOMKiller)
		set(&r.MemoryCheckBeforeUpdate, m.CheckBeforeUpdate)
		r.MemorySwappiness = m.Swappiness
	}
	if c := s.CPU; c != nil {
		set(&r.CpuShares, c.Shares)
		r.CpuWeight = cgroups.ConvertCPUSharesToCgroupV2Value(r.CpuShares)
		set(&r.CpuQuota, c.Quota)
		set(&r.CpuPeriod, c.Period)
		set(&r.CpuRtRuntime, c.RealtimeRuntime)
		set(&r.CpuRtPeriod, c.RealtimePeriod)
		r.CpuBurst, r.CpusetCpus, r.CpusetMems, r.CPUIdle = c.Burst, c.Cpus, c.Mems, c.Idle
	}
	if s.Pids != nil {
		r.PidsLimit = s.Pids.Limit
	}
	blockIO(r, s.BlockIO)
	for _, h := range s.HugepageLimits {
		r.HugetlbLimit = append(r.HugetlbLimit, &cgroups.HugepageLimit{Pagesize: h.Pagesize, Limit: h.Limit})
	}
	if n := s.Network; n != nil {
		set(&r.NetClsClassid, n.ClassID)
		for _, p := range n.Priorities {
			r.NetPrioIfpriomap = append(r.NetPrioIfpriomap, &cgroups.IfPrioMap{Interface: p.Name, Priority: int64(p.Priority)})
		}
	}
	if len(s.Rdma) > 0 {
		r.Rdma = map[string]cgroups.LinuxRdma{}
		for k, v := range s.Rdma {
			r.Rdma[k] = cgroups.LinuxRdma{HcaHandles: v.HcaHandles, HcaObjects: v.HcaObjects}
		}
	}
	r.Unified = s.Unified
	return r, nil
}

func set[T any](to *T, from *T) {
	if from != nil {
		*to = *from
	}
}

func blockIO(r *cgroups.Resources, b *specs.LinuxBlockIO) {
	if b == nil {
		return
	}
	set(&r.BlkioWeight, b.Weight)
	set(&r.BlkioLeafWeight, b.LeafWeight)
	for _, d := range b.WeightDevice {
		var weight, leaf uint16
		set(&weight, d.Weight)
		set(&leaf, d.LeafWeight)
		r.BlkioWeightDevice = append(r.BlkioWeightDevice, cgroups.NewWeightDevice(d.Major, d.Minor, weight, leaf))
	}
	throttle := func(in []specs.LinuxThrottleDevice) (out []*cgroups.ThrottleDevice) {
		for _, d := range in {
			out = append(out, cgroups.NewThrottleDevice(d.Major, d.Minor, d.Rate))
		}
		return out
	}
	r.BlkioThrottleReadBpsDevice = throttle(b.ThrottleReadBpsDevice)
	r.BlkioThrottleWriteBpsDevice = throttle(b.ThrottleWriteBpsDevice)
	r.BlkioThrottleReadIOPSDevice = throttle(b.ThrottleReadIOPSDevice)
	r.BlkioThrottleWriteIOPSDevice = throttle(b.ThrottleWriteIOPSDevice)
}

// defaultRules deny everything, then allow making any node and using the default devices and terminals.
func defaultRules() []*devices.Rule {
	rules := []*devices.Rule{{Type: devices.WildcardDevice, Major: devices.Wildcard, Minor: devices.Wildcard, Permissions: "rwm"}}
	allow := func(t devices.Type, major, minor int64, p devices.Permissions) {
		rules = append(rules, &devices.Rule{Type: t, Major: major, Minor: minor, Permissions: p, Allow: true})
	}
	allow(devices.CharDevice, devices.Wildcard, devices.Wildcard, "m")
	allow(devices.BlockDevice, devices.Wildcard, devices.Wildcard, "m")
	for _, d := range defaultDevices {
		allow(devices.CharDevice, int64(d.major), int64(d.minor), "rwm")
	}
	allow(devices.CharDevice, 5, 1, "rwm")                  // console
	allow(devices.CharDevice, 5, 2, "rwm")                  // ptmx
	allow(devices.CharDevice, 136, devices.Wildcard, "rwm") // pts
	return rules
}

func deviceRules(in []specs.LinuxDeviceCgroup) ([]*devices.Rule, error) {
	var out []*devices.Rule
	for _, d := range in {
		r := &devices.Rule{Type: devices.WildcardDevice, Major: devices.Wildcard, Minor: devices.Wildcard, Allow: d.Allow, Permissions: devices.Permissions(d.Access)}
		switch d.Type {
		case "", "a":
		case "c", "b":
			r.Type = devices.Type(d.Type[0])
		default:
			return nil, fmt.Errorf("config.json: unknown device type %q in linux.resources.devices", d.Type)
		}
		set(&r.Major, d.Major)
		set(&r.Minor, d.Minor)
		if d.Access == "" {
			r.Permissions = "rwm"
		}
		if !r.Permissions.IsValid() {
			return nil, errors.New("config.json: the access of a device rule is made of r, w and m")
		}
		out = append(out, r)
	}
	return out, nil
}
