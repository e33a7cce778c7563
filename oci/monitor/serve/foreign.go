package serve

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"syscall"
	"time"

	"github.com/proa-containers/proa/oci/driver"
	"github.com/proa-containers/proa/oci/launch"
	"github.com/proa-containers/proa/oci/monitor"
	"golang.org/x/sys/unix"
)

// launchForeign has another runtime make and start the container. Its init becomes this process's child when the
// runtime has ended, as long as this process is the nearest subreaper.
func (s *server) launchForeign(rt driver.Runtime) (*monitor.Init, error) {
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		return nil, fmt.Errorf("becoming a subreaper: %w", err)
	}
	init, err := s.createForeign(rt)
	if err == nil {
		if err = rt.Start(); err == nil {
			s.await = func() (syscall.WaitStatus, error) { return s.awaitChild(init.PID) }
			s.after = func() { rt.Delete() } // what it leaves, libpod removes with the run directory
			init.StartedAt = time.Now()
			return init, nil
		}
	}
	rt.Delete()
	return nil, err
}

func (s *server) createForeign(rt driver.Runtime) (*monitor.Init, error) {
	defer s.closeInherited()
	var c launch.Config // for its streams
	child, err := s.stdio(&c)
	if err != nil {
		return nil, err
	}
	p, err := rt.Create(driver.Place{Root: s.root, Cgroup: s.cgroup}, driver.Streams{In: c.Stdin, Out: c.Stdout, Err: c.Stderr, Terminal: s.cfg.Terminal})
	for _, f := range child {
		f.Close()
	}
	if err != nil {
		return nil, s.complete(err)
	}
	if p.Console != nil {
		s.clients.setConsole(p.Console)
		s.parent = []*os.File{p.Console}
	}
	start, err := launch.StartTime(p.PID)
	return &monitor.Init{PID: p.PID, StartTime: start}, err
}

// complete adds what a runtime that logged nothing wrote to what was to be the container's standard error.
func (s *server) complete(err error) error {
	var e *driver.Error
	if errors.As(err, &e) && e.Silent && len(s.parent) == 2 {
		s.parent[1].SetReadDeadline(time.Now().Add(time.Second))
		b, _ := io.ReadAll(io.LimitReader(s.parent[1], 4096))
		if words := strings.TrimSpace(string(b)); words != "" {
			e.Text = words
		}
	}
	return err
}

// awaitChild reaps every child until pid ended: the runtime's own processes may come here too. With a health check, whose
// commands are this process's children as well, it reaps pid alone. Where pid is no child, because the runtime did not
// leave it to its subreaper, its end is seen and its status is not.
func (s *server) awaitChild(pid int) (syscall.WaitStatus, error) {
	defer s.leaveChildren()
	for !s.checks.children.Load() {
		var ws unix.WaitStatus
		got, err := unix.Wait4(-1, &ws, 0, nil)
		switch {
		case err == unix.EINTR:
		case err != nil:
			return 0, errors.Join(fmt.Errorf("waiting for process %d: it is no child", pid), awaitEnd(pid))
		case got == pid:
			return syscall.WaitStatus(ws), nil
		}
	}
	s.leaveChildren()
	return awaitOne(pid)
}

// leaveChildren says that awaitChild reaps no child of a check's.
func (s *server) leaveChildren() { s.checks.once.Do(func() { close(s.checks.left) }) }

// shareChildren has awaitChild leave the children of health checks alone, and returns when it does. It may be waiting for
// any: one that ends at once, having nothing to do, makes it look. A command whose end it took from its check would stay a
// zombie, and with that the container's pid namespace.
func (s *server) shareChildren() error {
	if s.checks.children.Swap(true) || s.cfg.Runtime == nil || s.checks.proc == nil {
		return nil
	}
	nudge, err := os.StartProcess("/proc/self/exe", []string{"proa-init"}, &os.ProcAttr{})
	if err != nil {
		s.checks.children.Store(false)
		return err
	}
	<-s.checks.left
	_, _ = nudge.Wait() // unless awaitChild has
	return nil
}

// awaitOne waits for the child pid alone.
func awaitOne(pid int) (syscall.WaitStatus, error) {
	for {
		var ws unix.WaitStatus
		_, err := unix.Wait4(pid, &ws, 0, nil)
		switch {
		case err == nil:
			return syscall.WaitStatus(ws), nil
		case err != unix.EINTR:
			return 0, errors.Join(fmt.Errorf("waiting for process %d: it is no child", pid), awaitEnd(pid))
		}
	}
}

func awaitEnd(pid int) error {
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	for {
		if _, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, -1); err != unix.EINTR {
			return err
		}
	}
}
