package tests

import (
	"fmt"
	"strings"
	"testing"

	"github.com/proa-containers/proa/tests/harness"
)

func TestNetworkEgress(t *testing.T) {
	harness.Requires(t, "root", "/dev/net/tun")
	e, o := env.Fresh(t), harness.NewOutside(t)
	withImage(t, e)
	listed, other := o.Echo(t), o.Echo(t)
	e.Proa("network", "create", "n").OK(t)
	server := online(t, e, append([]string{"--network", "n", "--"}, sayName("neighbour")...)...)
	free := online(t, e, "--network", "n", "--", "sleep", "1000")
	none := online(t, e, "--network", "n", "--egress", "deny", "--", "sleep", "1000")
	some := online(t, e, "--network", "n", "--egress-allow", fmt.Sprintf("%v:%d", o.Address, listed), "--", "sleep", "1000")
	for _, c := range []struct {
		name  string
		port  int
		reach bool
	}{{free, listed, true}, {free, other, true}, {none, listed, false}, {none, other, false}, {some, listed, true}, {some, other, false}} {
		r := e.Proa("exec", c.name, "sh", "-c", fmt.Sprintf("echo hi | nc -w 3 %v %d", o.Address, c.port)).Run(t)
		if reached := strings.HasSuffix(r.Out(), " hi"); reached != c.reach {
			t.Errorf("%s reaches port %d: %v, want %v: %s%s", c.name, c.port, reached, c.reach, r.Stdout, r.Stderr)
		}
	}
	for _, c := range []string{none, some} {
		equal(t, c+" asks its neighbour", ask(e, c, server).OK(t).Out(), "neighbour")
		e.Proa("exec", c, "nslookup", "secret.example.com.").Run(t)
	}
	for _, want := range []string{fmt.Sprintf("%v:%d", o.Address, other), "secret.example.com"} {
		harness.Eventually(t, "events tell of "+want, func() bool {
			out := e.Proa("events", "--since", "10m", "--until", "0s", "--filter", "container="+none).Run(t).Stdout
			return strings.Contains(out, "egress_refused") && strings.Contains(out, want)
		})
	}
	// What was closed is closed when netd is another one, and what was open is open.
	killNetd(t, e)
	e.Proa("ps").OK(t)
	if r := e.Proa("exec", none, "sh", "-c", fmt.Sprintf("echo hi | nc -w 3 %v %d", o.Address, listed)).Run(t); strings.HasSuffix(r.Out(), " hi") {
		t.Errorf("after netd was killed the policy is gone: %s", r.Stdout)
	}
	harness.Eventually(t, "the way out is there again", func() bool {
		r := e.Proa("exec", some, "sh", "-c", fmt.Sprintf("echo hi | nc -w 3 %v %d", o.Address, listed)).Run(t)
		return strings.HasSuffix(r.Out(), " hi")
	})
}
