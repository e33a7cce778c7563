package libpod

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/proa-containers/proa/libpod/network"
	"github.com/proa-containers/proa/libpod/network/netd"
	"github.com/proa-containers/proa/oci/spec"
)

// etcNames are the files that a container has of its own.
var etcNames = [...]string{"/etc/hosts", "/etc/hostname", "/etc/resolv.conf"}

// etcTexts are those files for a look at a container that does not run, and so has no address.
func (e *Engine) etcTexts(c *Container) map[string][]byte {
	plain := *c
	plain.Names.Links = nil
	plain.Config.Namespaces.ExtraHosts = slices.DeleteFunc(slices.Clone(c.Config.Namespaces.ExtraHosts), func(h string) bool { return strings.HasSuffix(h, ":"+network.HostGateway) })
	hosts, err := e.hosts(&plain, netd.Answer{})
	if err != nil {
		hosts = localHosts
	}
	return map[string][]byte{"/etc/hosts": []byte(hosts), "/etc/hostname": []byte(c.hostname() + "\n"), "/etc/resolv.conf": []byte(resolvConf(c, netd.Answer{}, readResolvConf()))}
}

// etcFiles are the files that a container has of its own, in its run directory, by their place in the container. They are
// written by writeHostname and writeNetFiles.
func (e *Engine) etcFiles(c *Container, root *rootMount) (map[string]string, error) {
	n := c.Names
	out := map[string]string{}
	for target, own := range map[string]bool{"/etc/hosts": !n.NoHosts, "/etc/hostname": !n.NoHostname, "/etc/resolv.conf": !n.NoServers} {
		if own {
			out[target] = filepath.Join(e.runDir(c.ID), filepath.Base(target))
		}
	}
	if err := e.writeEtc(c, "hostname", c.hostname()+"\n"); err != nil {
		return nil, err
	}
	if err := e.keepHosts(c, root); err != nil {
		return nil, err
	}
	if other, shared := strings.CutPrefix(c.Config.Namespaces.Network, "container:"); shared {
		return out, e.shareEtc(out, other)
	}
	if c.networked() { // what is in them is not known yet
		return out, nil
	}
	return out, e.writeNetFiles(c, netd.Answer{})
}

// shareEtc has the container see the names and the name servers of the running one whose network it shares.
func (e *Engine) shareEtc(files map[string]string, ref string) error {
	other, err := e.Lookup(ref)
	if err != nil {
		return err
	}
	for _, target := range []string{"/etc/hosts", "/etc/resolv.conf"} {
		files[target] = filepath.Join(e.runDir(other.ID), filepath.Base(target))
	}
	return nil
}

// hostsBase is what the container's hosts begins with where it was asked for: it is kept for the next time that the file
// is written, when its source may be changed or out of sight.
const hostsBase = "hosts.base"

func (e *Engine) keepHosts(c *Container, root *rootMount) (err error) {
	var text []byte
	switch file := c.Names.HostsFile; {
	case file == "":
		return nil
	case file == "image":
		text, err = spec.ReadFile(root.file, "/etc/hosts")
	default:
		text, err = os.ReadFile(file)
	}
	if err != nil {
		return fmt.Errorf("reading the --hosts-file: %w", err)
	}
	if len(text) > 0 && text[len(text)-1] != '\n' {
		text = append(text, '\n')
	}
	return e.writeEtc(c, hostsBase, string(text))
}

// hostname is the container's name of itself.
func (c *Container) hostname() string {
	n := c.Config.Namespaces
	if n.Hostname == "" && n.UTS == "host" {
		if name, err := os.Hostname(); err == nil {
			return name
		}
	}
	if n.Hostname == "" {
		return c.ID[:12]
	}
	return n.Hostname
}

// writeNetFiles writes the container's hosts and resolv.conf for the addresses that it got.
func (e *Engine) writeNetFiles(c *Container, got netd.Answer) error {
	hosts, err := e.hosts(c, got)
	if err != nil {
		return err
	}
	if err := e.writeEtc(c, "hosts", hosts); err != nil {
		return err
	}
	return e.writeEtc(c, "resolv.conf", resolvConf(c, got, readResolvConf()))
}

// localHosts are the names that every container knows.
const localHosts = "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n"

func (e *Engine) hosts(c *Container, got netd.Answer) (string, error) {
	mode := c.Config.Namespaces.Network
	var b strings.Builder
	base, err := os.ReadFile(filepath.Join(e.runDir(c.ID), hostsBase))
	switch {
	case err == nil:
		b.Write(base)
	case mode == network.ModeHost:
		if host, err := os.ReadFile("/etc/hosts"); err == nil {
			b.Write(host)
		}
	default:
		b.WriteString(localHosts)
	}
	if mode == network.ModeHost {
		got.Host = []netip.Addr{netip.AddrFrom4([4]byte{127, 0, 0, 1})}
	}
	if err := extraHosts(&b, c, got.Host); err != nil {
		return "", err
	}
	if err := e.linkedHosts(&b, c); err != nil {
		return "", err
	}
	if c.networked() {
		for _, a := range got.Host {
			b.WriteString(a.String() + "\t" + strings.Join(netd.HostNames[:], " ") + "\n")
		}
	}
	ownHosts(&b, c, got.Leases)
	return b.String(), nil
}

// ownHosts are the container's names of itself.
func ownHosts(b *strings.Builder, c *Container, leases []network.Lease) {
	names := c.hostname()
	if domain := c.Config.Namespaces.Domainname; domain != "" {
		names = names + "." + domain + " " + names
	}
	switch {
	case c.Config.Namespaces.Network == network.ModeHost:
		return
	case len(leases) == 0:
		b.WriteString("127.0.1.1\t" + names + "\n")
	case c.Name != names:
		names += " " + c.Name
	}
	for _, l := range leases {
		for _, a := range l.Addresses {
			b.WriteString(a.Addr().String() + "\t" + names + "\n")
		}
	}
}

// extraHosts are those of --add-host.
func extraHosts(b *strings.Builder, c *Container, host []netip.Addr) error {
	for _, h := range c.Config.Namespaces.ExtraHosts {
		name, ip, _ := strings.Cut(h, ":")
		if ip != network.HostGateway {
			b.WriteString(ip + "\t" + name + "\n")
			continue
		}
		if len(host) == 0 {
			return fmt.Errorf("--add-host %s: the container has no way to the host: it has --network %s, or there is no uplink, of which `proa doctor` tells", h, c.networkMode())
		}
		for _, a := range host {
			b.WriteString(a.String() + "\t" + name + "\n")
		}
	}
	return nil
}

// maxServers is how many name servers the C library asks (resolv.conf(5)).
const maxServers = 3

// resolvConf names the name servers: of the container's networks, which ask those it was given, or its own, or the host's.
func resolvConf(c *Container, got netd.Answer, host resolv) string {
	if n := c.Names; c.Config.Namespaces.Network == network.ModeHost && len(n.Servers)+len(n.Search)+len(n.Options) == 0 {
		b, _ := os.ReadFile("/etc/resolv.conf")
		return string(b)
	}
	servers := slices.Clone(c.Names.Servers)
	if len(servers) == 0 || !c.ownServers() {
		servers = nil
		for _, l := range got.Leases {
			servers = append(servers, l.DNSServers...)
		}
	}
	reachable := c.Config.Namespaces.Network == network.ModeHost
	if len(servers) == 0 && (c.networked() || reachable || strings.HasPrefix(c.Config.Namespaces.Network, "ns:")) {
		for _, s := range host.servers {
			if reachable || !s.IsLoopback() {
				servers = append(servers, s)
			}
		}
	}
	search, options := c.Names.Search, c.Names.Options
	if len(search) == 0 && len(servers) > 0 {
		search = host.search
		// With a domain of the host's behind them, neighbours' names would be asked of its servers first.
		if len(search) > 0 && search[0] != "." && slices.ContainsFunc(got.Leases, knowsNames) {
			search = append([]string{network.Domain}, search...)
		}
	}
	if len(options) == 0 && reachable {
		options = host.options
	}
	var b strings.Builder
	for _, s := range servers[:min(len(servers), maxServers)] {
		b.WriteString("nameserver " + s.String() + "\n")
	}
	if len(search) > 0 && search[0] != "." {
		b.WriteString("search " + strings.Join(search, " ") + "\n")
	}
	if len(options) > 0 {
		b.WriteString("options " + strings.Join(options, " ") + "\n")
	}
	return b.String()
}

// knowsNames tells whether the resolver of a network knows containers by name.
func knowsNames(l network.Lease) bool { return l.Network != network.Default && len(l.DNSServers) > 0 }

// ownServers tells whether the container asks the servers of --dns itself, as with Docker on its default network. On
// others, and under a policy, it asks the network, which knows its neighbours' names and asks those servers for the rest.
func (c *Container) ownServers() bool {
	return !c.networked() || !c.Egress.Deny && !slices.ContainsFunc(c.Networks, func(a network.Attachment) bool { return a.Network != network.Default })
}

// resolv is what a resolv.conf says (resolv.conf(5)).
type resolv struct {
	servers         []netip.Addr
	search, options []string
}

// readResolvConf reads the host's.
func readResolvConf() (r resolv) {
	b, _ := os.ReadFile("/etc/resolv.conf")
	for line := range strings.Lines(string(b)) {
		f := strings.Fields(line)
		if len(f) < 2 {
			continue
		}
		switch f[0] {
		case "nameserver":
			if a, err := netip.ParseAddr(f[1]); err == nil {
				r.servers = append(r.servers, a)
			}
		case "search", "domain":
			r.search = f[1:]
		case "options":
			r.options = append(r.options, f[1:]...)
		}
	}
	return r
}

// writeEtc writes one of the files, in place: it may be mounted in the container. It is readable by every user of the
// container, in a directory that no other user of the host can enter.
func (e *Engine) writeEtc(c *Container, name, text string) error {
	if err := os.WriteFile(filepath.Join(e.runDir(c.ID), name), []byte(text), 0o644); err != nil {
		return fmt.Errorf("writing the container's /etc/%s: %w", name, err)
	}
	return nil
}
