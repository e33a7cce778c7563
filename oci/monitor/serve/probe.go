package serve

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/proa-containers/proa/oci/driver"
	"github.com/proa-containers/proa/oci/launch"
	"github.com/proa-containers/proa/oci/monitor"
	"golang.org/x/sys/unix"
)

// ask makes one check.
func (p *prober) ask() monitor.HealthResult {
	r := monitor.HealthResult{Start: time.Now()}
	var err error
	switch {
	case p.h.HTTP != nil:
		r.Output, err = p.get(p.h.HTTP)
	case p.h.TCP != nil:
		var f *os.File
		if f, err = p.dial(p.h.TCP); err == nil {
			f.Close()
			r.Output = "connected"
		}
	default:
		r.ExitCode, r.Output, err = p.execute()
	}
	if err != nil {
		if r.ExitCode == 0 {
			r.ExitCode = 1
		}
		if errors.Is(err, os.ErrDeadlineExceeded) {
			r.ExitCode, err = -1, fmt.Errorf("the health check took longer than %v", p.h.Timeout)
		}
		r.Output += err.Error()
	}
	r.End = time.Now()
	return r
}

// execute runs the command in the container.
func (p *prober) execute() (code int, output string, err error) {
	out, in, err := os.Pipe()
	if err != nil {
		return -1, "", err
	}
	defer out.Close()
	wait, kill, err := p.begin(in)
	in.Close()
	if err != nil {
		return -1, "", err
	}
	text := make(chan string, 1)
	go func() {
		b, _ := io.ReadAll(io.LimitReader(out, monitor.MaxOutput))
		io.Copy(io.Discard, out)
		text <- string(b)
	}()
	ended := make(chan int, 1)
	go func() { ended <- wait() }()
	timer := time.NewTimer(p.h.Timeout)
	defer timer.Stop()
	select {
	case code = <-ended:
	case <-timer.C:
		kill()
		<-ended
		err = os.ErrDeadlineExceeded
	}
	// What the command has left running may keep the pipe.
	out.SetReadDeadline(time.Now().Add(100 * time.Millisecond))
	return code, <-text, err
}

// begin starts the command with its output going to out.
func (p *prober) begin(out *os.File) (wait func() int, kill func(), err error) {
	if p.h.Process != nil {
		return p.beginForeign(out)
	}
	if p.plan == nil {
		return nil, nil, errors.New("the health check has no command")
	}
	plan := *p.plan
	c := &launch.Config{InitFD: p.s.init, Plan: &plan, Stdout: out, Stderr: out, CgroupFD: p.s.cgroup}
	if p.s.cfg.PidsMax > 0 {
		// It moves in when it needs no more threads: the kernel holds the limit against fork and clone alone.
		c.CgroupFD, plan.Limit = nil, true
		c.Limit = func(pid int) error {
			return os.WriteFile(filepath.Join(p.s.cfg.CgroupDir, "cgroup.procs"), strconv.AppendInt(nil, int64(pid), 10), 0)
		}
	}
	proc, err := launch.Exec(c, p.init.PID, p.pidfd)
	if err != nil {
		return nil, nil, err
	}
	kill = func() { unix.PidfdSendSignal(int(proc.PidFD.Fd()), unix.SIGKILL, nil, 0) }
	return func() int {
		defer proc.PidFD.Close()
		ws, err := proc.Wait()
		if err != nil {
			return -1
		}
		return status(ws)
	}, kill, nil
}

// beginForeign has the runtime that made the container run the command; it is this process's child then.
func (p *prober) beginForeign(out *os.File) (wait func() int, kill func(), err error) {
	proc, err := p.s.cfg.Runtime.Exec(p.h.Process, driver.Place{Cgroup: p.s.cgroup}, driver.Streams{Out: out, Err: out})
	if err != nil {
		return nil, nil, err
	}
	return func() int {
		ws, err := awaitOne(proc.PID)
		if err != nil {
			return -1
		}
		return status(ws)
	}, func() { unix.Kill(proc.PID, unix.SIGKILL) }, nil
}

// socket makes one in the container's network namespace, to which it belongs for good.
func (p *prober) socket(family int) (fd int, err error) {
	ns, err := os.Open(fmt.Sprintf("/proc/%d/ns/net", p.init.PID))
	if err != nil {
		return -1, errors.New("the container has ended")
	}
	defer ns.Close()
	err = onThread(func() error {
		if err := unix.Setns(int(ns.Fd()), unix.CLONE_NEWNET); err != nil {
			return fmt.Errorf("joining the container's network: %w", err)
		}
		fd, err = unix.Socket(family, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
		return err
	})
	return fd, err
}

// dial connects to the first of the addresses that takes it.
func (p *prober) dial(e *monitor.Endpoint) (f *os.File, err error) {
	deadline := time.Now().Add(p.h.Timeout)
	for _, a := range e.Addrs {
		if f, err = p.connect(a, deadline); err == nil {
			return f, nil
		}
	}
	return nil, err
}

func (p *prober) connect(a netip.AddrPort, deadline time.Time) (*os.File, error) {
	family, to := sockaddr(a)
	fd, err := p.socket(family)
	if err != nil {
		return nil, err
	}
	err = unix.Connect(fd, to)
	f := os.NewFile(uintptr(fd), a.String())
	if err == unix.EINPROGRESS {
		err = awaitConnect(f, deadline)
	}
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("connecting to %v: %w", a, err)
	}
	return f, f.SetDeadline(deadline)
}

func sockaddr(a netip.AddrPort) (family int, to unix.Sockaddr) {
	ip := a.Addr().Unmap()
	if ip.Is4() {
		return unix.AF_INET, &unix.SockaddrInet4{Port: int(a.Port()), Addr: ip.As4()}
	}
	return unix.AF_INET6, &unix.SockaddrInet6{Port: int(a.Port()), Addr: ip.As16()}
}

// awaitConnect waits until a connection that is being made is there, or refused.
func awaitConnect(f *os.File, deadline time.Time) error {
	if err := f.SetDeadline(deadline); err != nil {
		return err
	}
	raw, err := f.SyscallConn()
	if err != nil {
		return err
	}
	result := 0
	if err := raw.Write(func(fd uintptr) bool {
		fds := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLOUT}}
		if n, _ := unix.Poll(fds, 0); n == 0 {
			return false
		}
		result, err = unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_ERROR)
		return true
	}); err != nil {
		return err
	}
	if err == nil && result != 0 {
		err = unix.Errno(result)
	}
	return err
}

// get asks for a page, and is content with a status from 200 to 399, as curl --fail is.
func (p *prober) get(e *monitor.Endpoint) (string, error) {
	f, err := p.dial(e)
	if err != nil {
		return "", err
	}
	defer f.Close()
	// HTTP/1.0: no chunks in the answer, and its end is that of the connection.
	request := "GET " + e.Path + " HTTP/1.0\r\nHost: " + e.Host + "\r\nUser-Agent: proa\r\nAccept: */*\r\nConnection: close\r\n\r\n"
	if _, err := io.WriteString(f, request); err != nil {
		return "", fmt.Errorf("sending the request: %w", err)
	}
	b, err := io.ReadAll(io.LimitReader(f, 2*monitor.MaxOutput))
	head, body, _ := bytes.Cut(b, []byte("\r\n\r\n"))
	line, _, whole := bytes.Cut(head, []byte("\r\n"))
	if !whole && err != nil {
		return "", fmt.Errorf("reading the answer: %w", err)
	}
	if !bytes.HasPrefix(line, []byte("HTTP/1.")) || len(line) < len("HTTP/1.1 200") {
		return "", errors.New("the answer is not HTTP")
	}
	output := string(line) + "\n" + string(body[:min(len(body), monitor.MaxOutput-len(line)-1)])
	if code, err := strconv.Atoi(string(line[9:12])); err != nil || code < 200 || code > 399 {
		return output, fmt.Errorf("the status is %s", line[9:12])
	}
	return output, nil
}
