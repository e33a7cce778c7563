package libpod

// InspectedUnset are the fields of Docker's HostConfig for what can't be asked for here, with the values that Docker shows
// where nobody asked: scripts' templates name them.
type InspectedUnset struct {
	VolumeDriver         string
	ConsoleSize          [2]uint
	Cgroup               string
	CgroupParent         string
	Links                []string
	Isolation            string
	BlkioWeightDevice    []struct{}
	BlkioDeviceReadBps   []struct{}
	BlkioDeviceWriteBps  []struct{}
	BlkioDeviceReadIOps  []struct{}
	BlkioDeviceWriteIOps []struct{}
	CpuRealtimePeriod    int64
	CpuRealtimeRuntime   int64
	CpuCount             int64
	CpuPercent           int64
	IOMaximumIOps        uint64
	IOMaximumBandwidth   uint64
	DeviceCgroupRules    []string
	DeviceRequests       []struct{}
	MemorySwappiness     *int64
	OomKillDisable       bool
}
