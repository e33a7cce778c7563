// Package netlab owns the networks that tests of package network's parts run in: it links into test programs alone and
// needs no privilege but the right to make user namespaces.
//
//	outside (198.51.100.1, 2001:db8::1) ══ host (198.51.100.10, 2001:db8::a) ── inside, made by tests ── containers
//
// The test program is executed again in user and network namespaces of its own. Where the tests run they have the rights
// of proa-netd: all of them over the namespaces they make, none over the host's and the outside's.
package netlab

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// The addresses of the lab's host and of what is outside. Far is an address that the host reaches through the outside.
var (
	Host4, Host6 = netip.MustParseAddr("198.51.100.10"), netip.MustParseAddr("2001:db8::a")
	Out4, Out6   = netip.MustParseAddr("198.51.100.1"), netip.MustParseAddr("2001:db8::1")
	Far4, Far6   = netip.MustParseAddr("203.0.113.7"), netip.MustParseAddr("2001:db8:f::7")
)

// stageEnv tells a test program which part of the lab it is. A part that makes another gives it its socket as descriptor 3.
const stageEnv = "PROA_NETLAB"

// agent is the socket to the part that is outside.
var agent *net.UnixConn

// Main runs the tests of a package in the lab; TestMain calls it. Fuzz targets run where they are.
func Main(m *testing.M) {
	stage := os.Getenv(stageEnv)
	for _, arg := range os.Args[1:] {
		if stage == "" && strings.HasPrefix(arg, "-test.fuzz") {
			os.Exit(m.Run())
		}
	}
	code, err := 0, error(nil)
	switch stage {
	case "":
		code, err = again("host", syscall.CLONE_NEWUSER|syscall.CLONE_NEWNET, nil, os.Args[1:]...)
	case "host":
		code, err = host()
	case "outside":
		err = outside()
	case "tests":
		var c net.Conn
		if err = unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
			break
		}
		if c, err = net.FileConn(os.NewFile(3, "")); err == nil {
			unix.CloseOnExec(3)
			agent = c.(*net.UnixConn)
			os.Unsetenv(stageEnv)
			code = m.Run()
		}
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "network lab, %s: %v\n", stage, err)
		code = 1
	}
	os.Exit(code)
}

// part is this program, started again as another part of the lab.
func part(stage string, flags uintptr, socket *os.File, args ...string) *exec.Cmd {
	cmd := exec.Command("/proc/self/exe", args...)
	cmd.Env = append(os.Environ(), stageEnv+"="+stage)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: flags, Pdeathsig: syscall.SIGKILL}
	if flags&syscall.CLONE_NEWUSER != 0 {
		cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Geteuid(), Size: 1}}
		cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getegid(), Size: 1}}
	}
	if socket != nil {
		cmd.ExtraFiles = []*os.File{socket}
	}
	return cmd
}

func again(stage string, flags uintptr, socket *os.File, args ...string) (int, error) {
	runtime.LockOSThread() // Pdeathsig is about the thread that started the child
	defer runtime.UnlockOSThread()
	err := part(stage, flags, socket, args...).Run()
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) && exit.Exited() {
		return exit.ExitCode(), nil
	}
	if errors.Is(err, unix.EPERM) || errors.Is(err, unix.ENOSPC) {
		err = fmt.Errorf("%w: this host lets you make no user namespaces; see 'proa doctor'", err)
	}
	return 0, err
}

// host makes the host's network and what is outside of it, and has the tests run.
func host() (int, error) {
	runtime.LockOSThread()
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return 0, err
	}
	theirs, ours := os.NewFile(uintptr(fds[0]), ""), os.NewFile(uintptr(fds[1]), "")
	out := part("outside", syscall.CLONE_NEWNET, theirs)
	if err := out.Start(); err != nil {
		return 0, err
	}
	defer func() { out.Process.Kill(); out.Wait() }()
	theirs.Close()
	if err := Cable("eth0", "out0", netlink.NsPid(out.Process.Pid)); err != nil {
		return 0, err
	}
	if err := errors.Join(Configure("lo"), Configure("eth0", Host4, Host6), Ping()); err != nil {
		return 0, err
	}
	if _, err := ours.Write([]byte{0, 0}); err != nil { // the cable is there
		return 0, err
	}
	if _, err := ours.Read(make([]byte, 1)); err != nil {
		return 0, err
	}
	for _, gateway := range []netip.Addr{Out4, Out6} {
		if err := Route(netip.Prefix{}, gateway); err != nil {
			return 0, err
		}
	}
	return again("tests", syscall.CLONE_NEWUSER|syscall.CLONE_NEWNS, ours, os.Args[1:]...)
}

// outside makes sockets of the outside and passes them on. A request is a family and a type.
func outside() error {
	request := make([]byte, 2)
	if _, err := unix.Read(3, request); err != nil {
		return err
	}
	if err := Configure("out0", Out4, Out6); err != nil {
		return err
	}
	if err := Configure("lo", Far4, Far6); err != nil {
		return err
	}
	if _, err := unix.Write(3, request[:1]); err != nil {
		return err
	}
	for {
		if n, err := unix.Read(3, request); err != nil || n == 0 {
			return err
		}
		fd, err := unix.Socket(int(request[0]), int(request[1])|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			return err
		}
		if err := unix.Sendmsg(3, request[:1], unix.UnixRights(fd), nil, 0); err != nil {
			return err
		}
		unix.Close(fd)
	}
}

// Cable makes a pair of interfaces, the far one in another namespace (netlink.NsFd or netlink.NsPid).
func Cable(near, far string, namespace any) error {
	a := netlink.NewLinkAttrs()
	a.Name = near
	if err := netlink.LinkAdd(&netlink.Veth{LinkAttrs: a, PeerName: far, PeerNamespace: namespace}); err != nil {
		return fmt.Errorf("make interface %s: %w", near, err)
	}
	return nil
}

// Configure brings up an interface of the calling thread's namespace with addresses, each of a network of usual size.
func Configure(name string, addresses ...netip.Addr) error {
	link, err := netlink.LinkByName(name)
	if err != nil {
		return fmt.Errorf("find interface %s: %w", name, err)
	}
	for _, a := range addresses {
		bits := 24
		if a.Is6() {
			bits = 64
		}
		n := &net.IPNet{IP: a.AsSlice(), Mask: net.CIDRMask(bits, a.BitLen())}
		if err := netlink.AddrAdd(link, &netlink.Addr{IPNet: n, Flags: unix.IFA_F_NODAD}); err != nil {
			return fmt.Errorf("give %s the address %s: %w", name, a, err)
		}
	}
	if err := netlink.LinkSetUp(link); err != nil {
		return fmt.Errorf("bring up %s: %w", name, err)
	}
	return nil
}

// Route adds a route to the calling thread's namespace, the default one for the zero prefix.
func Route(to netip.Prefix, gateway netip.Addr) error {
	r := &netlink.Route{Gw: gateway.AsSlice(), Dst: &net.IPNet{IP: make(net.IP, gateway.BitLen()/8), Mask: net.CIDRMask(0, gateway.BitLen())}}
	if to.IsValid() {
		r.Dst = &net.IPNet{IP: to.Addr().AsSlice(), Mask: net.CIDRMask(to.Bits(), to.Addr().BitLen())}
	}
	if err := netlink.RouteAdd(r); err != nil {
		return fmt.Errorf("add a route by %s: %w", gateway, err)
	}
	return nil
}

// Unroute takes the default route by gateway away again.
func Unroute(gateway netip.Addr) error {
	return netlink.RouteDel(&netlink.Route{Gw: gateway.AsSlice(), Dst: &net.IPNet{IP: make(net.IP, gateway.BitLen()/8), Mask: net.CIDRMask(0, gateway.BitLen())}})
}

// Ping lets every user of the calling thread's namespace ask for echoes.
func Ping() error {
	return os.WriteFile("/proc/sys/net/ipv4/ping_group_range", []byte("0 0"), 0)
}
