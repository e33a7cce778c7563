package uplink

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"runtime/debug"
	"slices"
	"strconv"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// embedded runs a program of ours with package gvisor in it, so that neither its memory nor its crash is this process's.
type embedded struct{ serve []string }

func (*embedded) name() string { return Embedded }

func (e *embedded) look(context.Context) (string, error) {
	if len(e.serve) == 0 {
		return "", errors.New("this program has no embedded uplink")
	}
	version := ""
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, m := range info.Deps {
			if m.Path == "gvisor.dev/gvisor" {
				version = m.Version
			}
		}
	}
	return version, tun()
}

// command gives the program the interface as its descriptor 3, and what gvisor.Main reads as its last arguments.
func (e *embedded) command(ns Namespace, o Options, l link) (*exec.Cmd, error) {
	var tap *os.File
	if err := ns.In(func() (err error) {
		tap, err = makeTap()
		return err
	}); err != nil {
		return nil, err
	}
	args := append(slices.Clone(e.serve), strconv.Itoa(l.mtu), strconv.FormatBool(o.HostLoopback))
	for i, g := range l.gateways {
		args = append(args, netip.PrefixFrom(g, l.addresses[i].Bits()).String())
	}
	cmd := exec.Command(args[0], args[1:]...)
	cmd.ExtraFiles = []*os.File{tap}
	return cmd, nil
}

const device = "/dev/net/tun"

// tun tells whether interfaces can be made.
func tun() error {
	err := unix.Access(device, unix.R_OK|unix.W_OK)
	switch {
	case err == nil:
		return nil
	case errors.Is(err, unix.ENOENT):
		return errors.New(device + " is missing; as root: modprobe tun (in a container: run that with --device " + device + ")")
	case errors.Is(err, unix.EACCES):
		return errors.New(device + " may not be opened; as root: chmod 0666 " + device)
	}
	return fmt.Errorf("look at %s: %w", device, err)
}

// makeTap makes the interface in the calling thread's namespace; it goes when the last descriptor of it is closed.
func makeTap() (*os.File, error) {
	fd, err := unix.Open(device, unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, errors.Join(tun(), fmt.Errorf("open %s: %w", device, err))
	}
	request, err := unix.NewIfreq(Interface)
	if err == nil {
		request.SetUint16(unix.IFF_TAP | unix.IFF_NO_PI)
		err = unix.IoctlIfreq(fd, unix.TUNSETIFF, request)
	}
	if err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("make interface %s: %w", Interface, err)
	}
	return os.NewFile(uintptr(fd), Interface), nil
}

// removeTap removes an interface that an uplink of a former process left, if any. It runs in the namespace.
func removeTap() error {
	link, err := netlink.LinkByName(Interface)
	if err != nil {
		return nil
	}
	return netlink.LinkDel(link)
}
