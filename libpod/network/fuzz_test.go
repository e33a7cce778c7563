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
