package libpod

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"syscall"

	"github.com/proa-containers/proa/libpod/config"
	"github.com/proa-containers/proa/libpod/network"
	"github.com/proa-containers/proa/libpod/network/netd"
	"github.com/proa-containers/proa/libpod/rootless"
	"github.com/proa-containers/proa/oci/launch"
	"github.com/proa-containers/proa/oci/monitor"
	"github.com/proa-containers/proa/oci/spec"
	"golang.org/x/sys/unix"
)

// networked tells whether the container is on networks that netd holds.
func (c *Container) networked() bool { return c.Config.Namespaces.Network == network.ModeBridge }

// pinned tells whether the container's network namespace is made before its init and outlives it: the monitor starts the
// init again, another runtime makes it, or it joins namespaces and is not forked ahead.
func (c *Container) pinned() bool {
	_, own := newNamespaces(c.Config.Namespaces)
	return c.networked() && (c.Runtime != "" || c.restarts() || !own)
}

func (e *Engine) netdDir() string { return filepath.Join(e.paths.RunDir, "netd") }

// netd is the client of this user's proa-netd, which it starts when there is none.
func (e *Engine) netd() *netd.Client { return &netd.Client{Dir: e.netdDir(), Start: e.startNetd} }

// startNetd starts netd beside the monitors, in their cgroup: it outlives the session that it is started from.
func (e *Engine) startNetd(ready *os.File) error {
	ctx := context.Background() // who gives up waits for netd no less: others may need it
	place, err := e.findPlace(ctx, spec.Resources{})
	if err != nil {
		return err
	}
	path, err := config.Program("proa-netd")
	if err != nil {
		return err
	}
	name := filepath.Join(e.netdDir(), netd.LogFile)
	os.Rename(name, name+".old") // one that was killed may have said why
	log, err := os.OpenFile(name, os.O_CREATE|os.O_WRONLY|os.O_TRUNC|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	cmd := exec.Command(path, "--dir", e.netdDir(), fmt.Sprintf("--rootless=%v", rootless.Rootless()))
	cmd.Stdout, cmd.Stderr = log, log
	cmd.ExtraFiles = []*os.File{ready}
	cmd.Dir, cmd.Env = "/", rootless.ChildEnv(runtimeEnv(os.Environ()))
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if place != nil && place.Leaf != "" && !place.Attach {
		leaf, err := os.OpenFile(place.Leaf, unix.O_DIRECTORY|os.O_RDONLY, 0)
		if err != nil {
			return fmt.Errorf("opening the monitors' cgroup: %w", err)
		}
		defer leaf.Close()
		cmd.SysProcAttr.UseCgroupFD, cmd.SysProcAttr.CgroupFD = true, int(leaf.Fd())
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	if place != nil && place.Attach {
		if err := place.Move(ctx, e.cgroupOptions(), cmd.Process.Pid); err != nil {
			e.warn(err)
		}
	}
	go cmd.Wait() // it may end before this process does
	return nil
}

// plug asks netd for the networks of c, whose monitor is m. The answer is awaited with the session.
func (e *Engine) plug(c *Container, m *monitorProcess) (*netd.Session, error) {
	r := netd.Request{ID: c.ID, Name: c.Name, RunDir: e.runDir(c.ID), Attachments: c.Networks, Ports: c.Ports, Pin: c.pinned(), DNS: c.Names.Servers, Egress: c.Egress}
	networks, err := e.Networks()
	if err != nil {
		return nil, err
	}
	for _, a := range c.Networks {
		n, err := networks.Get(a.Network)
		if err != nil {
			return nil, err
		}
		r.Networks = append(r.Networks, *n)
	}
	var netns *os.File
	if r.Pin {
		r.Init = monitor.Init{PID: m.cmd.Process.Pid}
		if r.Init.StartTime, err = launch.StartTime(r.Init.PID); err == nil {
			netns, err = newNetNS()
		}
	} else {
		if r.Init, err = m.conceived(); err == nil {
			netns, err = os.Open(fmt.Sprintf("/proc/%d/ns/net", r.Init.PID))
		}
	}
	if err != nil {
		return nil, fmt.Errorf("opening the container's network namespace: %w", err)
	}
	return e.netd().Setup(r, netns)
}

// newNetNS makes a network namespace with its loopback interface raised.
func newNetNS() (*os.File, error) {
	type result struct {
		f   *os.File
		err error
	}
	done := make(chan result, 1)
	go func() {
		runtime.LockOSThread() // and never unlock: the thread ends with the goroutine
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			done <- result{nil, err}
			return
		}
		f, err := os.Open("/proc/thread-self/ns/net")
		if err == nil {
			err = raiseLoopback()
		}
		done <- result{f, err}
	}()
	r := <-done
	return r.f, r.err
}

func raiseLoopback() error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	req, err := unix.NewIfreq("lo")
	if err != nil {
		return err
	}
	req.SetUint16(unix.IFF_UP | unix.IFF_RUNNING)
	return unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, req)
}

// Networks is the store of the user's networks.
func (e *Engine) Networks() (*network.Store, error) {
	s, err := e.store()
	if err != nil {
		return nil, err
	}
	return network.New(s.GraphRoot(), rootless.Rootless()), nil
}

// join has the container on its networks, which a Warm may have asked for.
func (e *Engine) join(c *Container, m *monitorProcess, w *Warm) (err error) {
	if w.nets == nil {
		if w.nets, err = e.plug(c, m); err != nil {
			return err
		}
	}
	return e.plugged(c, w.nets)
}

// plugged waits until the container is on its networks, and writes the files that follow from its addresses.
func (e *Engine) plugged(c *Container, s *netd.Session) error {
	links, err := e.links(c)
	if err != nil {
		return err
	}
	names := netd.Names{Name: c.Name, Links: links}
	if c.Egress.Deny {
		names.Events = e.eventSource(c)
	}
	answer, err := s.Finish(names)
	if err != nil {
		return fmt.Errorf("setting up the networks of container %q: %w", c.Name, err)
	}
	return e.writeNetFiles(c, answer)
}

// netRecord is what netd has of a container that runs, nil when it is on no network.
func (e *Engine) netRecord(c *Container) (*netd.Record, error) {
	r, err := netd.Read(e.netdDir(), c.ID)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return r, err
}

// healNetd starts a successor of a netd that was killed: it goes on with the containers that live and removes what it
// finds of the others.
func (e *Engine) healNetd() error {
	if !netd.Orphaned(e.netdDir()) {
		return nil
	}
	return e.netd().Revive()
}
