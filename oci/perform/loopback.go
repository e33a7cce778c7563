package perform

import (
	"golang.org/x/sys/unix"
)

// raiseLoopback sets the loopback interface of a new network namespace up, which gives it 127.0.0.1 and ::1.
func (p *performer) raiseLoopback() error {
	for _, n := range p.Namespaces {
		if n.Type != unix.CLONE_NEWNET || n.Path != "" {
			continue
		}
		fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			return fail("raise the loopback interface", err)
		}
		defer unix.Close(fd)
		req, err := unix.NewIfreq("lo")
		if err != nil {
			return fail("raise the loopback interface", err)
		}
		req.SetUint16(unix.IFF_UP | unix.IFF_RUNNING)
		if err := unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, req); err != nil {
			return fail("raise the loopback interface", err)
		}
	}
	return nil
}
