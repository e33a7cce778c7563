package network

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"
)

func testStore(t *testing.T) *Store { return New(t.TempDir(), true) }

func bridge(name string, subnets ...string) Spec {
	s := Spec{Network: Network{Name: name, DNSEnabled: true}}
	for _, p := range subnets {
		s.Subnets = append(s.Subnets, Subnet{Subnet: netip.MustParsePrefix(p)})
	}
	return s
}

func create(t *testing.T, s *Store, spec Spec) *Network {
	t.Helper()
	n, made, err := s.Create(context.Background(), spec)
	if err != nil || !made {
		t.Fatalf("Create(%q) = %v, %v", spec.Name, made, err)
	}
	return n
}

func nobody() (map[string][]string, error) { return nil, nil }

func TestDefaultWithoutFile(t *testing.T) {
	s := testStore(t)
	for _, name := range []string{"podman", "bridge", "2f259bab93aa"} {
		n, err := s.Get(name)
		if err != nil {
			t.Fatal(err)
		}
		if n.Name != Default || n.DNSEnabled || n.Subnets[0].Subnet.String() != "10.88.0.0/16" || n.NetworkInterface != "podman0" {
			t.Errorf("Get(%q) = %+v", name, n)
		}
	}
	if _, err := os.Stat(s.Dir()); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("looking made %s (%v)", s.Dir(), err)
	}
	list, bad, err := s.List()
	if err != nil || len(bad) != 0 || len(list) != 1 {
		t.Errorf("List() = %v, %v, %v", list, bad, err)
	}
}

func TestCreateChooses(t *testing.T) {
	s := testStore(t)
	a, b := create(t, s, bridge("a")), create(t, s, bridge(""))
	if note, err := os.ReadFile(s.backend); err != nil || string(note) != "netavark" {
		t.Errorf("Podman's choice is noted as %q, %v", note, err)
	}
	if a.Subnets[0].Subnet.String() != "10.89.0.0/24" || a.Subnets[0].Gateway.String() != "10.89.0.1" || a.NetworkInterface != "podman1" {
		t.Errorf("a = %+v", a)
	}
	if b.Subnets[0].Subnet.String() != "10.89.1.0/24" || b.Name != "podman2" || b.NetworkInterface != "podman2" {
		t.Errorf("the second = %+v", b)
	}
	six := bridge("six")
	six.IPv6Enabled = true
	c := create(t, s, six)
	if len(c.Subnets) != 2 || !netip.MustParsePrefix("fd00::/8").Contains(c.Subnets[1].Subnet.Addr()) || c.Subnets[1].Subnet.Bits() != 64 {
		t.Errorf("six = %+v", c)
	}
	again, err := s.Get(c.ID[:10])
	if err != nil || again.Subnets[1] != c.Subnets[1] {
		t.Errorf("stored: %+v, %v", again, err)
	}
	if n := create(t, s, Spec{Network: Network{Name: "inside", Internal: true}}); n.Subnets[0].Gateway.IsValid() {
		t.Errorf("an internal network without DNS has the gateway %v", n.Subnets[0].Gateway)
	}
}

func TestCreateAvoidsTheHost(t *testing.T) {
	s := testStore(t)
	spec := bridge("a")
	spec.Host.Routes = []HostRoute{{netip.MustParsePrefix("10.89.0.0/23"), "eth0", true}, {netip.MustParsePrefix("10.89.2.128/25"), "tun0", false}}
	if n := create(t, s, spec); n.Subnets[0].Subnet.String() != "10.89.3.0/24" {
		t.Errorf("the subnet is %v", n.Subnets[0].Subnet)
	}
	spec = bridge("b")
	spec.Host.Routes = []HostRoute{{netip.MustParsePrefix("10.0.0.0/8"), "tun0", false}}
	if n := create(t, s, spec); n.Subnets[0].Subnet.String() != "172.20.0.0/24" {
		t.Errorf("beside 10.0.0.0/8 the subnet is %v", n.Subnets[0].Subnet)
	}
	spec = bridge("c", "10.200.0.0/24") // named: a VPN's wide route is no hindrance
	spec.Host.Routes = []HostRoute{{netip.MustParsePrefix("10.0.0.0/8"), "tun0", false}}
	create(t, s, spec)
	spec = bridge("d")
	spec.Host.Routes = []HostRoute{{netip.MustParsePrefix("0.0.0.0/1"), "tun0", false}, {netip.MustParsePrefix("128.0.0.0/1"), "tun0", false}}
	if _, _, err := s.Create(context.Background(), spec); err == nil || !strings.Contains(err.Error(), "--subnet") {
		t.Errorf("no subnet is free: %v", err)
	}
}

func TestCreateRefuses(t *testing.T) {
	s := testStore(t)
	create(t, s, bridge("taken", "10.77.0.0/24"))
	with := func(spec Spec, change func(*Spec)) Spec { change(&spec); return spec }
	for _, c := range []struct {
		spec Spec
		want string
	}{
		{bridge("taken"), "exists"},
		{bridge("podman"), "exists"},
		{bridge("host"), "word of run's --network"},
		{bridge("a/b"), "letters, digits"},
		{bridge(".a"), "letters, digits"},
		{bridge(strings.Repeat("a", 300)), "letters, digits"},
		{bridge("x", "10.77.0.128/25"), `overlaps 10.77.0.0/24 of network "taken"`},
		{bridge("x", "10.88.9.0/24"), `of network "podman"`},
		{bridge("x", "10.1.0.1/24"), "the network is 10.1.0.0/24"},
		{bridge("x", "10.1.0.0/31"), "too small"},
		{bridge("x", "127.0.0.0/24"), "can't be given"},
		{bridge("x", "fe80::/64"), "can't be given"},
		{bridge("x", "10.1.0.0/24", "10.1.0.0/25"), "overlap"},
		{with(bridge("x"), func(s *Spec) { s.Driver = "overlay" }), "unknown driver"},
		{with(bridge("x"), func(s *Spec) { s.NetworkInterface = "podman1" }), "is taken"},
		{with(bridge("x"), func(s *Spec) { s.NetworkInterface = "a b" }), "invalid interface name"},
		{with(bridge("x"), func(s *Spec) { s.DNSEnabled, s.DNSServers = false, []string{"1.1.1.1"} }), "never be asked"},
		{with(bridge("x"), func(s *Spec) { s.Driver = MacvlanDriver }), "parent"},
		{with(bridge("x"), func(s *Spec) { s.Driver, s.NetworkInterface = MacvlanDriver, "eth0" }), "DHCP"},
		{with(bridge("x"), func(s *Spec) {
			s.Routes = []Route{{netip.MustParsePrefix("10.2.0.0/16"), netip.MustParseAddr("10.3.0.1"), nil}}
		}), "in no subnet"},
		{with(bridge("x", "10.1.0.0/24"), func(s *Spec) {
			s.Host.Routes = []HostRoute{{netip.MustParsePrefix("10.1.0.0/16"), "eth7", true}}
		}), `interface "eth7"`},
		{with(bridge("x", "10.1.0.0/24"), func(s *Spec) { s.Subnets[0].Gateway = netip.MustParseAddr("10.1.0.255") }), "broadcast"},
		{with(bridge("x", "10.1.0.0/24"), func(s *Spec) {
			a := netip.MustParseAddr("10.1.0.1")
			s.Subnets[0].LeaseRange = &LeaseRange{a, a}
		}), "no address for a container"},
	} {
		_, _, err := s.Create(context.Background(), c.spec)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v: %v, want %q", c.spec.Network, err, c.want)
		}
	}
	if list, _, _ := s.List(); len(list) != 2 {
		t.Errorf("there are %d networks", len(list))
	}
	if n, made, err := s.Create(context.Background(), with(bridge("taken"), func(s *Spec) { s.Ignore = true })); err != nil || made || n.Name != "taken" {
		t.Errorf("with Ignore: %v, %v, %v", n, made, err)
	}
}

// TestDamage: one file that can't be read is told of by its name, and hinders no other.
func TestDamage(t *testing.T) {
	s := testStore(t)
	create(t, s, bridge("good"))
	for name, text := range map[string]string{
		"empty": "", "text": "x", "list": "[]", "other": `{"name":"good"}`,
		"subnet": `{"name":"subnet","id":"` + idOf("subnet") + `","driver":"bridge","subnets":[{"subnet":"10.0.0.1/8"}]}`,
		"id":     `{"name":"id","id":"12","driver":"bridge"}`,
	} {
		if err := os.WriteFile(s.file(name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := unix.Mkfifo(s.file("fifo"), 0o600); err != nil {
		t.Fatal(err)
	}
	list, bad, err := s.List()
	if err != nil || len(list) != 2 || len(bad) != 7 {
		t.Fatalf("List() = %d, %v, %v", len(list), bad, err)
	}
	for _, name := range []string{"empty", "text", "list", "other", "subnet", "id"} {
		if _, err := s.Get(name); !errors.Is(err, ErrDamaged) || !strings.Contains(err.Error(), s.file(name)) {
			t.Errorf("Get(%q): %v", name, err)
		}
	}
	if _, _, err := s.Create(context.Background(), bridge("empty")); !errors.Is(err, ErrDamaged) {
		t.Errorf("making a network over a damaged one: %v", err)
	}
	create(t, s, bridge("more"))
}

func TestRemove(t *testing.T) {
	s, ctx := testStore(t), context.Background()
	a, b := create(t, s, bridge("a")), create(t, s, bridge("b"))
	standard, err := s.Get(Bridge)
	if err != nil {
		t.Fatal(err)
	}
	users := func() (map[string][]string, error) { return map[string][]string{"b": {`container "x"`}}, nil }
	gone, errs := s.Remove(ctx, []*Network{a, b, standard}, users)
	var used *UsedError
	if len(gone) != 1 || gone[0] != a || len(errs) != 2 || !errors.As(errs[0], &used) || used.Network != "b" || !strings.Contains(errs[1].Error(), "default") {
		t.Errorf("Remove = %v, %v", gone, errs)
	}
	if _, err := s.Get("a"); !errors.Is(err, ErrNotFound) {
		t.Errorf("a is there: %v", err)
	}
	if _, errs := s.Remove(ctx, []*Network{a}, nobody); len(errs) != 1 || !errors.Is(errs[0], ErrNotFound) {
		t.Errorf("removing it again: %v", errs)
	}
}

func TestUpdateKeepsWhatItDoesNotKnow(t *testing.T) {
	s, ctx := testStore(t), context.Background()
	create(t, s, bridge("a"))
	b, err := os.ReadFile(s.file("a"))
	if err != nil {
		t.Fatal(err)
	}
	b = []byte(strings.Replace(string(b), "{", `{"of_tomorrow": {"x": [1]},`, 1))
	if err := os.WriteFile(s.file("a"), b, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := s.UpdateDNS(ctx, "a", []string{"192.0.2.1", "2001:db8::1"}, nil); err != nil {
		t.Fatal(err)
	}
	n, err := s.UpdateDNS(ctx, "a", []string{"192.0.2.2"}, []string{"192.0.2.1"})
	if err != nil || !slices.Equal(n.DNSServers, []string{"2001:db8::1", "192.0.2.2"}) {
		t.Errorf("servers: %v, %v", n, err)
	}
	if b, _ = os.ReadFile(s.file("a")); !strings.Contains(string(b), "of_tomorrow") {
		t.Errorf("a field is gone:\n%s", b)
	}
	for _, c := range [][2][]string{{{"x"}, nil}, {nil, {"192.0.2.9"}}} {
		if _, err := s.UpdateDNS(ctx, "a", c[0], c[1]); err == nil {
			t.Errorf("UpdateDNS(%q, %q) passes", c[0], c[1])
		}
	}
	if _, err := s.UpdateDNS(ctx, Bridge, []string{"192.0.2.1"}, nil); err == nil {
		t.Error("the default network has no DNS, and takes a name server")
	}
}

// TestParallel: each of many makers gets a network of its own.
func TestParallel(t *testing.T) {
	s := testStore(t)
	var wg sync.WaitGroup
	for i := range 20 {
		wg.Go(func() {
			if _, _, err := s.Create(context.Background(), bridge(fmt.Sprint("n", i))); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	list, bad, err := s.List()
	if err != nil || len(bad) != 0 || len(list) != 21 {
		t.Fatalf("%d networks, %v, %v", len(list), bad, err)
	}
	subnets, bridges := map[netip.Prefix]bool{}, map[string]bool{}
	for _, n := range list {
		subnets[n.Subnets[0].Subnet], bridges[n.NetworkInterface] = true, true
	}
	if len(subnets) != 21 || len(bridges) != 21 {
		t.Errorf("%d subnets, %d bridges", len(subnets), len(bridges))
	}
}

// TestHold: nothing goes between a look at a network and the record of who uses it.
func TestHold(t *testing.T) {
	s := testStore(t)
	a := create(t, s, bridge("a"))
	release, err := s.Hold(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	again, err := s.Hold(context.Background())
	if err != nil {
		t.Fatal("two readers hinder each other:", err)
	}
	again()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan []error)
	go func() {
		_, errs := s.Remove(ctx, []*Network{a}, nobody)
		done <- errs
	}()
	cancel()
	if errs := <-done; len(errs) != 1 || !errors.Is(errs[0], context.Canceled) {
		t.Errorf("Remove beside Hold: %v", errs)
	}
	release()
	if _, errs := s.Remove(context.Background(), []*Network{a}, nobody); len(errs) != 0 {
		t.Error(errs)
	}
}

func TestLeftoversGo(t *testing.T) {
	s := testStore(t)
	create(t, s, bridge("a"))
	left := filepath.Join(s.Dir(), tempPrefix+"123")
	if err := os.WriteFile(left, []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, bad, _ := s.List(); len(bad) != 0 {
		t.Errorf("a file being written is listed: %v", bad)
	}
	create(t, s, bridge("b"))
	if _, err := os.Stat(left); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("what a killed command left is there: %v", err)
	}
}
