package tests

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/proa-containers/proa/tests/harness"
)

// oneLine has the lines of a command's output beside each other.
func oneLine(t testing.TB, c *harness.Cmd) string {
	t.Helper()
	return strings.ReplaceAll(c.OK(t).Out(), "\n", " ")
}

func TestNetworkList(t *testing.T) {
	e := withImage(t, env.Fresh(t))
	equal(t, "at first", e.Proa("network", "ls").OK(t).Out(), "NETWORK ID     NAME     DRIVER   SCOPE\n2f259bab93aa   bridge   bridge   local")
	id := e.Proa("network", "create", "--label", "a=1", "--label", "b=x,y", "--opt", "mtu=1400", "one").OK(t).Out()
	if len(id) != 64 {
		t.Errorf("create says %q", id)
	}
	e.Proa("network", "create", "--internal", "--ipv6", "two").OK(t)
	e.Proa("create", "--name", "c", "--network", "one", "-p", "8080:80", "--expose", "90-91/udp", image).OK(t)
	ls := func(args ...string) string {
		return oneLine(t, e.Proa(append([]string{"network", "ls", "--format", "{{.Name}}"}, args...)...))
	}
	for filter, want := range map[string]string{
		"name=on": "one", "name=^two$": "two", "name=bridge": "bridge", "name=podman": "bridge", "id=" + id[:12]: "one", "driver=bridge": "one bridge two", "driver=macvlan": "",
		"label=a": "one", "label=a=2": "", "label!=a": "bridge two", "type=builtin": "bridge", "type=custom": "one two", "scope=local": "one bridge two", "scope=swarm": "",
		"dangling=true": "two", "dangling=false": "one bridge", "until=1h": "",
	} {
		equal(t, filter, ls("-f", filter), want)
	}
	equal(t, "either name", ls("-f", "name=one", "-f", "name=two"), "one two")
	equal(t, "both", ls("-f", "name=one", "-f", "dangling=true"), "")
	equal(t, "quiet", oneLine(t, e.Proa("network", "ls", "-q", "-f", "name=one")), id[:12])
	equal(t, "whole", oneLine(t, e.Proa("network", "list", "-q", "--no-trunc", "-f", "name=one")), id)
	equal(t, "template", oneLine(t, e.Proa("network", "ls", "--format", `{{.Name}}|{{.IPv6}}|{{.Internal}}|{{.Label "b"}}|{{.Options}}`, "-f", "type=custom")), "one|false|false|x,y|mtu=1400 two|true|true||")
	if out := oneLine(t, e.Proa("network", "ls", "--format", "json", "-f", "name=one")); !strings.Contains(out, `"ID":"`+id[:12]+`","IPv4":"true"`) {
		t.Error(out)
	}
	ps := func(filter string) string {
		return oneLine(t, e.Proa("ps", "-a", "--format", "{{.Names}}", "-f", filter))
	}
	for filter, want := range map[string]string{"network=one": "c", "network=" + id[:8]: "c", "network=two": "", "network=bridge": "", "network=none": "", "expose=91/udp": "c", "expose=80-100/udp": "c", "expose=91": ""} {
		equal(t, "ps "+filter, ps(filter), want)
	}
	e.Proa("network", "exists", "one").OK(t)
	e.Proa("network", "exists", "../one").Want(t, 1)
	e.Proa("network", "exists", "nosuch").Want(t, 1)
}

func TestNetworkInspect(t *testing.T) {
	e := withImage(t, env.Fresh(t))
	e.Proa("network", "create", "--subnet", "10.5.0.0/24", "--ip-range", "10.5.0.128/25", "--gateway", "10.5.0.9", "--subnet", "fd05::/64", "--dns", "192.0.2.1",
		"--route", "10.6.0.0/16,10.5.0.2", "-o", "com.docker.network.bridge.name=br7", "n").OK(t)
	inspect := func(format string) string {
		return oneLine(t, e.Proa("network", "inspect", "-f", format, "n"))
	}
	for format, want := range map[string]string{
		"{{json .IPAM.Config}}":                `[{"Subnet":"10.5.0.0/24","IPRange":"10.5.0.128/25","Gateway":"10.5.0.9"},{"Subnet":"fd05::/64","Gateway":"fd05::1"}]`,
		"{{.Name}} {{.EnableIPv6}} {{.Scope}}": "n true local", "{{.network_interface}} {{.dns_enabled}}": "br7 true", "{{json .NetworkDNSServers}}": `["192.0.2.1"]`,
		"{{range .Subnets}}{{.Gateway}} {{end}}": "10.5.0.9 fd05::1 ", "{{json .Routes}}": `[{"destination":"10.6.0.0/16","gateway":"10.5.0.2"}]`, "{{len .Containers}}": "0",
	} {
		equal(t, format, inspect(format), want)
	}
	name := online(t, e, "--network", "n:ip=10.5.0.77,mac=02:42:00:00:00:07", "--", "sleep", "1000")
	equal(t, "its container", inspect("{{range .Containers}}{{.Name}} {{.IPv4Address}} {{.MacAddress}}{{end}}"), name+" 10.5.0.77/24 02:42:00:00:00:07")
	equal(t, "inspect", oneLine(t, e.Proa("inspect", "--type", "network", "-f", "{{.Name}}", "n", "bridge")), "n bridge")
	equal(t, "without a type", oneLine(t, e.Proa("inspect", "-f", "{{.Driver}}", "n")), "bridge")
	equal(t, "update", e.Proa("network", "update", "--dns-add", "192.0.2.2,192.0.2.3", "--dns-drop", "192.0.2.1", "n").OK(t).Out(), "n")
	equal(t, "updated", inspect("{{json .NetworkDNSServers}}"), `["192.0.2.2","192.0.2.3"]`)
}

func TestNetworkRemove(t *testing.T) {
	e := withImage(t, env.Fresh(t))
	for _, n := range []string{"one", "two", "kept", "free"} {
		e.Proa("network", "create", "--label", "of="+n, n).OK(t)
	}
	running := online(t, e, "--network", "one", "--network", "two", "--", "sleep", "1000")
	e.Proa("create", "--name", "stopped", "--network", "kept", image).OK(t)
	refused(t, e.Proa("network", "rm", "one", "nosuch"), 1, running, "nosuch")
	refused(t, e.Proa("network", "rm", "kept"), 1, "stopped")
	refused(t, e.Proa("network", "rm", "bridge"), 1, "default")
	equal(t, "by id", e.Proa("network", "rm", e.Proa("network", "ls", "-q", "-f", "name=free").OK(t).Out()).OK(t).Out()[:3], e.Proa("network", "create", "free").OK(t).Out()[:3])
	e.Proa("network", "create", "of-time").OK(t)
	refused(t, e.Proa("network", "prune"), 1, "nothing was removed")
	equal(t, "prune by label", e.Proa("network", "prune", "-f", "--filter", "label=of").OK(t).Out(), "")
	equal(t, "prune", oneLine(t, e.Proa("network", "prune", "-f")), "Deleted Networks: free of-time")
	e.Proa("network", "rm", "-f", "nosuch").OK(t)
	equal(t, "with its container", e.Proa("network", "rm", "-f", "-t", "0", "one").OK(t).Out(), "one")
	refused(t, e.Proa("inspect", running), 1, running)
	equal(t, "nobody is on two", e.Proa("network", "rm", "two").OK(t).Out(), "two")
	equal(t, "events", oneLine(t, e.Proa("events", "--since", "1h", "--until", "0s", "-f", "network=one", "--format", "{{.Action}}")), "create destroy")
}

func TestNetworkBadInput(t *testing.T) {
	e := withImage(t, env.Fresh(t))
	e.Proa("network", "create", "--subnet", "10.7.0.0/24", "taken").OK(t)
	for _, bad := range []struct {
		args []string
		want string
	}{
		{[]string{"create", "a", "b"}, "one name"}, {[]string{"create", "no/slash"}, "no/slash"}, {[]string{"create", ""}, `""`}, {[]string{"create", "host"}, "host"}, {[]string{"create", "bridge"}, "bridge"},
		{[]string{"create", "podman"}, "podman"}, {[]string{"create", "taken"}, "taken"}, {[]string{"create", "--subnet", "10.7.0.128/25"}, "taken"}, {[]string{"create", "--subnet", "10.88.0.0/24"}, "10.88.0.0/16"},
		{[]string{"create", "--subnet", "10.8.0.0"}, "10.8.0.0"}, {[]string{"create", "--subnet", "10.8.0.1/24"}, "10.8.0.0/24"}, {[]string{"create", "--gateway", "10.8.0.1"}, "--subnet"},
		{[]string{"create", "--subnet", "10.8.0.0/24", "--gateway", "10.9.0.1"}, "10.9.0.1"}, {[]string{"create", "--subnet", "10.8.0.0/24", "--ip-range", "10.9.0.0/25"}, "10.9.0.0/25"},
		{[]string{"create", "-d", "overlay"}, "overlay"}, {[]string{"create", "-d", "macvlan", "--subnet", "10.8.0.0/24", "-o", "parent=lo"}, "root"}, {[]string{"create", "-o", "x"}, "KEY=VALUE"},
		{[]string{"create", "-o", "speed=1"}, "speed"}, {[]string{"create", "-o", "mtu=1"}, "mtu"}, {[]string{"create", "--dns", "x"}, `"x"`}, {[]string{"create", "--disable-dns", "--dns", "192.0.2.1"}, "192.0.2.1"},
		{[]string{"create", "--route", "x"}, "--route"}, {[]string{"create", "--route", "10.9.0.0/16,10.10.0.1"}, "10.10.0.1"}, {[]string{"create", "--interface-name", "a/b"}, "a/b"},
		{[]string{"create", "--ipam-driver", "dhcp"}, "dhcp"}, {[]string{"create", "--label", "=x"}, "=x"}, {[]string{"ls", "x"}, "x"}, {[]string{"ls", "-f", "x"}, "KEY=VALUE"}, {[]string{"ls", "-f", "color=red"}, "color"},
		{[]string{"ls", "-f", "type=x"}, "builtin"}, {[]string{"ls", "--format", "{{.Nosuch}}"}, "Nosuch"}, {[]string{"inspect"}, "at least one"}, {[]string{"inspect", "nosuch"}, "nosuch"}, {[]string{"inspect", "-f", "{{", "taken"}, "{{"},
		{[]string{"rm"}, "at least one"}, {[]string{"rm", "nosuch"}, "nosuch"}, {[]string{"rm", "-t", "3", "taken"}, "--force"}, {[]string{"rm", "-f", "-t", "-2", "taken"}, "-2"}, {[]string{"prune", "x"}, "x"},
		{[]string{"prune", "-f", "--filter", "name=x"}, "name=x"}, {[]string{"update"}, "one network"}, {[]string{"update", "taken"}, "--dns-add"}, {[]string{"update", "taken", "--dns-drop", "192.0.2.1"}, "192.0.2.1"},
		{[]string{"update", "bridge", "--dns-add", "192.0.2.1"}, "no DNS"}, {[]string{"update", "nosuch", "--dns-add", "192.0.2.1"}, "nosuch"},
	} {
		refused(t, e.Proa(append([]string{"network"}, bad.args...)...), 1, bad.want)
	}
	refused(t, e.Proa("network", "exists"), 125, "one network")
	for _, bad := range []struct{ network, want string }{
		{"nosuch", "nosuch"}, {"taken:ip=10.8.0.5", "10.7.0.0/24"}, {"taken:ip=10.7.0.1", "gateway"}, {"taken:ip=10.7.0.255", "broadcast"}, {"taken:ip=10.7.0.5,ip=10.7.0.6", "one of each"},
	} {
		refused(t, e.Proa("run", "--rm", "--network", bad.network, image, "true"), 125, bad.want)
		refused(t, e.Proa("create", "--network", bad.network, image, "true"), 125, bad.want)
	}
	equal(t, "unharmed", oneLine(t, e.Proa("network", "ls", "--format", "{{.Name}}")), "bridge taken")
	equal(t, "no container", e.Proa("ps", "-aq").OK(t).Out(), "")
	equal(t, "it is there", e.Proa("network", "create", "--ignore", "taken").OK(t).Out(), e.Proa("network", "inspect", "-f", "{{.Id}}", "taken").OK(t).Out())
}

// TestNetworkDamage: a network whose file is damaged is named, and the others work.
func TestNetworkDamage(t *testing.T) {
	e := withImage(t, env.Fresh(t))
	e.Proa("network", "create", "good").OK(t)
	dir := filepath.Join(e.Home, ".local/share/containers/storage/networks")
	bad := e.WriteFile(t, filepath.Join(dir, "bad.json"), `{"name":"bad","id":`, 0o644)
	r := e.Proa("network", "ls", "--format", "{{.Name}}").OK(t)
	equal(t, "the others", strings.ReplaceAll(r.Out(), "\n", " "), "good bridge")
	if !strings.Contains(r.Stderr, bad) {
		t.Errorf("the warning does not name %s: %s", bad, r.Stderr)
	}
	refused(t, e.Proa("network", "inspect", "bad"), 1, bad)
	refused(t, e.Proa("run", "--rm", "--network", "bad", image, "true"), 125, bad)
	refused(t, e.Proa("network", "create", "bad"), 1, bad)
	equal(t, "on another", e.Proa("run", "--rm", "--network", "good", image, "echo", "hi").OK(t).Out(), "hi")
	if err := os.Remove(bad); err != nil {
		t.Fatal(err)
	}
	e.Proa("network", "create", "bad").OK(t)
}

// TestNetworkPodman: each of the two lists and inspects what the other made, and neither takes the other's subnet.
func TestNetworkPodman(t *testing.T) {
	harness.Requires(t, "podman", "newuidmap")
	e := withImage(t, env.Fresh(t))
	conf := e.WriteFile(t, filepath.Join(e.TempDir(t), "storage.conf"), fmt.Sprintf(
		"[storage]\ndriver = \"overlay\"\nrunroot = %q\ngraphroot = %q\n", e.Runtime+"/containers", filepath.Join(e.Home, ".local/share/containers/storage")), 0o644)
	e.Extra = append(slices.Clone(e.Extra), "CONTAINERS_STORAGE_CONF="+conf)
	podman := func(args ...string) *harness.Cmd {
		return e.Command(append([]string{"podman", "--cgroup-manager=cgroupfs", "--events-backend=file"}, args...)...)
	}
	e.Proa("network", "create", "--label", "by=proa", "--ipv6", "-o", "mtu=1400", "--dns", "192.0.2.1", "ours").OK(t)
	podman("network", "create", "--label", "by=podman", "--subnet", "10.9.0.0/24", "--ip-range", "10.9.0.64/26", "theirs").OK(t)
	podman("network", "create", "chosen").OK(t)
	e.Proa("network", "create", "after").OK(t)

	equal(t, "proa lists", oneLine(t, e.Proa("network", "ls", "--format", "{{.Name}}")), "after chosen ours bridge theirs")
	equal(t, "podman lists", oneLine(t, podman("network", "ls", "--format", "{{.Name}}")), "after chosen ours podman theirs")
	for name, proas := range map[string]string{"ours": "ours", "theirs": "theirs", "chosen": "chosen", "after": "after", "podman": "bridge"} {
		format := "{{range .Subnets}}{{.Subnet}} {{.Gateway}},{{end}} {{.IPv6Enabled}} {{.DNSEnabled}} {{.NetworkInterface}} {{.Labels.by}}"
		equal(t, "subnets of "+name, oneLine(t, e.Proa("network", "inspect", "-f", format, proas)), oneLine(t, podman("network", "inspect", "-f", format, name)))
	}
	equal(t, "the ids", oneLine(t, e.Proa("network", "ls", "--no-trunc", "-q")), oneLine(t, podman("network", "ls", "--no-trunc", "--format", "{{.ID}}")))
	equal(t, "the range", e.Proa("network", "inspect", "-f", "{{(index .IPAM.Config 0).IPRange}}", "theirs").OK(t).Out(), "10.9.0.64/26")
	refused(t, e.Proa("network", "create", "--subnet", "10.9.0.0/24"), 1, "theirs")

	equal(t, "proa runs on podman's", e.Proa("run", "--rm", "--network", "theirs", image, "sh", "-c", "ip -o addr show eth0 | grep -o '10\\.9\\.0\\.[0-9]*/24'").OK(t).Out(), "10.9.0.65/24")
	refused(t, e.Proa("network", "rm", "theirs"), 1, "podman network rm theirs")
	equal(t, "prune", oneLine(t, e.Proa("network", "prune", "-f")), "Deleted Networks: after ours")
	e.Proa("network", "rm", "-f", "theirs").OK(t)
	equal(t, "podman sees what is gone", oneLine(t, podman("network", "ls", "--format", "{{.Name}}")), "chosen podman")
}

// TestNetworkKilled: a command that is killed leaves a network or none, and nothing in the way of the next.
func TestNetworkKilled(t *testing.T) {
	e := env.Fresh(t)
	e.Proa("network", "create", "first").OK(t)
	for i := range 12 {
		x := e.Proa("network", "create", fmt.Sprint("n", i)).Exec(t.Context())
		if err := x.Start(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Duration(i) * 2 * time.Millisecond) // somewhere on its way
		x.Process.Kill()
		x.Wait()
		r := e.Proa("network", "ls", "-q").OK(t)
		if r.Stderr != "" {
			t.Errorf("killed after %d ms, it leaves %s", 2*i, r.Stderr)
		}
		e.Proa("network", "create", "--ignore", fmt.Sprint("n", i)).OK(t)
	}
	equal(t, "networks", fmt.Sprint(len(strings.Fields(e.Proa("network", "ls", "-q").OK(t).Out()))), "14")
	left, err := filepath.Glob(filepath.Join(e.Home, ".local/share/containers/storage/networks/.proa-*"))
	if err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

// TestNetworkPublishAll: what the image and --expose say is published, and the other container is asked by its alias.
func TestNetworkPublishAll(t *testing.T) {
	e := withImage(t, env.Fresh(t))
	img := baseImage(t)
	img.Config.ExposedPorts = map[string]struct{}{"7000/tcp": {}, "9/sctp": {}}
	e.Proa("load", "-q", "-i", archive(t, e, "exposed.tar", img.DockerArchive("localhost/exposed:1"))).OK(t)
	e.Proa("network", "create", "n").OK(t)
	e.Proa(append([]string{"run", "-d", "--name", "c", "--network", "n", "--network-alias", "server", "-P", "--expose", "90/udp", "localhost/exposed:1"}, sayName("hello")...)...).OK(t)
	removeLater(t, e, "c")
	var bound []string
	for _, line := range strings.Split(e.Proa("port", "c").OK(t).Out(), "\n") {
		bound = append(bound, strings.Fields(line)[0])
	}
	equal(t, "ports", strings.Join(slices.Compact(bound), " "), "90/udp 7000/tcp")
	port := e.Proa("port", "c", "7000").OK(t).Out()
	port = port[strings.LastIndexByte(port, ':')+1:]
	equal(t, "ps by its port", e.Proa("ps", "-f", "publish="+port, "--format", "{{.Names}}").OK(t).Out(), "c")
	equal(t, "ps by another", e.Proa("ps", "-f", "publish=7000/udp", "--format", "{{.Names}}").OK(t).Out(), "")
	equal(t, "exposed", e.Proa("inspect", "-f", "{{json .Config.ExposedPorts}}", "c").OK(t).Out(), `{"7000/tcp":{},"90/udp":{}}`)
	other := online(t, e, "--network", "n", "--", "sleep", "1000")
	equal(t, "by its alias", ask(e, other, "server").OK(t).Out(), "hello")
	clone := e.Proa("container", "clone", "c", "d").OK(t).Out()
	equal(t, "its clone", oneLine(t, e.Proa("inspect", "-f", "{{len .HostConfig.PortBindings}} {{json .Config.ExposedPorts}}", clone)), `2 {"7000/tcp":{},"90/udp":{}}`)
}

// TestNetworkOptions: each option of a bridge does what it says.
func TestNetworkOptions(t *testing.T) {
	e := withImage(t, env.Fresh(t))
	const icc, prefix, binding = "com.docker.network.bridge.enable_icc", "com.docker.network.container_iface_prefix", "com.docker.network.bridge.host_binding_ipv4"
	for name, options := range map[string][]string{
		"apart": {icc + "=0"}, "open1": {"isolate=false"}, "open2": {"isolate=false"}, "shut": {}, "vlan": {"vlan=5"},
		"named": {prefix + "=net", binding + "=127.0.0.1", "mtu=1400"},
	} {
		line := []string{"network", "create", name}
		for _, o := range options {
			line = append(line, "-o", o)
		}
		e.Proa(line...).OK(t)
	}
	reaches := func(from, to, network string, want bool) {
		t.Helper()
		r := e.Proa("exec", from, "ping", "-c", "1", "-W", "1", address(t, e, to, network)).Run(t)
		if (r.Code == 0) != want {
			t.Errorf("a ping from %s to %s on %s exits with %d", from, to, network, r.Code)
		}
	}
	on := func(network string, flags ...string) string {
		return online(t, e, append(append([]string{"--network", network}, flags...), "--", "sleep", "1000")...)
	}
	a, b := on("apart"), on("apart")
	reaches(a, b, "apart", false)
	e.Proa("exec", a, "ping", "-c", "1", "-W", "1", e.Proa("network", "inspect", "-f", "{{(index .IPAM.Config 0).Gateway}}", "apart").OK(t).Out()).OK(t)
	c, d, shut := on("open1"), on("open2"), on("shut")
	reaches(c, d, "open2", true)
	reaches(c, shut, "shut", false)
	reaches(shut, c, "open1", false)
	if harness.BridgesHaveVLANs() {
		v, w := on("vlan"), on("vlan")
		reaches(v, w, "vlan", true)
		equal(t, "a name in the VLAN", e.Proa("exec", v, "sh", "-c", "nslookup "+w+" >/dev/null && echo found").OK(t).Out(), "found")
	} else {
		refused(t, e.Proa("run", "--rm", "--network", "vlan", image, "true"), 125, "CONFIG_BRIDGE_VLAN_FILTERING")
	}
	n := on("named", "-p", "7777")
	equal(t, "MTU", e.Proa("exec", n, "cat", "/sys/class/net/net0/mtu").OK(t).Out(), "1400")
	if out := e.Proa("port", n).OK(t).Out(); !strings.HasPrefix(out, "7777/tcp -> 127.0.0.1:") || strings.Contains(out, "\n") {
		t.Errorf("the port is at %q", out)
	}
	refused(t, e.Proa("network", "create", "-o", "com.docker.network.bridge.enable_ip_masquerade=false"), 1, "root")
}

// TestNetworkRemovedMeanwhile: whoever makes a container and whoever removes its network at that moment agree on which was
// first.
func TestNetworkRemovedMeanwhile(t *testing.T) {
	e := withImage(t, env.Fresh(t))
	for i := range 10 {
		name := fmt.Sprint("n", i)
		e.Proa("network", "create", name).OK(t)
		made := make(chan harness.Result, 2)
		for range 2 {
			go func() { made <- e.Proa("create", "--network", name, image).Run(t) }()
		}
		removed := e.Proa("network", "rm", name).Run(t).Code == 0
		for range 2 {
			r := <-made
			if r.Code != 0 && !strings.Contains(r.Stderr, "no such network") {
				t.Errorf("create fails otherwise: %s", r.Stderr)
			}
			if r.Code == 0 && removed {
				t.Errorf("container %.12s is made on network %s, which is removed", r.Out(), name)
			}
			if r.Code != 0 && !removed {
				t.Errorf("network %s stays, and create fails: %s", name, r.Stderr)
			}
		}
	}
}
