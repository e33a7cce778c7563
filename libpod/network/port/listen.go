package port

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"github.com/proa-containers/proa/libpod/network"
	"golang.org/x/sys/unix"
)

// listener is a socket on the host.
type listener interface {
	io.Closer
	serve(*Ports, *publication)
}

// ConflictError says that a port is taken, and by whom as far as that can be known.
type ConflictError struct {
	Address  netip.AddrPort // its address is invalid for every address of the host
	Protocol string
	Owner    Owner  // zero: no container of ours
	Process  string // "nginx, process 812", or ""
}

func (e *ConflictError) Error() string {
	by := "something else on this host; look with 'ss -lnp'"
	switch {
	case e.Owner.Name != "":
		by = fmt.Sprintf("container %q; stop it", e.Owner.Name)
	case e.Process != "":
		by = e.Process + "; stop it"
	}
	return fmt.Sprintf("publish port %s: it is held by %s or choose another host port", spell(e.Address, e.Protocol), by)
}

// spell writes an address as -p takes it.
func spell(a netip.AddrPort, protocol string) string {
	if !a.Addr().IsValid() {
		return strconv.Itoa(int(a.Port())) + "/" + protocol
	}
	return a.String() + "/" + protocol
}

// listen binds one asked port or range; before is what the same call bound already. What was made before an error is
// returned with it.
func (p *Ports) listen(o Owner, asked network.Port, before []network.Port) (made []listener, bound []network.Port, err error) {
	count := max(asked.Count, 1)
	if int(asked.Host)+int(count)+int(asked.Spare)-1 > 65535 || int(asked.Container)+int(count)-1 > 65535 || asked.Container == 0 {
		return nil, nil, fmt.Errorf("publish %d ports from %d to container port %d: ports go from 1 to 65535", count, asked.Host, asked.Container)
	}
	for i := range count {
		one := asked
		one.Container, one.Count = asked.Container+i, 1
		if asked.Host != 0 {
			one.Host = asked.Host + i
		}
		l, err := listenFree(&one)
		if err != nil {
			return made, nil, p.explain(o, one, before, err)
		}
		made, bound = append(made, l), append(bound, one)
	}
	if asked.Host != 0 && asked.Spare == 0 {
		asked.Count = count
		bound = []network.Port{asked}
	}
	return made, bound, nil
}

// listenFree binds a port, or the first free one of those that will do.
func listenFree(one *network.Port) (listener, error) {
	first := *one
	for one.Spare = 0; ; one.Host++ {
		l, err := listenOn(one)
		last := one.Host == first.Host+first.Spare
		if last && first.Spare > 0 && errors.Is(err, unix.EADDRINUSE) {
			*one = first
			return nil, fmt.Errorf("it and all others up to %d are taken; give a larger range, or leave it out to get a free one", first.Host+first.Spare)
		}
		if last || !errors.Is(err, unix.EADDRINUSE) {
			return l, err
		}
	}
}

func listenOn(one *network.Port) (listener, error) {
	switch one.Protocol {
	case "tcp":
		return listenTCP(one)
	case "udp":
		return listenUDP(one)
	}
	return nil, fmt.Errorf("publish port %d: protocol %q is neither tcp nor udp", one.Container, one.Protocol)
}

// networkOf is the network to listen on as package net calls it: with no address, one socket serves both families.
func networkOf(one network.Port) string {
	switch {
	case !one.HostIP.IsValid():
		return one.Protocol
	case one.HostIP.Unmap().Is4():
		return one.Protocol + "4"
	}
	return one.Protocol + "6"
}

func address(one network.Port) string {
	host := ""
	if one.HostIP.IsValid() {
		host = one.HostIP.Unmap().String()
	}
	return net.JoinHostPort(host, strconv.Itoa(int(one.Host)))
}

// listenTCP leaves the backlog to package net, which takes what net.core.somaxconn allows.
func listenTCP(one *network.Port) (listener, error) {
	l, err := net.Listen(networkOf(*one), address(*one))
	if err != nil {
		return nil, err
	}
	one.Host = uint16(l.Addr().(*net.TCPAddr).Port)
	return &tcpListener{TCPListener: l.(*net.TCPListener), container: one.Container}, nil
}

func listenUDP(one *network.Port) (listener, error) {
	c, err := (&net.ListenConfig{Control: wantDestination}).ListenPacket(context.Background(), networkOf(*one), address(*one))
	if err != nil {
		return nil, err
	}
	one.Host = uint16(c.LocalAddr().(*net.UDPAddr).Port)
	return newUDPListener(c.(*net.UDPConn), one.Container), nil
}

// wantDestination asks for the address that each datagram was sent to, as the answer has to come from it.
func wantDestination(network, _ string, rc syscall.RawConn) error {
	var err error
	cerr := rc.Control(func(fd uintptr) {
		if strings.HasSuffix(network, "4") {
			err = unix.SetsockoptInt(int(fd), unix.IPPROTO_IP, unix.IP_PKTINFO, 1)
		} else {
			err = unix.SetsockoptInt(int(fd), unix.IPPROTO_IPV6, unix.IPV6_RECVPKTINFO, 1)
		}
	})
	return errors.Join(cerr, err)
}

// explain turns a failed bind into what the user can do about it.
func (p *Ports) explain(o Owner, one network.Port, before []network.Port, err error) error {
	at := netip.AddrPortFrom(one.HostIP, one.Host)
	switch {
	case errors.Is(err, unix.EADDRINUSE) && holds(before, one):
		return fmt.Errorf("publish port %s: it is asked for twice for container %q; leave one out", spell(at, one.Protocol), o.Name)
	case errors.Is(err, unix.EADDRINUSE):
		e := &ConflictError{Address: at, Protocol: one.Protocol, Owner: p.holder(one)}
		if e.Owner.ID == "" {
			e.Process = process(at, one.Protocol)
		}
		return e
	case errors.Is(err, unix.EACCES), errors.Is(err, unix.EPERM):
		return fmt.Errorf("publish port %s: an ordinary user's ports begin at %s here; choose a host port from there on, or as root: sysctl net.ipv4.ip_unprivileged_port_start=%d",
			spell(at, one.Protocol), firstPort(), one.Host)
	case errors.Is(err, unix.EADDRNOTAVAIL):
		return fmt.Errorf("publish port %s: no interface of this host has the address %s", spell(at, one.Protocol), one.HostIP)
	}
	return fmt.Errorf("publish port %s: %w", spell(at, one.Protocol), err)
}

func firstPort() string {
	b, err := os.ReadFile("/proc/sys/net/ipv4/ip_unprivileged_port_start")
	if err != nil {
		return "1024"
	}
	return strings.TrimSpace(string(b))
}

// holder is the container of ours that has a port, the zero Owner if none.
func (p *Ports) holder(want network.Port) Owner {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, pub := range p.owners {
		pub.mu.Lock()
		found := holds(pub.bound, want)
		pub.mu.Unlock()
		if found {
			return pub.owner
		}
	}
	return Owner{}
}

// holds tells whether one of bound excludes want.
func holds(bound []network.Port, want network.Port) bool {
	return slices.ContainsFunc(bound, func(b network.Port) bool {
		return b.Protocol == want.Protocol && b.Host <= want.Host && int(want.Host) < int(b.Host)+int(b.Count) && meet(b.HostIP, want.HostIP)
	})
}

// meet tells whether two listening addresses exclude each other.
func meet(a, b netip.Addr) bool {
	if !a.IsValid() || !b.IsValid() {
		return true
	}
	a, b = a.Unmap(), b.Unmap()
	return a.Is4() == b.Is4() && (a == b || a.IsUnspecified() || b.IsUnspecified())
}
