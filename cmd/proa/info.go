package main

import (
	"encoding/json"
	"fmt"
	"os"
	"runtime"
	"strings"

	"github.com/proa-containers/proa/libpod"
	"github.com/proa-containers/proa/libpod/rootless"
	"github.com/urfave/cli/v2"
	"golang.org/x/sys/unix"
)

// info has Docker's names for what Docker has.
type info struct {
	Containers, ContainersRunning, ContainersPaused, ContainersStopped, Images int
	Driver                                                                     string
	DockerRootDir                                                              string
	RunRoot                                                                    string
	CgroupDriver, CgroupVersion                                                string
	KernelVersion, OperatingSystem, OSType, Architecture, Name                 string
	NCPU                                                                       int
	MemTotal                                                                   uint64
	SecurityOptions                                                            []string
	DefaultRuntime, ServerVersion                                              string
	LoggingDriver                                                              string
	Plugins                                                                    plugins
	Rootless                                                                   bool
}

// plugins are Docker's place for the names of log drivers.
type plugins struct{ Log []string }

func newInfoCommand(a *app) *cli.Command {
	return &cli.Command{
		Name:  "info",
		Usage: "show the engine, its store and the host",
		Flags: []cli.Flag{&cli.StringFlag{Name: "format", Aliases: []string{"f"}, Usage: "json or a Go `TEMPLATE`"}},
		Action: func(c *cli.Context) error {
			e, err := a.engine(c.Context)
			if err != nil {
				return err
			}
			i, err := gatherInfo(c, e)
			if err != nil {
				return err
			}
			switch f := c.String("format"); f {
			case "":
				return printInfo(a, i)
			case "json":
				return json.NewEncoder(a.out).Encode(i)
			default:
				t, err := parseTemplate(f)
				if err != nil {
					return err
				}
				return t.print(a.out, i)
			}
		},
	}
}

func gatherInfo(c *cli.Context, e *libpod.Engine) (*info, error) {
	list, err := e.List(c.Context)
	if err != nil {
		return nil, err
	}
	s, err := e.Store()
	if err != nil {
		return nil, err
	}
	images, err := s.Images()
	if err != nil {
		return nil, err
	}
	i := &info{
		Containers: len(list), Images: len(images), Driver: s.Driver(), DockerRootDir: s.GraphRoot(), RunRoot: s.RunRoot(),
		CgroupDriver: "none", CgroupVersion: "1", OSType: runtime.GOOS, Architecture: runtime.GOARCH, NCPU: runtime.NumCPU(),
		LoggingDriver: libpod.LogDrivers()[0], Plugins: plugins{libpod.LogDrivers()},
		DefaultRuntime: "proa", ServerVersion: version, Rootless: rootless.Rootless(), SecurityOptions: []string{"name=seccomp"},
	}
	for _, l := range list {
		switch l.Status.State {
		case libpod.Running:
			i.ContainersRunning++
		case libpod.Paused:
			i.ContainersPaused++
		default:
			i.ContainersStopped++
		}
	}
	if i.Rootless {
		i.SecurityOptions = append(i.SecurityOptions, "name=rootless")
	}
	var st unix.Statfs_t
	if unix.Statfs("/sys/fs/cgroup", &st) == nil && st.Type == unix.CGROUP2_SUPER_MAGIC {
		i.CgroupVersion = "2"
	}
	var u unix.Utsname
	if unix.Uname(&u) == nil {
		i.KernelVersion, i.Name = unix.ByteSliceToString(u.Release[:]), unix.ByteSliceToString(u.Nodename[:])
	}
	var mem unix.Sysinfo_t
	if unix.Sysinfo(&mem) == nil {
		i.MemTotal = mem.Totalram * uint64(mem.Unit)
	}
	i.OperatingSystem = osName()
	return i, nil
}

func osName() string {
	b, err := os.ReadFile("/etc/os-release")
	if err != nil {
		return "unknown"
	}
	for line := range strings.Lines(string(b)) {
		if v, ok := strings.CutPrefix(strings.TrimSpace(line), "PRETTY_NAME="); ok {
			return strings.Trim(v, `"`)
		}
	}
	return "unknown"
}

func printInfo(a *app, i *info) error {
	_, err := fmt.Fprintf(a.out, `Containers: %d (running %d, paused %d, stopped %d)
Images: %d
Server Version: %s
Storage Driver: %s
Root Dir: %s
Run Root: %s
Logging Driver: %s
Log Drivers: %s
Cgroup Driver: %s
Cgroup Version: %s
Default Runtime: %s
Security Options: %s
Rootless: %v
Kernel Version: %s
Operating System: %s
OSType: %s
Architecture: %s
CPUs: %d
Total Memory: %.2fGiB
Name: %s
`, i.Containers, i.ContainersRunning, i.ContainersPaused, i.ContainersStopped, i.Images, i.ServerVersion, i.Driver, i.DockerRootDir, i.RunRoot,
		i.LoggingDriver, strings.Join(i.Plugins.Log, ", "),
		i.CgroupDriver, i.CgroupVersion, i.DefaultRuntime, strings.Join(i.SecurityOptions, ", "), i.Rootless, i.KernelVersion, i.OperatingSystem,
		i.OSType, i.Architecture, i.NCPU, float64(i.MemTotal)/(1<<30), i.Name)
	return err
}
