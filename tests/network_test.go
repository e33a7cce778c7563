package tests

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/proa-containers/proa/tests/harness"
)

// online runs a detached container on networks, and returns its name.
func online(t testing.TB, e *harness.Env, args ...string) string {
	t.Helper()
	name := containerName(t)
	flags, cmd := split(args)
	line := append([]string{"run", "-d", "--name", name}, flags...)
	withImage(t, e).Proa(append(append(line, image), cmd...)...).OK(t)
	removeLater(t, e, name)
	return name
}

// address is the container's address on a network, "bridge" being the default one.
func address(t testing.TB, e *harness.Env, name, network string) string {
	t.Helper()
	a := e.Proa("inspect", "-f", fmt.Sprintf("{{(index .NetworkSettings.Networks %q).IPAddress}}", network), name).OK(t).Out()
	if _, err := netip.ParseAddr(a); err != nil {
		t.Fatalf("%s has the address %q on %s", name, a, network)
	}
	return a
}

// sayName is a server that answers each connection with a word.
func sayName(word string) []string {
	return []string{"sh", "-c", "while :; do echo " + word + " | nc -l -p 7000; done"}
}

// ask has a container ask the server of another.
func ask(e *harness.Env, from, to string) *harness.Cmd {
	return e.Proa("exec", from, "sh", "-c", "for i in 1 2 3 4 5 6 7 8 9 10; do a=$(nc -w 2 "+to+" 7000 </dev/null); [ -n \"$a\" ] && echo $a && exit; usleep 100000; done; exit 1")
}

// netds are the pids of the user's proa-netd.
func netds(e *harness.Env) (pids []int) {
	for _, p := range e.Processes() {
		if e.Owns(p) && strings.HasSuffix(p.Args[0], "proa-netd") && len(p.Args) > 1 && p.Args[1] == "--dir" {
			pids = append(pids, p.PID)
		}
	}
	return pids
}

// killNetd kills the user's netd, and returns what its pid was.
func killNetd(t testing.TB, e *harness.Env) int {
	t.Helper()
	pids := netds(e)
	if len(pids) != 1 {
		t.Fatalf("netds: %v", pids)
	}
	syscall.Kill(pids[0], syscall.SIGKILL)
	harness.Eventually(t, "netd dies", func() bool { return len(netds(e)) == 0 })
	return pids[0]
}

// offNetworks waits until nothing is left of networks.
func offNetworks(t testing.TB, e *harness.Env) {
	t.Helper()
	harness.Eventually(t, "netd ends with the last container", func() bool { return len(netds(e)) == 0 })
	for _, m := range e.PauseMounts() {
		if strings.Contains(m, "/netd/") {
			t.Errorf("a network namespace is left at %s", m)
		}
	}
	left, _ := filepath.Glob(filepath.Join(e.Runtime, "proa", "netd", "containers", "*"))
	if len(left) > 0 {
		t.Errorf("records are left: %v", left)
	}
}

func TestNetworkDefault(t *testing.T) {
	e := env.Fresh(t)
	a := online(t, e, append([]string{"--"}, sayName("hello")...)...)
	b := online(t, e, "--", "sleep", "1000")
	ip := address(t, e, a, "bridge")
	equal(t, "one container asks the other", ask(e, b, ip).OK(t).Out(), "hello")
	if hosts := e.Proa("exec", a, "cat", "/etc/hosts").OK(t).Out(); !strings.Contains(hosts, ip+"\t") || !strings.Contains(hosts, a) {
		t.Errorf("hosts does not name the container: %s", hosts)
	}
	gateway := e.Proa("inspect", "-f", "{{.NetworkSettings.Gateway}}", a).OK(t).Out()
	if r := e.Proa("exec", a, "ip", "route").OK(t).Out(); !strings.Contains(r, "default via "+gateway+" dev eth0") {
		t.Errorf("gateway %s, routes: %s", gateway, r)
	}
	if r := e.Proa("exec", a, "ip", "-o", "addr").OK(t).Out(); strings.Contains(r, "inet6 fe80") {
		t.Errorf("an interface without IPv6 has an IPv6 address: %s", r)
	}
	equal(t, "ps names the network", e.Proa("ps", "--filter", "name="+a, "--format", "{{.Networks}}").OK(t).Out(), "bridge")
	c := online(t, e, "--network", "container:"+a, "--", "sleep", "1000")
	equal(t, "a container in another's network", ask(e, c, "127.0.0.1").OK(t).Out(), "hello")
	equal(t, "its hosts", e.Proa("exec", c, "cat", "/etc/hosts").OK(t).Out(), e.Proa("exec", a, "cat", "/etc/hosts").OK(t).Out())
	e.Proa("rm", "-f", "-t", "0", c, b, a).OK(t)
	offNetworks(t, e)
}

func TestNetworkOutside(t *testing.T) {
	harness.Requires(t, "root", "/dev/net/tun")
	e, o := env.Fresh(t), harness.NewOutside(t)
	port := o.Echo(t)
	a := online(t, e, "--", "sleep", "1000")
	answer := e.Proa("exec", a, "sh", "-c", fmt.Sprintf("echo hi | nc -w 5 %v %d", o.Address, port)).OK(t).Out()
	if !strings.HasPrefix(answer, o.Host.String()+":") || !strings.HasSuffix(answer, " hi") {
		t.Errorf("outside saw %q, not the host %v", answer, o.Host)
	}
	// What the host serves beyond its loopback is there under its names; its loopback is closed, whatever it is called.
	say := func(at string) int {
		l, err := net.Listen("tcp", at)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { l.Close() })
		go func() {
			for {
				c, err := l.Accept()
				if err != nil {
					return
				}
				fmt.Fprintln(c, "the host")
				c.Close()
			}
		}()
		return l.Addr().(*net.TCPAddr).Port
	}
	port = say(":0")
	hosts := e.Proa("exec", a, "sh", "-c", "grep host.containers.internal /etc/hosts | grep -v :").OK(t).Out()
	equal(t, "the host by its name", e.Proa("exec", a, "sh", "-c", fmt.Sprintf("nc -w 5 %s %d </dev/null", strings.Fields(hosts)[0], port)).OK(t).Out(), "the host")
	port = say("127.0.0.1:0")
	for _, name := range []string{"10.0.2.2", strings.Fields(hosts)[0], o.Host.String(), "0.0.0.0", gateway(t, e, "bridge"), address(t, e, a, "bridge")} {
		if r := e.Proa("exec", a, "sh", "-c", fmt.Sprintf("nc -w 2 %s %d </dev/null", name, port)).Run(t); r.Stdout != "" {
			t.Errorf("the host's loopback is open by %s: %s", name, r.Stdout)
		}
	}
}

// TestNetworkLife kills netd at the side of its containers.
func TestNetworkLife(t *testing.T) {
	e := env.Fresh(t)
	a := online(t, e, append([]string{"--"}, sayName("hello")...)...)
	b := online(t, e, "--", "sleep", "1000")
	gone := online(t, e, "--", "sleep", "1000")
	ip := address(t, e, a, "bridge")
	dead := killNetd(t, e)
	equal(t, "neighbours while netd is dead", ask(e, b, ip).OK(t).Out(), "hello")
	e.Proa("rm", "-f", "-t", "0", gone).OK(t)
	harness.Eventually(t, "the next command starts another", func() bool {
		e.Proa("ps").OK(t)
		now := netds(e)
		return len(now) == 1 && now[0] != dead
	})
	equal(t, "neighbours with the second", ask(e, b, ip).OK(t).Out(), "hello")
	equal(t, "the address stays", address(t, e, a, "bridge"), ip)
	c := online(t, e, "--", "sleep", "1000")
	if now := address(t, e, c, "bridge"); now == ip || now == address(t, e, b, "bridge") {
		t.Errorf("the address %s is given twice", now)
	}
	equal(t, "a new container asks an old one", ask(e, c, ip).OK(t).Out(), "hello")

	// The last netd dies before its containers do: the next command finds nothing to go on with.
	killNetd(t, e)
	e.Proa("rm", "-f", "-t", "0", a, b, c).OK(t)
	e.Proa("ps").OK(t)
	offNetworks(t, e)
}

// TestNetworkRestart: a container that its monitor starts again keeps its place, and one that is started again finds one.
func TestNetworkRestart(t *testing.T) {
	e := env.Fresh(t)
	a := online(t, e, "--restart", "always", "--", "sh", "-c", "test -e /again || { touch /again; exit 3; }; "+sayName("again")[2])
	b := online(t, e, "--", "sleep", "1000")
	harness.Eventually(t, "it is started again", func() bool {
		return e.Proa("inspect", "-f", "{{.RestartCount}} {{.State.Status}}", a).OK(t).Out() == "1 running"
	})
	ip := address(t, e, a, "bridge")
	equal(t, "after a restart by the monitor", ask(e, b, ip).OK(t).Out(), "again")
	e.Proa("restart", "-t", "0", a).OK(t)
	equal(t, "after a restart by the user", ask(e, b, address(t, e, a, "bridge")).OK(t).Out(), "again")
	e.Proa("rm", "-f", "-t", "0", a, b).OK(t)
	offNetworks(t, e)
}

// TestNetworkNotMade: what can't be had is said, and leaves nothing.
func TestNetworkNotMade(t *testing.T) {
	e := env.Fresh(t)
	withImage(t, e)
	a := online(t, e, "--network", "bridge:ip=10.88.7.7", "--", "sleep", "1000")
	equal(t, "the address that was asked for", address(t, e, a, "bridge"), "10.88.7.7")
	for _, c := range []struct {
		flag string
		want []string
	}{
		{"bridge:ip=10.88.7.7", []string{"10.88.7.7", "taken", a}},
		{"bridge:ip=10.88.0.1", []string{"10.88.0.1", "gateway"}},
		{"bridge:ip=10.99.0.1", []string{"10.99.0.1", "10.88.0.0/16"}},
		{"no-such-network", []string{"no-such-network"}},
		{"container:no-such-container", []string{"no-such-container"}},
	} {
		refused(t, e.Proa("run", "--rm", "--network", c.flag, image, "true"), 125, c.want...)
	}
	equal(t, "none of them is left", e.Proa("ps", "-aq", "--no-trunc").OK(t).Out(), e.Proa("ps", "-q", "--no-trunc").OK(t).Out())
	e.Proa("rm", "-f", "-t", "0", a).OK(t)
	offNetworks(t, e)
	// proa without its other programs has no networks, and says so.
	lone := filepath.Join(e.TempDir(t), "proa")
	if err := os.Link(filepath.Join(e.Prefix, "bin", "proa"), lone); err != nil {
		t.Fatal(err)
	}
	refused(t, e.Command(lone, "run", "--rm", "--network", "bridge", image, "true"), 125, "proa-netd", "make install")
	e.Command(lone, "run", "--rm", "--network", "none", image, "true").OK(t)
}
