package serve

import (
	"context"
	"fmt"
	"net"
	"net/netip"

	"github.com/proa-containers/proa/libpod/network"
	"github.com/proa-containers/proa/libpod/network/netd"
	"github.com/proa-containers/proa/libpod/network/resolver"
)

// dnsPort is where names are asked for.
const dnsPort = 53

// newResolver answers in the containers' namespace and asks from the host's.
func (s *server) newResolver() *resolver.Server {
	return resolver.New(resolver.Options{Log: s.log, Refused: s.sayName, Inside: func(ctx context.Context, kind string, to netip.AddrPort) (conn net.Conn, err error) {
		err = s.ns.Do(func() error {
			var d net.Dialer
			conn, err = d.DialContext(ctx, kind, to.String())
			return err
		})
		return conn, err
	}})
}

// hasResolver tells whether the gateways of the network answer questions for names: on the default network, which knows
// no containers by name, those for all others.
func hasResolver(n network.Network) bool { return n.DNSEnabled || n.Name == network.Default }

// serveNames answers the containers of a network.
func (s *server) serveNames(n *served) error {
	if !hasResolver(n.Network) {
		return nil
	}
	var packets []*net.UDPConn
	var streams []*net.TCPListener
	undo := func() {
		for _, p := range packets {
			p.Close()
		}
		for _, l := range streams {
			l.Close()
		}
	}
	err := s.ns.Do(func() error {
		for _, gw := range n.bridge.Gateways {
			at := netip.AddrPortFrom(gw.Addr(), dnsPort)
			p, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(at))
			if err != nil {
				return err
			}
			packets = append(packets, p)
			l, err := net.ListenTCP("tcp", net.TCPAddrFromAddrPort(at))
			if err != nil {
				return err
			}
			streams = append(streams, l)
		}
		return nil
	})
	if err == nil {
		s.names.SetNetwork(s.zone(n))
		err = s.names.Serve(n.Name, packets, streams)
	}
	if err != nil {
		undo()
		return fmt.Errorf("answering for names on network %q: %w", n.Name, err)
	}
	return nil
}

func (s *server) zone(n *served) resolver.Network {
	z := resolver.Network{Name: n.Name, Names: n.DNSEnabled, Internal: n.Internal, Domains: []string{network.Domain}}
	for _, sub := range n.Subnets {
		z.Subnets = append(z.Subnets, sub.Subnet)
	}
	for _, server := range n.DNSServers {
		if a, err := netip.ParseAddr(server); err == nil {
			z.Servers = append(z.Servers, netip.AddrPortFrom(a, dnsPort))
		}
	}
	return z
}

// introduce makes a container known by its names on the networks that it is on.
func (s *server) introduce(c *container) error {
	r := resolver.Container{ID: c.ID, Name: c.Names.Name, Links: c.Names.Links}
	if host := s.host(c); len(host) > 0 {
		r.Hosts = map[string][]netip.Addr{}
		for _, name := range netd.HostNames {
			r.Hosts[name] = host
		}
	}
	for _, a := range c.DNS {
		r.Servers = append(r.Servers, netip.AddrPortFrom(a, dnsPort))
	}
	for i, l := range c.Leases {
		e := resolver.Endpoint{Network: l.Network, Aliases: c.Attachments[i].Aliases}
		for _, a := range l.Addresses {
			e.Addresses = append(e.Addresses, a.Addr())
		}
		r.Endpoints = append(r.Endpoints, e)
	}
	if c.policy != nil {
		r.Policy = c.policy
	}
	return s.names.SetContainer(r)
}
