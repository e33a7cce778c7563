package tests

import (
	"fmt"
	"strings"
	"testing"

	"github.com/proa-containers/proa/tests/harness"
)

// lookup has a container look a name up and returns the addresses, in their order.
func lookup(t testing.TB, e *harness.Env, from, name string) []string {
	t.Helper()
	out := e.Proa("exec", from, "nslookup", name+".").Run(t).Stdout
	_, answer, _ := strings.Cut(out, "Name:")
	var found []string
	for _, l := range strings.Split(answer, "\n") {
		if a, ok := strings.CutPrefix(l, "Address: "); ok {
			found = append(found, a)
		}
	}
	return found
}

func TestNetworkNames(t *testing.T) {
	e := env.Fresh(t)
	withImage(t, e)
	e.Proa("network", "create", "front").OK(t)
	e.Proa("network", "create", "--subnet", "10.123.7.0/24", "back").OK(t)
	web := online(t, e, append([]string{"--network", "front:alias=www", "--"}, sayName("web")...)...)
	both := online(t, e, "--network", "front:alias=www", "--network", "back:ip=10.123.7.9", "--", "sleep", "1000")
	db := online(t, e, append([]string{"--network", "back", "--"}, sayName("db")...)...)

	equal(t, "by name", ask(e, both, web).OK(t).Out(), "web")
	equal(t, "by name, on the other network", ask(e, both, db).OK(t).Out(), "db")
	equal(t, "the address that was asked for", address(t, e, both, "back"), "10.123.7.9")
	if got := lookup(t, e, both, "www"); len(got) != 2 || got[0] == got[1] {
		t.Errorf("an alias of two containers has the addresses %v", got)
	}
	id := e.Proa("inspect", "-f", "{{.Id}}", web).OK(t).Out()
	equal(t, "by its id", strings.Join(lookup(t, e, both, id[:12]), " "), address(t, e, web, "front"))

	// What is on no network in common is not known, and not reached.
	if got := lookup(t, e, web, db); len(got) > 0 {
		t.Errorf("%s knows %s, on another network: %v", web, db, got)
	}
	for _, to := range []string{address(t, e, db, "back"), address(t, e, both, "back"), gateway(t, e, "back")} {
		if r := e.Proa("exec", web, "sh", "-c", "nc -w 1 "+to+" 7000 </dev/null").Run(t); r.Code == 0 {
			t.Errorf("%s reaches %s on another network: %q", web, to, r.Stdout)
		}
	}
	if r := e.Proa("exec", web, "ping", "-c1", "-W1", address(t, e, db, "back")).Run(t); r.Code == 0 {
		t.Errorf("a ping from one network to another is answered: %s", r.Stdout)
	}
	refused(t, e.Proa("network", "rm", "front"), ownError, "front", web)
	e.Proa("rm", "-f", "-t", "0", web, both, db).OK(t)
	e.Proa("network", "rm", "front", "back").OK(t)
	offNetworks(t, e)
}

func gateway(t testing.TB, e *harness.Env, network string) string {
	t.Helper()
	return e.Proa("network", "inspect", "-f", "{{(index .IPAM.Config 0).Gateway}}", network).OK(t).Out()
}

// TestNetworkAnew: a network that is made again with another subnet is the new one, at once.
func TestNetworkAnew(t *testing.T) {
	e := env.Fresh(t)
	withImage(t, e)
	keep := online(t, e, "--", "sleep", "1000")
	for _, subnet := range []string{"10.124.1.0/24", "10.124.2.0/24", "10.124.0.0/16"} {
		e.Proa("network", "create", "--subnet", subnet, "n").OK(t)
		name := online(t, e, append([]string{"--network", "n", "--"}, sayName("n")...)...)
		other := online(t, e, "--network", "n", "--", "sleep", "1000")
		equal(t, "on "+subnet, ask(e, other, name).OK(t).Out(), "n")
		e.Proa("rm", "-f", "-t", "0", name, other).OK(t)
		e.Proa("network", "rm", "n").OK(t)
	}
	e.Proa("rm", "-f", "-t", "0", keep).OK(t)
}

func TestNetworkInternal(t *testing.T) {
	harness.Requires(t, "root", "/dev/net/tun")
	e, o := env.Fresh(t), harness.NewOutside(t)
	withImage(t, e)
	port := o.Echo(t)
	e.Proa("network", "create", "--internal", "inside").OK(t)
	e.Proa("network", "create", "out").OK(t)
	a := online(t, e, append([]string{"--network", "inside", "--"}, sayName("a")...)...)
	b := online(t, e, "--network", "inside", "--network", "out", "--", "sleep", "1000")
	equal(t, "neighbours", ask(e, b, a).OK(t).Out(), "a")
	outside := fmt.Sprintf("echo hi | nc -w 2 %v %d", o.Address, port)
	if r := e.Proa("exec", a, "sh", "-c", outside).Run(t); r.Code == 0 {
		t.Errorf("an internal network has a way out: %s", r.Stdout)
	}
	// Nor does a route that the container makes itself lead anywhere.
	via := gateway(t, e, "inside")
	e.Proa("rm", "-f", "-t", "0", a).OK(t)
	c := online(t, e, "--cap-add", "NET_ADMIN", "--network", "inside", "--", "sleep", "1000")
	if r := e.Proa("exec", c, "sh", "-c", "ip route add default via "+via+" && "+outside).Run(t); r.Code == 0 {
		t.Errorf("by a route of its own the container gets out: %s", r.Stdout)
	}
	e.Proa("exec", b, "sh", "-c", outside).OK(t)
	refused(t, e.Proa("run", "--rm", "--network", "inside", "-p", "8080:80", image, "true"), 125, "internal")
}

func TestNetworkIPv6(t *testing.T) {
	harness.Requires(t, "root", "/dev/net/tun", "/proc/net/if_inet6")
	e, o := env.Fresh(t), harness.NewOutside(t)
	withImage(t, e)
	port := o.Echo(t)
	e.Proa("network", "create", "--ipv6", "six").OK(t)
	server := online(t, e, "--network", "six", "--", "sleep", "1000")
	a := online(t, e, "--network", "six", "--", "sleep", "1000")
	six := e.Proa("inspect", "-f", "{{.NetworkSettings.Networks.six.GlobalIPv6Address}}", server).OK(t).Out()
	e.Proa("exec", a, "ping", "-c1", "-W5", six).OK(t)
	if got := strings.Join(lookup(t, e, a, server), " "); !strings.Contains(got, six) {
		t.Errorf("%s has the addresses %s, without %s", server, got, six)
	}
	answer := e.Proa("exec", a, "sh", "-c", fmt.Sprintf("echo hi | nc -w 5 %v %d", o.Address6, port)).OK(t).Out()
	if !strings.HasPrefix(answer, "["+o.Host6.String()+"]:") {
		t.Errorf("outside saw %q, not the host %v", answer, o.Host6)
	}
}

// TestNetworkFull: a network without a free address says so, and has one again when a container has gone.
func TestNetworkFull(t *testing.T) {
	e := env.Fresh(t)
	withImage(t, e)
	e.Proa("network", "create", "--subnet", "10.125.0.0/29", "tiny").OK(t)
	var names []string
	for range 5 { // of 8: not the first, the gateway and the last
		names = append(names, online(t, e, "--network", "tiny", "--", "sleep", "1000"))
	}
	refused(t, e.Proa("run", "--rm", "--network", "tiny", image, "true"), 125, "tiny", "10.125.0.0/29", "free")
	e.Proa("rm", "-f", "-t", "0", names[2]).OK(t)
	e.Proa("run", "--rm", "--network", "tiny", image, "true").OK(t)
}
