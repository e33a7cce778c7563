package libpod

import (
	"cmp"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/proa-containers/proa/libpod/volume"
	"github.com/proa-containers/proa/oci/monitor"
	"github.com/proa-containers/proa/oci/spec"
)

// Inspected is a container in the shape of Docker's inspect, as far as proa has what it describes.
type Inspected struct {
	ID              string `json:"Id"`
	Created         time.Time
	Path            string
	Args            []string
	State           InspectedState
	Image           string
	ResolvConfPath  string
	HostnamePath    string
	HostsPath       string
	LogPath         string
	Name            string
	RestartCount    int
	Driver          string
	Platform        string
	MountLabel      string
	ProcessLabel    string
	AppArmorProfile string
	ExecIDs         []string
	HostConfig      InspectedHost
	GraphDriver     InspectedDriver
	Mounts          []InspectedMount
	Config          InspectedConfig
	NetworkSettings InspectedNetwork
	SizeRw          *int64 `json:",omitempty"` // the caller measures
	SizeRootFs      *int64 `json:",omitempty"`
}

// InspectedState is how the container is.
type InspectedState struct {
	Status                                       string
	Running, Paused, Restarting, OOMKilled, Dead bool
	Pid, ExitCode                                int
	Error                                        string
	StartedAt, FinishedAt                        time.Time
	MonitorPid                                   int                  `json:"ConmonPid"`
	Health                                       *monitor.HealthState `json:",omitempty"`
}

// InspectedHost is what ties the container to its host.
type InspectedHost struct {
	Binds           []string
	NetworkMode     string
	PidMode         string
	IpcMode         string
	UTSMode         string
	CgroupnsMode    string
	AutoRemove      bool
	Privileged      bool
	ReadonlyRootfs  bool
	CapAdd, CapDrop []string
	SecurityOpt     []string
	ExtraHosts      []string
	LogConfig       InspectedLog
	Init            bool
	ShmSize         int64
	VolumesFrom     []string          `json:",omitempty"`
	Tmpfs           map[string]string `json:",omitempty"`
	Memory          int64
	MemorySwap      int64
	NanoCpus        int64
	PidsLimit       int64
	OomScoreAdj     int
	MaskedPaths     []string
	ReadonlyPaths   []string
	Sysctls         map[string]string `json:",omitempty"`
	Runtime         string
	RestartPolicy   InspectedRestart
	InspectedSettings
	InspectedUnset
}

// InspectedRestart is the restart policy.
type InspectedRestart struct {
	Name              string
	MaximumRetryCount int
}

// InspectedLog is the log driver.
type InspectedLog struct {
	Type   string
	Config map[string]string
}

// InspectedDriver is where the root is made from.
type InspectedDriver struct {
	Name string
	Data map[string]string
}

// InspectedMount is one mount that the user asked for.
type InspectedMount struct {
	Type                string
	Name                string `json:",omitempty"`
	Source, Destination string
	Driver              string `json:",omitempty"`
	Mode                string
	RW                  bool
	Propagation         string
}

// InspectedConfig is what the image and the command line said.
type InspectedConfig struct {
	Hostname, Domainname, User              string
	AttachStdin, AttachStdout, AttachStderr bool
	Tty, OpenStdin, StdinOnce               bool
	Env, Cmd                                []string
	ExposedPorts                            map[string]struct{} `json:",omitempty"`
	Image                                   string
	WorkingDir                              string
	Entrypoint                              []string
	Labels                                  map[string]string
	Volumes                                 map[string]struct{} `json:",omitempty"`
	Annotations                             map[string]string   `json:",omitempty"`
	OnBuild                                 []string            // of an image alone
	StopSignal                              string
	StopTimeout                             *int         `json:",omitempty"`
	Healthcheck                             *spec.Health `json:",omitempty"`
}

// Inspect describes c.
func (e *Engine) Inspect(c *Container) (*Inspected, error) {
	st, err := e.settle(c)
	if err != nil {
		return nil, err
	}
	cfg := c.Config
	out := &Inspected{
		ID: c.ID, Created: c.Created, Image: c.ImageID, Name: "/" + c.Name, Driver: "overlay", Platform: "linux", LogPath: c.Log.Path,
		State: InspectedState{
			Status: string(st.State), Running: st.State == Running || st.State == Paused || st.State == Restarting, Restarting: st.State == Restarting, Paused: st.State == Paused, Pid: st.PID, MonitorPid: st.MonitorPID,
			ExitCode: st.Run.ExitCode, OOMKilled: st.Run.OOMKilled, StartedAt: st.Run.StartedAt, FinishedAt: st.Run.FinishedAt, Error: st.Run.Error, Health: e.Health(c, st),
		},
		HostConfig:      hostConfig(c),
		Mounts:          []InspectedMount{},
		AppArmorProfile: cfg.Security.AppArmor,
		Config: InspectedConfig{
			Hostname: cfg.Namespaces.Hostname, Domainname: cfg.Namespaces.Domainname, User: cfg.Process.User, Tty: c.Terminal,
			OpenStdin: c.Stdin, StdinOnce: c.Stdin, AttachStdout: true, AttachStderr: true, AttachStdin: c.Stdin,
			Env: cfg.Process.Env, Cmd: cfg.Process.Cmd, Entrypoint: cfg.Process.Entrypoint, Image: c.Image, WorkingDir: cfg.Process.Cwd,
			Labels: c.Labels, Annotations: c.Annotations, StopSignal: c.StopSignal, StopTimeout: c.StopTimeout, Healthcheck: cfg.Health,
		},
	}
	out.RestartCount = st.Run.Restarts
	if r, ok := e.restarts(c.ID); ok {
		out.RestartCount = r.Count
	}
	if c.ImageID != "" {
		out.Image = "sha256:" + c.ImageID
	}
	if out.Config.Hostname == "" {
		out.Config.Hostname = c.ID[:12]
	}
	if args := cfg.Process.Args; len(args) > 0 {
		out.Path, out.Args = args[0], args[1:]
	}
	if err := e.inspectMounts(c, out); err != nil {
		return nil, err
	}
	if err := e.inspectNetwork(c, st, out); err != nil {
		return nil, err
	}
	return out, e.inspectStored(c, st, out)
}

// inspectStored fills in the paths that are there only while the container's layer or run directory is.
func (e *Engine) inspectStored(c *Container, st Status, out *Inspected) error {
	if st.State == Running || st.State == Paused {
		dir := e.runDir(c.ID)
		out.ResolvConfPath, out.HostnamePath, out.HostsPath = dir+"/resolv.conf", dir+"/hostname", dir+"/hosts"
	}
	if c.Rootfs != "" && !c.RootfsCopy {
		return nil
	}
	s, err := e.store()
	if err != nil {
		return err
	}
	o, err := s.Overlay(c.ID)
	if err != nil {
		return nil // removed meanwhile
	}
	out.GraphDriver = InspectedDriver{"overlay", map[string]string{"UpperDir": o.Upper, "WorkDir": o.Work}}
	return nil
}

func hostConfig(c *Container) InspectedHost {
	cfg := c.Config
	h := InspectedHost{
		PidMode: cfg.Namespaces.PID, IpcMode: cfg.Namespaces.IPC, UTSMode: cfg.Namespaces.UTS,
		CgroupnsMode: cfg.Namespaces.Cgroup, AutoRemove: c.AutoRemove, Privileged: cfg.Security.Privileged, ReadonlyRootfs: cfg.Mounts.ReadonlyRoot,
		CapAdd: cfg.Security.CapAdd, CapDrop: cfg.Security.CapDrop, ExtraHosts: cfg.Namespaces.ExtraHosts, Init: cfg.Process.Init,
		ShmSize: cfg.Mounts.ShmSize, Memory: cfg.Resources.Memory, MemorySwap: cfg.Resources.MemorySwap, NanoCpus: int64(cfg.Resources.CPUs * 1e9),
		PidsLimit: cfg.Resources.PidsLimit, Sysctls: cfg.Process.Sysctls, Runtime: c.Runtime, RestartPolicy: InspectedRestart{cmp.Or(c.Restart.Name, "no"), c.Restart.Max},
		LogConfig: InspectedLog{c.Log.Driver, map[string]string{}},
	}
	if h.Runtime == "" {
		h.Runtime = "proa"
	}
	if h.ShmSize == 0 {
		h.ShmSize = 64 << 20
	}
	maps.Copy(h.LogConfig.Config, c.Log.Options)
	if cfg.Process.OOMScore != nil {
		h.OomScoreAdj = *cfg.Process.OOMScore
	}
	if cfg.Security.NoNewPrivileges {
		h.SecurityOpt = append(h.SecurityOpt, "no-new-privileges")
	}
	if cfg.Security.Seccomp != "" {
		h.SecurityOpt = append(h.SecurityOpt, "seccomp="+cfg.Security.Seccomp)
	}
	h.VolumesFrom = cfg.Mounts.VolumesFrom
	for _, m := range cfg.Mounts.List {
		switch m.Type {
		case "bind":
			h.Binds = append(h.Binds, strings.TrimSuffix(m.Source+":"+m.Target+":"+mountMode(m), ":"))
		case "volume":
			if !m.Volume.Inherited && !m.Volume.Anonymous {
				h.Binds = append(h.Binds, strings.TrimSuffix(m.Volume.Name+":"+m.Target+":"+mountMode(m), ":"))
			}
		case "tmpfs":
			if h.Tmpfs == nil {
				h.Tmpfs = map[string]string{}
			}
			h.Tmpfs[m.Target] = ""
		}
	}
	h.MaskedPaths, h.ReadonlyPaths = cfg.Security.Paths()
	h.complete(cfg)
	return h
}

// mountMode is a mount's options as -v takes them.
func mountMode(m spec.Mount) string {
	mode := slices.Clone(m.Options)
	if m.Volume != nil && m.Volume.NoCopy && !m.Volume.Inherited {
		mode = append(mode, "nocopy")
	}
	if m.Chown {
		mode = append(mode, "U")
	}
	return strings.Join(mode, ",")
}

func (e *Engine) inspectMounts(c *Container, out *Inspected) error {
	for _, m := range c.Config.Mounts.List {
		i := InspectedMount{
			Type: m.Type, Source: m.Source, Destination: m.Target, Mode: mountMode(m), RW: !slices.Contains(m.Options, "ro"), Propagation: "rprivate",
		}
		if m.Volume != nil {
			i.Name, i.Driver, i.Propagation = m.Volume.Name, volume.Driver, ""
			s, err := e.Volumes()
			if err != nil {
				return err
			}
			if v, err := s.Get(i.Name); err == nil { // one that is gone is nowhere
				i.Source = v.Mountpoint()
			}
			if m.Volume.Anonymous {
				if out.Config.Volumes == nil {
					out.Config.Volumes = map[string]struct{}{}
				}
				out.Config.Volumes[m.Target] = struct{}{}
			}
		}
		out.Mounts = append(out.Mounts, i)
	}
	return nil
}
