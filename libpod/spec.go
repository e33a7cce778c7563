package libpod

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/opencontainers/runtime-spec/specs-go"
	"github.com/proa-containers/proa/libpod/network/netd"
	"github.com/proa-containers/proa/libpod/rootless"
	"github.com/proa-containers/proa/oci/plan"
	"github.com/proa-containers/proa/oci/seccomp"
	"github.com/proa-containers/proa/oci/spec"
	"golang.org/x/sys/unix"
)

// makeSpec is the container's configuration for this run, its user and working directory looked up in root.
func (e *Engine) makeSpec(ctx context.Context, c *Container, root *rootMount) (*specs.Spec, error) {
	p := c.Config.Process
	user, err := spec.ResolveUser(root.file, p.User, p.Groups)
	if err != nil {
		return nil, err
	}
	if p.Cwd != "" && p.Cwd != "/" && !c.Config.Mounts.ReadonlyRoot && root.overlay != nil {
		if err := spec.EnsureDir(root.file, p.Cwd); err != nil {
			return nil, err
		}
	}
	for _, m := range c.Config.Mounts.List {
		if m.Type != "bind" {
			continue
		}
		if _, err := os.Stat(m.Source); err != nil {
			return nil, fmt.Errorf("bind source path does not exist: %q; make it first (%w)", m.Source, err)
		}
	}
	volumes, err := e.mountVolumes(ctx, c, root, user)
	if err != nil {
		return nil, err
	}
	files, err := e.etcFiles(c, root)
	if err != nil {
		return nil, err
	}
	env := spec.Env{ID: c.ID, Rootless: rootless.Rootless(), Root: root.path, User: user, Files: files, Volumes: volumes, Annotations: c.Annotations, Namespace: e.namespace}
	if c.pinned() {
		env.NetNS = netd.PinFile(e.netdDir(), c.ID)
	}
	if _, err := os.Stat("/dev/mqueue"); err == nil {
		env.HostMqueue = true
	}
	if root.path == "" {
		env.Root = "rootfs"
	}
	if c.Config.Security.Privileged {
		env.Devices = hostDevices()
	}
	return spec.New(c.Config, env)
}

// namespace is the path of a namespace of the running container ref.
func (e *Engine) namespace(ref, kind string) (string, error) {
	c, err := e.Lookup(ref)
	if err != nil {
		return "", err
	}
	st := e.Status(c)
	if st.PID == 0 {
		return "", &WrongStateError{c.Name, st.State, "is not running"}
	}
	return fmt.Sprintf("/proc/%d/ns/%s", st.PID, kind), nil
}

// hostDevices are the devices that a privileged container sees: those of the host that its user may open at all.
func hostDevices() []spec.Device {
	var out []spec.Device
	base := map[string]bool{"null": true, "zero": true, "full": true, "random": true, "urandom": true, "tty": true, "console": true, "ptmx": true}
	filepath.WalkDir("/dev", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return fs.SkipDir
		}
		switch path {
		case "/dev/pts", "/dev/shm", "/dev/mqueue", "/dev/hugepages":
			return fs.SkipDir
		}
		if d.Type()&fs.ModeDevice != 0 && !base[d.Name()] && unix.Access(path, unix.R_OK) == nil {
			out = append(out, spec.Device{Source: path, Target: path, Access: "rwm"})
		}
		return nil
	})
	return out
}

// filter compiles the container's seccomp filter; nil for none.
func (e *Engine) filter(s spec.Security) (*plan.Seccomp, error) {
	if s.Privileged || s.Seccomp == "unconfined" {
		return nil, nil
	}
	f, err := seccomp.Default(s.Seccomp, s.Capabilities(), e.cacheDir())
	if err != nil {
		return nil, err
	}
	return &plan.Seccomp{Filter: f.BPF, Flags: f.Flags}, nil
}
