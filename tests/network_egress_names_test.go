package tests

import (
	"fmt"
	"net"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/miekg/dns"
	"github.com/proa-containers/proa/tests/harness"
)

// nameServer is an upstream name server on the host's loopback that knows good.example and evil.example, and remembers what
// it was asked.
func nameServer(t testing.TB, address string) (server string, asked func(name string) bool) {
	t.Helper()
	server = "127.77.0.53"
	c, err := net.ListenPacket("udp", server+":53")
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	all := map[string]bool{}
	s := &dns.Server{PacketConn: c, Handler: dns.HandlerFunc(func(w dns.ResponseWriter, m *dns.Msg) {
		q := m.Question[0]
		mu.Lock()
		all[strings.TrimSuffix(strings.ToLower(q.Name), ".")] = true
		mu.Unlock()
		r := new(dns.Msg).SetReply(m)
		switch {
		case q.Qtype != dns.TypeA:
		case strings.HasSuffix(q.Name, "inward.good.example."):
			r.Answer = append(r.Answer, record(q.Name, "127.0.0.1"))
		case strings.HasSuffix(q.Name, "good.example."), strings.HasSuffix(q.Name, "evil.example."):
			r.Answer = append(r.Answer, record(q.Name, address))
		}
		w.WriteMsg(r)
	})}
	go s.ActivateAndServe()
	t.Cleanup(func() { s.Shutdown() })
	return server, func(name string) bool { mu.Lock(); defer mu.Unlock(); return all[name] }
}

func record(name, address string) dns.RR {
	return &dns.A{Hdr: dns.RR_Header{Name: name, Rrtype: dns.TypeA, Class: dns.ClassINET, Ttl: 60}, A: net.ParseIP(address)}
}

func TestNetworkEgressNames(t *testing.T) {
	harness.Requires(t, "root", "/dev/net/tun")
	e, o := env.Fresh(t), harness.NewOutside(t)
	withImage(t, e)
	port, other := o.Echo(t), o.Echo(t)
	server, asked := nameServer(t, o.Address.String())
	e.Proa("network", "create", "n").OK(t)
	neighbour := online(t, e, append([]string{"--network", "n", "--dns", server, "--"}, sayName("hello")...)...)
	box := online(t, e, "--network", "n", "--dns", server, "--egress-allow", fmt.Sprintf("*.good.example:%d", port), "--", "sleep", "1000")
	reaches := func(from, to string, port int) bool {
		t.Helper()
		r := e.Proa("exec", from, "sh", "-c", fmt.Sprintf("echo hi | nc -w 5 %s %d", to, port)).Run(t)
		return r.Code == 0 && strings.Contains(r.Stdout, "hi")
	}
	expect := func(what string, want, got bool) {
		t.Helper()
		if got != want {
			t.Errorf("%s: %v, want %v", what, got, want)
		}
	}
	address := o.Address.String()
	expect("an address that it was not told", false, reaches(box, address, port))
	expect("a neighbour reaches it", true, reaches(neighbour, address, port))
	equal(t, "the neighbour", ask(e, box, neighbour).OK(t).Out(), "hello")
	expect("the neighbour knows the host's name", true, len(lookup(t, e, neighbour, "host.docker.internal")) > 0)
	expect("a name that is not listed is known", false, len(lookup(t, e, box, "secret.evil.example")) > 0)
	expect("it was asked upstream", false, asked("secret.evil.example"))
	expect("the neighbour knows it", true, len(lookup(t, e, neighbour, "secret.evil.example")) > 0)
	expect("a listed name that leads to the host is known", false, len(lookup(t, e, box, "inward.good.example")) > 0)
	expect("a listed name", true, reaches(box, "www.good.example", port))
	expect("its address", true, reaches(box, address, port))
	expect("its other ports", false, reaches(box, address, other))

	// In the hands of a successor.
	pids := netds(e)
	syscall.Kill(pids[0], syscall.SIGKILL)
	harness.Eventually(t, "the next command starts another", func() bool {
		e.Proa("ps").OK(t)
		now := netds(e)
		return len(now) == 1 && now[0] != pids[0]
	})
	harness.Eventually(t, "its address, when there is a way out again", func() bool { return reaches(box, address, port) })
	expect("its other ports", false, reaches(box, address, other))
	expect("a listed name", true, reaches(box, "www.good.example", port))

	// On another network, then another container with its address.
	e.Proa("network", "create", "m").OK(t)
	e.Proa("network", "connect", "m", box).OK(t)
	e.Proa("network", "disconnect", "n", box).OK(t)
	expect("by another network an address with other ports", false, reaches(box, address, other))
	expect("by another network a listed name", true, reaches(box, "www.good.example", port))
	e.Proa("network", "connect", "n", box).OK(t)
	ip := e.Proa("inspect", "-f", "{{.NetworkSettings.Networks.n.IPAddress}}", box).OK(t).Out()
	e.Proa("rm", "-f", "-t", "0", box).OK(t)
	free := online(t, e, "--network", "n:ip="+ip, "--", "sleep", "1000")
	expect("a container without a policy", true, reaches(free, address, other))
	e.Proa("rm", "-f", "-t", "0", free).OK(t)
	closed := online(t, e, "--network", "n:ip="+ip, "--dns", server, "--egress", "deny", "--", "sleep", "1000")
	expect("what was open to another container", false, reaches(closed, address, port))
	expect("a name, where none is listed, is known", false, len(lookup(t, e, closed, "www.good.example")) > 0)
	for _, args := range [][]string{{"--privileged"}, {"--cap-add", "NET_RAW"}, {"--cap-add", "all"}} {
		refused(t, e.Proa(append(append([]string{"run", "--rm", "--egress", "deny"}, args...), image, "true")...), ownError, "--egress")
	}
	e.Proa("rm", "-f", "-t", "0", closed, neighbour).OK(t)
	e.Proa("network", "rm", "n", "m").OK(t)
	offNetworks(t, e)
}
