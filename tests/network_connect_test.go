package tests

import (
	"fmt"
	"strings"
	"testing"

	"github.com/proa-containers/proa/tests/harness"
)

func TestNetworkConnect(t *testing.T) {
	harness.Requires(t, "root", "/dev/net/tun")
	e, o := env.Fresh(t), harness.NewOutside(t)
	withImage(t, e)
	port := o.Echo(t)
	outside := fmt.Sprintf("echo hi | nc -w 5 %v %d", o.Address, port)
	e.Proa("network", "create", "--subnet", "10.126.1.0/24", "one").OK(t)
	e.Proa("network", "create", "--subnet", "10.126.2.0/24", "two").OK(t)
	server := online(t, e, append([]string{"--network", "two", "--"}, sayName("two")...)...)
	a := online(t, e, "--network", "one", "--", "sleep", "1000")
	if got := lookup(t, e, a, server); len(got) > 0 {
		t.Fatalf("%s is known before it is connected: %v", server, got)
	}
	equal(t, "connect prints", e.Proa("network", "connect", "--ip", "10.126.2.77", "--alias", "both", "two", a).OK(t).Stdout, "")
	equal(t, "its address", address(t, e, a, "two"), "10.126.2.77")
	equal(t, "it knows its new neighbour", ask(e, a, server).OK(t).Out(), "two")
	equal(t, "and is known to it", strings.Join(lookup(t, e, server, "both"), " "), "10.126.2.77")
	equal(t, "its interfaces", e.Proa("exec", a, "ls", "/sys/class/net").OK(t).Out(), "eth0\neth1\nlo")
	if hosts := e.Proa("exec", a, "cat", "/etc/hosts").OK(t).Stdout; !strings.Contains(hosts, "10.126.2.77\t") {
		t.Errorf("hosts has not its new address: %s", hosts)
	}
	refused(t, e.Proa("network", "connect", "two", a), 1, a, "two", "already")
	refused(t, e.Proa("network", "connect", "--ip", "10.126.2.77", "two", online(t, e, "--network", "one", "--", "sleep", "1000")), 1, "10.126.2.77", "taken", a)

	// The default route goes with its network to the one that is left.
	e.Proa("network", "disconnect", "one", a).OK(t)
	equal(t, "its interfaces", e.Proa("exec", a, "ls", "/sys/class/net").OK(t).Out(), "eth1\nlo")
	if out := e.Proa("exec", a, "sh", "-c", outside).OK(t).Out(); !strings.HasSuffix(out, " hi") {
		t.Errorf("outside by the network that is left: %q", out)
	}
	refused(t, e.Proa("network", "disconnect", "one", a), 1, a, "one")
	e.Proa("network", "disconnect", "--force", "one", a).OK(t)
	refused(t, e.Proa("network", "connect", "two", online(t, e, "--network", "none", "--", "sleep", "1000")), 1, "none")

	// It is so after a restart as well, and for a container that does not run.
	e.Proa("restart", "-t", "0", a).OK(t)
	equal(t, "after a restart", address(t, e, a, "two"), "10.126.2.77")
	equal(t, "its neighbour", ask(e, a, server).OK(t).Out(), "two")
	e.Proa("stop", "-t", "0", a).OK(t)
	e.Proa("network", "connect", "one", a).OK(t)
	e.Proa("start", a).OK(t)
	equal(t, "connected while it was stopped", e.Proa("exec", a, "ls", "/sys/class/net").OK(t).Out(), "eth0\neth1\nlo")

	equal(t, "reload prints", e.Proa("network", "reload", a).OK(t).Out(), e.Proa("inspect", "-f", "{{.Id}}", a).OK(t).Out())
	equal(t, "after a reload", ask(e, a, server).OK(t).Out(), "two")
}

// TestNetworkPublish: what comes from outside by a published port comes with its own address.
func TestNetworkPublish(t *testing.T) {
	harness.Requires(t, "root", "/dev/net/tun")
	e, o := env.Fresh(t), harness.NewOutside(t)
	withImage(t, e)
	server := "mkdir /www; echo page > /www/index.html; exec busybox httpd -f -vv -p 80 -h /www"
	a := online(t, e, "-p", "0:80", "-p", "127.0.0.1::80/udp", "--", "sh", "-c", server)
	port := strings.TrimPrefix(strings.Split(e.Proa("port", a, "80/tcp").OK(t).Out(), "\n")[0], "0.0.0.0:")
	get := func(host string) string {
		out, err := o.Ask(t, host+":"+port, "GET /index.html HTTP/1.0\r\n")
		if err != nil {
			t.Fatalf("asking %s:%s: %v", host, port, err)
		}
		return out
	}
	harness.Eventually(t, "the server answers", func() bool {
		out, _ := o.Ask(t, o.Host.String()+":"+port, "GET /index.html HTTP/1.0\r\n")
		return strings.HasSuffix(out, "page\n")
	})
	for _, host := range []string{o.Host.String(), "[" + o.Host6.String() + "]"} {
		if out := get(host); !strings.HasSuffix(out, "page\n") {
			t.Errorf("by %s: %q", host, out)
		}
	}
	log := e.Proa("logs", a).OK(t)
	if all := log.Stdout + log.Stderr; !strings.Contains(all, o.Address.String()) {
		t.Errorf("the server did not see the client %v: %s", o.Address, all)
	}
	ps := e.Proa("ps", "--format", "{{.Ports}}", "--filter", "name="+a).OK(t).Out()
	for _, want := range []string{"0.0.0.0:" + port + "->80/tcp", "[::]:" + port + "->80/tcp", "127.0.0.1:", "->80/udp"} {
		if !strings.Contains(ps, want) {
			t.Errorf("ps says %q, without %q", ps, want)
		}
	}
	// From a container to a published port, its own too, by the host's address.
	equal(t, "hairpin", e.Proa("exec", a, "sh", "-c", fmt.Sprintf(`printf "GET /index.html HTTP/1.0\r\n\r\n" | nc -w 5 %v %s | tail -1`, o.Host, port)).OK(t).Out(), "page")

	refused(t, e.Proa("run", "--rm", "-p", port+":80", image, "true"), 125, port, a)
	refused(t, e.Proa("run", "--rm", "-p", "80:80", image, "true"), 125, "ip_unprivileged_port_start")
	// The container that is replaced gives its port and its address to the next.
	fixed := []string{"run", "-d", "--replace", "--name", "fixed", "--network", "bridge:ip=10.88.9.9", "-p", "127.0.0.1:28080:80", image, "sleep", "1000"}
	e.Proa(fixed...).OK(t)
	e.Proa(fixed...).OK(t)
	equal(t, "after --replace", address(t, e, "fixed", "bridge"), "10.88.9.9")
	e.Proa("rm", "-f", "-t", "0", "fixed").OK(t)

	// The port is free when the command that ends the container has ended.
	e.Proa("rm", "-f", "-t", "0", a).OK(t)
	e.Proa("run", "--rm", "-p", port+":80", image, "true").OK(t)
	e.Proa("run", "--rm", "-p", port+":80", image, "true").OK(t)
	offNetworks(t, e)
}
