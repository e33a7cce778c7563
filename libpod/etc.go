package libpod

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/proa-containers/proa/libpod/network/netd"
)

// The files that a container has of its own, in its run directory, by their place in the container.
var etcFiles = [...]string{"/etc/hosts", "/etc/hostname", "/etc/resolv.conf"}

// etcFiles writes the files that a container has of its own and returns where they are. What follows from its addresses,
// which are not known yet, writeNetFiles adds.
func (e *Engine) etcFiles(c *Container) (map[string]string, error) {
	n := c.Config.Namespaces
	out := map[string]string{}
	for _, target := range etcFiles {
		out[target] = filepath.Join(e.runDir(c.ID), filepath.Base(target))
	}
	if err := e.writeEtc(c, "hostname", c.hostname()+"\n"); err != nil {
		return nil, err
	}
	if other, shared := strings.CutPrefix(n.Network, "container:"); shared {
		return out, e.shareEtc(out, other)
	}
	if c.networked() {
		return out, nil
	}
	hosts, resolv := localHosts, []byte(nil)
	if n.Network == "host" {
		if b, err := os.ReadFile("/etc/hosts"); err == nil {
			hosts = string(b)
		}
		resolv, _ = os.ReadFile("/etc/resolv.conf")
	}
	hosts += extraHosts(c)
	if n.Network != "host" {
		hosts += "127.0.1.1\t" + c.hostname() + "\n"
	}
	if err := e.writeEtc(c, "hosts", hosts); err != nil {
		return nil, err
	}
	return out, e.writeEtc(c, "resolv.conf", string(resolv))
}

// localHosts are the names that every container knows.
const localHosts = "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n"

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

func extraHosts(c *Container) string {
	var b strings.Builder
	for _, h := range c.Config.Namespaces.ExtraHosts {
		host, ip, _ := strings.Cut(h, ":")
		b.WriteString(ip + "\t" + host + "\n")
	}
	return b.String()
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

// writeNetFiles writes the container's hosts and resolv.conf for the addresses that it has.
func (e *Engine) writeNetFiles(c *Container, got netd.Answer) error {
	hosts := localHosts + extraHosts(c)
	for _, a := range got.Host {
		hosts += a.String() + "\t" + strings.Join(netd.HostNames[:], " ") + "\n"
	}
	var servers []netip.Addr
	names := c.hostname()
	if c.Name != names {
		names += " " + c.Name
	}
	for _, l := range got.Leases {
		for _, a := range l.Addresses {
			hosts += a.Addr().String() + "\t" + names + "\n"
		}
		for _, s := range l.DNSServers {
			if !slices.Contains(servers, s) {
				servers = append(servers, s)
			}
		}
	}
	if err := e.writeEtc(c, "hosts", hosts); err != nil {
		return err
	}
	return e.writeEtc(c, "resolv.conf", resolvConf(servers))
}

// maxServers is how many name servers the C library asks (resolv.conf(5)).
const maxServers = 3

// resolvConf names the servers. Without one it is the host's, as far as a container can reach the servers there.
func resolvConf(servers []netip.Addr) string {
	var b strings.Builder
	for _, s := range servers[:min(len(servers), maxServers)] {
		b.WriteString("nameserver " + s.String() + "\n")
	}
	if len(servers) > 0 {
		return b.String()
	}
	host, _ := os.ReadFile("/etc/resolv.conf")
	for line := range strings.Lines(string(host)) {
		f := strings.Fields(line)
		if len(f) == 2 && f[0] == "nameserver" {
			if a, err := netip.ParseAddr(f[1]); err == nil && a.IsLoopback() {
				continue
			}
		}
		b.WriteString(line)
	}
	return b.String()
}

// writeEtc writes one of the files, in place: it may be mounted in the container. It is readable by every user of the
// container, in a directory that no other user of the host can enter.
func (e *Engine) writeEtc(c *Container, name, text string) error {
	if err := os.WriteFile(filepath.Join(e.runDir(c.ID), name), []byte(text), 0o644); err != nil {
		return fmt.Errorf("writing the container's /etc/%s: %w", name, err)
	}
	return nil
}
