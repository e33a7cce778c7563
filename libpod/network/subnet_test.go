package network

import (
	"net/netip"
	"strings"
	"testing"
)

func TestParseSubnets(t *testing.T) {
	list := func(s string) []string {
		if s == "" {
			return nil
		}
		return strings.Split(s, " ")
	}
	for _, c := range []struct{ subnets, gateways, ranges, want string }{
		{"10.1.0.0/24", "", "", "10.1.0.0/24 via - 10.1.0.1-10.1.0.254"},
		{"10.1.0.0/24", "10.1.0.9", "10.1.0.128/25", "10.1.0.0/24 via 10.1.0.9 10.1.0.128-10.1.0.254"},
		{"10.1.0.0/24", "", "10.1.0.0/24", "10.1.0.0/24 via - 10.1.0.1-10.1.0.254"},
		{"10.1.0.0/24", "", "10.1.0.5-10.1.0.9", "10.1.0.0/24 via - 10.1.0.5-10.1.0.9"},
		{"10.1.0.0/24 fd01::/64", "fd01::9 10.1.0.3", "fd01::100/120", "10.1.0.0/24 via 10.1.0.3 10.1.0.1-10.1.0.254, fd01::/64 via fd01::9 fd01::100-fd01::1ff"},
		{"", "", "", ""},

		{"10.1.0.0", "", "", `error: invalid --subnet "10.1.0.0"`},
		{"10.1.0.0/33", "", "", `error: invalid --subnet`},
		{"::ffff:10.1.0.0/120", "", "", `error: invalid subnet`},
		{"", "10.1.0.1", "", `error: invalid --gateway "10.1.0.1": it needs --subnet`},
		{"", "", "10.1.0.0/25", `needs --subnet`},
		{"10.1.0.0/24", "10.2.0.1", "", `in no --subnet`},
		{"10.1.0.0/24", "10.1.0.1 10.1.0.2", "", `has the gateway 10.1.0.1 already`},
		{"10.1.0.0/24", "x", "", `invalid --gateway "x"`},
		{"10.1.0.0/24", "10.1.0.0", "", `own address`},
		{"10.1.0.0/24", "", "10.1.0.0/16", `goes beyond`},
		{"10.1.0.0/24", "", "10.1.0.9-10.1.0.5", `in order`},
		{"10.1.0.0/24", "", "10.1.0.9/25", `the range is 10.1.0.0/25`},
		{"10.1.0.0/24", "", "10.1.0.0/26 10.1.0.128/26", `a range already`},
		{"10.1.0.0/24", "", "x", `want ADDRESS/BITS or START-END`},
	} {
		subs, err := ParseSubnets(list(c.subnets), list(c.gateways), list(c.ranges))
		var got []string
		for _, s := range subs {
			via := "-"
			if s.Gateway.IsValid() {
				via = s.Gateway.String()
			}
			from, to := s.Range()
			got = append(got, s.Subnet.String()+" via "+via+" "+from.String()+"-"+to.String())
		}
		text := strings.Join(got, ", ")
		if err != nil {
			text = "error: " + err.Error()
		}
		if text != c.want && (err == nil || !strings.Contains(text, c.want)) {
			t.Errorf("%q %q %q: %s, want %s", c.subnets, c.gateways, c.ranges, text, c.want)
		}
	}
}

func TestParseRoute(t *testing.T) {
	r, err := ParseRoute("10.1.0.0/16,10.89.0.2,5")
	if err != nil || r.Destination.String() != "10.1.0.0/16" || r.Gateway.String() != "10.89.0.2" || *r.Metric != 5 {
		t.Errorf("%+v, %v", r, err)
	}
	if r, err = ParseRoute("fd05::/64,fd01::2"); err != nil || r.Metric != nil {
		t.Errorf("%+v, %v", r, err)
	}
	for _, s := range []string{"", "10.1.0.0/16", "10.1.0.0/16,x", "10.1.0.0/16,10.0.0.1,-1", "10.1.0.0/16,10.0.0.1,1,2", "10.1.0.1/16,10.0.0.1", "10.1.0.0/16,fd01::1"} {
		if _, err := ParseRoute(s); err == nil {
			t.Errorf("ParseRoute(%q) passes", s)
		}
	}
}

func TestHostRoutes(t *testing.T) {
	v4 := "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n" +
		"eth0\t00000000\t010200C0\t0003\t0\t0\t0\t00000000\t0\t0\t0\n" +
		"eth0\t000200C0\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0\n" +
		"tun0\t0000000A\t010200C0\t0003\t0\t0\t0\t000000FF\t0\t0\t0\n"
	got := parseRoutes4(strings.NewReader(v4))
	want := []HostRoute{{netip.MustParsePrefix("192.0.2.0/24"), "eth0", true}, {netip.MustParsePrefix("10.0.0.0/8"), "tun0", false}}
	if len(got) != 2 || got[0] != want[0] || got[1] != want[1] {
		t.Errorf("IPv4: %v", got)
	}
	v6 := "fd010000000000000000000000000000 40 00000000000000000000000000000000 00 00000000000000000000000000000000 00000100 00000001 00000000 00000001     eth0\n" +
		"fe800000000000000000000000000000 40 00000000000000000000000000000000 00 00000000000000000000000000000000 00000100 00000001 00000000 00000001     eth0\n" +
		"00000000000000000000000000000000 00 00000000000000000000000000000000 00 fe800000000000000000000000000001 00000400 00000001 00000000 00000003     eth0\n" +
		"00000000000000000000000000000001 80 00000000000000000000000000000000 00 00000000000000000000000000000000 00000000 00000002 00000000 80200001       lo\n"
	got = parseRoutes6(strings.NewReader(v6))
	if len(got) != 1 || got[0] != (HostRoute{netip.MustParsePrefix("fd01::/64"), "eth0", true}) {
		t.Errorf("IPv6: %v", got)
	}
}

func TestOptions(t *testing.T) {
	for _, c := range []struct{ driver, key, value, want string }{
		{BridgeDriver, "mtu", "1400", ""},
		{BridgeDriver, dockerMTU, "1400", ""},
		{BridgeDriver, dockerBridge, "br7", ""},
		{BridgeDriver, "isolate", "strict", ""},
		{BridgeDriver, OptionICC, "false", ""},
		{MacvlanDriver, "parent", "eth0", ""},
		{IpvlanDriver, "mode", "l3", ""},

		{BridgeDriver, "mtu", "67", "from 68"},
		{BridgeDriver, "vlan", "4095", "to 4094"},
		{BridgeDriver, "isolate", "perhaps", "strict"},
		{BridgeDriver, OptionICC, "x", "true or false"},
		{BridgeDriver, "parent", "eth0", "unknown option"},
		{BridgeDriver, "com.docker.network.bridge.other", "1", "unknown option"},
		{MacvlanDriver, "mode", "l2", "vepa"},
		{MacvlanDriver, "vlan", "5", "unknown option"},
		{"overlay", "mtu", "1", "unknown driver"},
	} {
		n := &Network{Driver: c.driver}
		err := n.SetOption(c.key, c.value)
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s %s=%s: %v, want %q", c.driver, c.key, c.value, err, c.want)
		}
	}
	for _, c := range [][3]string{{OptionVLAN, "4095", "to 4094"}, {OptionHostBinding, "::1", "IPv4"}, {OptionIfacePrefix, "averylongprefix", "interface name"}, {OptionMasquerade, "x", "true or false"}} {
		if err := checkOption(BridgeDriver, c[0], c[1]); err == nil || !strings.Contains(err.Error(), c[2]) {
			t.Errorf("%s=%s: %v, want %q", c[0], c[1], err, c[2])
		}
	}
	n := &Network{Driver: BridgeDriver}
	if n.SetOption(OptionICC, "0") != nil || n.Options[OptionICC] != "false" {
		t.Errorf("a boolean is stored as %q", n.Options)
	}
	if n.SetOption(dockerMTU, "1400") != nil || n.Options[OptionMTU] != "1400" || n.SetOption(dockerBridge, "br7") != nil || n.NetworkInterface != "br7" {
		t.Errorf("Docker's options become %+v", n)
	}
}
