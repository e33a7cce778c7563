package libpod

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/proa-containers/proa/libpod/network"
	"github.com/proa-containers/proa/libpod/network/netd"
)

// TestSearch: a neighbour's name is asked of the network before the host's domains are put behind it.
func TestSearch(t *testing.T) {
	host := []string{"corp.example", "example"}
	gateway := []netip.Addr{netip.MustParseAddr("10.89.0.1")}
	for _, c := range []struct {
		network string
		own     []string
		want    []string
	}{
		{"front", nil, append([]string{network.Domain}, host...)},
		{network.Default, nil, host},
		{"front", []string{"example.com"}, []string{"example.com"}},
		{"front", []string{"."}, nil},
	} {
		ctr := &Container{}
		ctr.Config.Namespaces.Network = network.ModeBridge
		ctr.Names.Search, ctr.Networks = c.own, []network.Attachment{{Network: c.network}}
		got := resolvConf(ctr, netd.Answer{Leases: []network.Lease{{Network: c.network, DNSServers: gateway}}}, resolv{search: host})
		want := ""
		if len(c.want) > 0 {
			want = "search " + strings.Join(c.want, " ") + "\n"
		}
		if want = "nameserver 10.89.0.1\n" + want; got != want {
			t.Errorf("on %s with --dns-search %q: %q, want %q", c.network, c.own, got, want)
		}
	}
}
