package main

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/proa-containers/proa/libpod"
	"github.com/proa-containers/proa/libpod/network"
	"github.com/urfave/cli/v2"
)

// defaultNetwork is the --network of who gives none.
const defaultNetwork = network.ModeBridge

func networkFlags() []cli.Flag {
	return []cli.Flag{
		stringList("network", "net", "`NETWORK` with its options, as NAME[:ip=,ip6=,mac=,alias=,interface_name=], or none, host, container:NAME, ns:PATH, pasta[:OPTIONS] or slirp4netns[:OPTIONS] (default: "+defaultNetwork+")"),
		stringList("network-alias", "net-alias", "a further `NAME` of the container on its networks"),
		&cli.StringFlag{Name: "ip", Usage: "IPv4 `ADDRESS` on its network"},
		&cli.StringFlag{Name: "ip6", Usage: "IPv6 `ADDRESS` on its network"},
		&cli.StringFlag{Name: "mac-address", Usage: "MAC `ADDRESS` on its network"},
		stringList("publish", "p", "publish a port, as `[[IP:]HOST:]CONTAINER[/PROTOCOL]`, or a range of them"),
		&cli.BoolFlag{Name: "publish-all", Aliases: []string{"P"}, Usage: "publish all exposed ports, on free ones of the host"},
		stringList("expose", "", "a port that the container serves, as `PORT[-LAST][/PROTOCOL]`"),
		stringList("dns", "", "name server (`ADDRESS`) in place of the host's, or none to leave the image's resolv.conf"),
		stringList("dns-search", "", "`DOMAIN` to look names up in, or . for none"),
		&cli.StringSliceFlag{Name: "dns-option", Aliases: []string{"dns-opt"}, Usage: "`OPTION` of resolv.conf, as ndots:2", KeepSpace: true},
		stringList("add-host", "", "add a line to /etc/hosts, as `NAME:IP` or NAME:host-gateway"),
		&cli.BoolFlag{Name: "no-hosts", Usage: "leave the image's /etc/hosts"},
		&cli.StringFlag{Name: "hosts-file", Usage: "`FILE` that /etc/hosts begins with: a path, image or none"},
		&cli.BoolFlag{Name: "no-hostname", Usage: "leave the image's /etc/hostname"},
		stringList("link", "", "know another container by a name, as `CONTAINER[:ALIAS]`"),
		&cli.StringFlag{Name: "egress", Usage: "`POLICY` of what leaves the container's networks: allow or deny"},
		stringList("egress-allow", "", "let connections to `HOST|CIDR[:PORT]` out, and deny the rest"),
	}
}

// parseNetworks reads the options about networks. The namespaces are parsed before.
func parseNetworks(a *app, c *cli.Context, ctr *libpod.Container) error {
	for _, name := range []string{"ip", "ip6", "mac-address", "hosts-file", "egress"} {
		if c.IsSet(name) && c.String(name) == "" {
			return fmt.Errorf("invalid --%s \"\": it is empty", name)
		}
	}
	choice, err := network.Choose(c.StringSlice("network"), network.Single{
		IP: c.String("ip"), IP6: c.String("ip6"), MAC: c.String("mac-address"), Aliases: c.StringSlice("network-alias"),
	}, defaultNetwork)
	if err != nil {
		return err
	}
	ctr.Config.Namespaces.Network, ctr.Networks = choice.Mode, choice.Attachments
	for _, parse := range []func() error{
		func() error { return parsePorts(c, ctr) },
		func() error { return parseNames(c, ctr) },
		func() (err error) {
			ctr.Egress, err = network.ParseEgress(c.String("egress"), c.StringSlice("egress-allow"))
			return err
		},
		func() error { return checkNetworks(a, c, ctr) },
		func() error { return forgeNothing(ctr) },
		func() error { return refusePending(ctr) },
	} {
		if err := parse(); err != nil {
			return err
		}
	}
	return nil
}

func parsePorts(c *cli.Context, ctr *libpod.Container) error {
	for _, s := range c.StringSlice("publish") {
		p, err := network.ParsePort(s)
		if err != nil {
			return err
		}
		ctr.Ports = append(ctr.Ports, p)
	}
	if err := network.CheckPorts(ctr.Ports); err != nil {
		return fmt.Errorf("--publish: %w", err)
	}
	for _, s := range c.StringSlice("expose") {
		p, err := network.ParseExposed(s)
		if err != nil {
			return fmt.Errorf("invalid --expose %q: %w", s, err)
		}
		ctr.Exposed = append(ctr.Exposed, p)
	}
	ctr.PublishAll = c.Bool("publish-all")
	return nil
}

func parseNames(c *cli.Context, ctr *libpod.Container) error {
	n := &ctr.Names
	if err := errors.Join(n.ParseServers(c.StringSlice("dns")), n.ParseSearch(c.StringSlice("dns-search")), n.ParseOptions(c.StringSlice("dns-option"))); err != nil {
		return errors.New(strings.SplitN(err.Error(), "\n", 2)[0])
	}
	for _, s := range c.StringSlice("add-host") {
		h, err := network.ParseExtraHost(s)
		if err != nil {
			return err
		}
		ctr.Config.Namespaces.ExtraHosts = append(ctr.Config.Namespaces.ExtraHosts, h)
	}
	for _, s := range c.StringSlice("link") {
		l, err := network.ParseLink(s)
		if err != nil {
			return err
		}
		n.Links = append(n.Links, l)
	}
	n.NoHosts, n.NoHostname, n.HostsFile = c.Bool("no-hosts"), c.Bool("no-hostname"), c.String("hosts-file")
	switch {
	case n.HostsFile == "none":
		n.HostsFile = ""
	case n.HostsFile != "" && n.HostsFile != "image":
		abs, err := filepath.Abs(n.HostsFile)
		if err != nil {
			return fmt.Errorf("invalid --hosts-file %q: %w", n.HostsFile, err)
		}
		n.HostsFile = abs
	}
	return nil
}

// checkNetworks refuses what contradicts itself; what Docker only warns of is a warning.
func checkNetworks(a *app, c *cli.Context, ctr *libpod.Container) error {
	mode, n := ctr.Config.Namespaces.Network, ctr.Names
	kind, _, _ := strings.Cut(mode, ":")
	excludes := func(flag, why string) error {
		return fmt.Errorf("--%s and --network %s exclude each other: %s", flag, mode, why)
	}
	if kind == "container" {
		for _, flag := range []string{"publish", "publish-all", "expose", "dns", "dns-search", "dns-option", "add-host", "no-hosts", "hosts-file", "link", "egress", "egress-allow"} {
			if c.IsSet(flag) {
				return excludes(flag, "it is for the other container to say")
			}
		}
	}
	published := len(ctr.Ports) > 0 || ctr.PublishAll
	if published && (kind == network.ModeNone || kind == "ns") {
		why := "nothing reaches the container"
		if kind == "ns" {
			why = "the namespace is another's"
		}
		if !c.IsSet("network") {
			why += "; give --network bridge"
		}
		return excludes("publish", why)
	}
	if published && kind == network.ModeHost {
		a.warn(errors.New("--publish does nothing with --network host: the container's ports are the host's"))
		ctr.Ports, ctr.PublishAll = nil, false
	}
	switch {
	case kind != network.ModeBridge && (ctr.Egress.Deny || c.IsSet("egress")):
		return excludes("egress", "it is enforced on proa's networks")
	case kind != network.ModeBridge && len(n.Links) > 0:
		return excludes("link", "containers are linked on proa's networks")
	case n.NoHosts && (len(ctr.Config.Namespaces.ExtraHosts) > 0 || c.IsSet("hosts-file")):
		return errors.New("--no-hosts excludes --add-host and --hosts-file")
	case n.NoServers && (len(n.Search) > 0 || len(n.Options) > 0):
		return errors.New("--dns none excludes --dns-search and --dns-option: resolv.conf is the image's")
	}
	return nil
}

// forgeNothing takes from a container with an egress policy what it could send packets in another's name with: the policy
// goes by the source of packets.
func forgeNothing(ctr *libpod.Container) error {
	if !ctr.Egress.Deny {
		return nil
	}
	s := &ctr.Config.Security
	if s.Privileged {
		return errors.New("--egress deny and --privileged exclude each other: the container could send packets in the name of others; leave one of them out")
	}
	for _, name := range []string{"CAP_NET_ADMIN", "CAP_NET_RAW"} {
		added := slices.Contains(s.CapAdd, name) || slices.Contains(s.CapAdd, "ALL") && !slices.Contains(s.CapDrop, name)
		if added {
			return fmt.Errorf("--egress deny and the capability %s exclude each other: the container could send packets in the name of others; leave one of them out", name)
		}
	}
	s.CapDrop = append(s.CapDrop, "CAP_NET_RAW")
	return nil
}

// refusePending refuses what the engine does not carry out yet.
func refusePending(ctr *libpod.Container) error {
	mode, _, _ := strings.Cut(ctr.Config.Namespaces.Network, ":")
	if mode == network.ModePasta || mode == network.ModeSlirp {
		return fmt.Errorf("--network %s is not carried out yet; --network bridge has a way out by the same means", mode)
	}
	return nil
}
