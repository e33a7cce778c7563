package network

import (
	"strings"
	"testing"
)

// FuzzFile: whatever a file says is refused or is a network that is stored the same.
func FuzzFile(f *testing.F) {
	s := New(f.TempDir(), true)
	b, err := encode(s.builtin())
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Add([]byte(`{"name":"a","id":"` + idOf("a") + `","driver":"bridge","subnets":[{"subnet":"10.0.0.0/24","lease_range":{"start_ip":"10.0.0.9"}}],"routes":[{"destination":"10.1.0.0/16","gateway":"10.0.0.2"}]}`))
	f.Add([]byte(`{"name":"../a","subnets":null}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		n, err := decode(b)
		if err != nil {
			return
		}
		for _, sub := range n.Subnets {
			if from, to := sub.Range(); !sub.Subnet.Contains(from) || !sub.Subnet.Contains(to) {
				t.Errorf("the range %v-%v is not in %v", from, to, sub.Subnet)
			}
		}
		again, err := encode(n)
		if err != nil {
			t.Fatalf("%q can't be stored: %v", b, err)
		}
		if m, err := decode(again); err != nil || m.Name != n.Name || len(m.Subnets) != len(n.Subnets) {
			t.Errorf("%q is stored as %q: %v", b, again, err)
		}
	})
}

func FuzzSubnets(f *testing.F) {
	f.Add("10.0.0.0/24", "10.0.0.1", "10.0.0.128/25")
	f.Add("10.0.0.0/24", "", "10.0.0.0-10.0.0.0")
	f.Add("fd00::/64", "fd00::1", "fd00::5-fd00::9")
	f.Fuzz(func(t *testing.T, subnet, gateway, span string) {
		list, err := ParseSubnets([]string{subnet}, strings.Fields(gateway), strings.Fields(span))
		if err != nil {
			return
		}
		if from, to := list[0].Range(); to.Less(from) || !list[0].Subnet.Contains(from) || !list[0].Subnet.Contains(to) {
			t.Errorf("%q %q %q: %v to %v", subnet, gateway, span, from, to)
		}
	})
}

// FuzzPort: a port that is taken is written as a --publish that gives the same port.
func FuzzPort(f *testing.F) {
	for _, s := range []string{"80", "127.0.0.1:8080:80/udp", "[::1]::80", "1-65535:1-65535", "target=80,published=1"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		p, err := ParsePort(s)
		if err != nil {
			return
		}
		if int(p.Container)+int(p.Count)-1 > 65535 || p.Host != 0 && int(p.Host)+int(p.Count)+int(p.Spare)-1 > 65535 || p.Container == 0 || p.Count == 0 {
			t.Errorf("%q gives %+v", s, p)
		}
		if again, err := ParsePort(p.String()); err != nil || again != p {
			t.Errorf("%q: %+v is written as %q, which is %+v, %v", s, p, p.String(), again, err)
		}
	})
}

func FuzzNetwork(f *testing.F) {
	for _, s := range []string{"a:ip=10.0.0.5,mac=02:42:ac:11:00:02,alias=x", "name=a,ip6=fd01::1", "container:x", "slirp4netns:cidr=10.0.2.0/24", "pasta:-T,1"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		mode, a, err := ParseNetwork(s)
		if err == nil && (mode == "" || mode == ModeBridge && !ValidName(a.Network)) {
			t.Errorf("%q is mode %q and network %q", s, mode, a.Network)
		}
		for _, alias := range a.Aliases {
			if strings.ContainsAny(alias, " \n\t#") {
				t.Errorf("%q has the alias %q", s, alias)
			}
		}
	})
}

// FuzzHosts: what ends in a file of the container can't begin a line of its own there.
func FuzzHosts(f *testing.F) {
	f.Add("db:10.0.0.1", "example.com", "*.example.com:443")
	f.Add("db=[fd01::1]", ".", "[2001:db8::/32]:443")
	f.Fuzz(func(t *testing.T, host, domain, egress string) {
		if s, err := ParseExtraHost(host); err == nil && strings.ContainsAny(s, " \n\t#") {
			t.Errorf("%q is the host %q", host, s)
		}
		if n := (Names{}); n.ParseSearch([]string{domain}) == nil && strings.ContainsAny(strings.Join(n.Search, ""), " \n\t#") {
			t.Errorf("%q is the domain %q", domain, n.Search)
		}
		if r, err := ParseEgressRule(egress); err == nil && (r.Host == "") == !r.Prefix.IsValid() {
			t.Errorf("%q is the rule %+v", egress, r)
		}
	})
}
