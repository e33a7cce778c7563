package libpod

import (
	"github.com/proa-containers/proa/oci/spec"
)

// InspectedSettings are those fields of Docker's HostConfig that limit the container, give it devices or are always
// there for scripts to read.
type InspectedSettings struct {
	MemoryReservation int64
	CpuPeriod         uint64
	CpuQuota          int64
	CpuShares         uint64
	CpusetCpus        string
	CpusetMems        string
	BlkioWeight       uint16
	GroupAdd          []string
	Devices           []InspectedDevice
	Ulimits           []InspectedUlimit
	PortBindings      map[string][]InspectedPort
	PublishAllPorts   bool
	UsernsMode        string
	Dns               []string
	DnsOptions        []string
	DnsSearch         []string
}

// InspectedDevice is a --device.
type InspectedDevice struct{ PathOnHost, PathInContainer, CgroupPermissions string }

// InspectedUlimit is a --ulimit.
type InspectedUlimit struct {
	Name       string
	Hard, Soft int64
}

// complete fills in the settings, and where none was asked for what Docker says that a container then has.
func (h *InspectedHost) complete(cfg spec.Config) {
	r := cfg.Resources
	h.CpuShares, h.CpusetCpus, h.GroupAdd = r.CPUShares, r.CPUSet, cfg.Process.Groups
	h.MemoryReservation, h.CpuPeriod, h.CpuQuota, h.CpusetMems = r.Reserved, r.CPUPeriod, r.CPUQuota, r.CPUSetMems
	h.BlkioWeight = r.IOWeight
	if r.Memory != 0 && r.MemorySwap == 0 {
		h.MemorySwap = 2 * r.Memory
	}
	h.Devices, h.Ulimits = []InspectedDevice{}, []InspectedUlimit{}
	h.Dns, h.DnsOptions, h.DnsSearch = []string{}, []string{}, []string{}
	for _, d := range cfg.Mounts.Devices {
		h.Devices = append(h.Devices, InspectedDevice{d.Source, d.Target, d.Access})
	}
	for _, l := range cfg.Process.Rlimits {
		h.Ulimits = append(h.Ulimits, InspectedUlimit{l.Name, l.Hard, l.Soft})
	}
	for _, mode := range []*string{&h.IpcMode, &h.CgroupnsMode} {
		if *mode == "" {
			*mode = "private"
		}
	}
}
