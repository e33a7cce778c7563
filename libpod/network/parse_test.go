package network

import (
	"fmt"
	"strings"
	"testing"
)

// outcome is what a parser made of its input, or its error.
func outcome(v any, err error) string {
	if err != nil {
		return "error: " + err.Error()
	}
	return fmt.Sprintf("%+v", v)
}

// check compares: an error has to contain what is wanted of it.
func check(t *testing.T, in, got, want string) {
	t.Helper()
	if text, bad := strings.CutPrefix(want, "error: "); got != want && !(bad && strings.HasPrefix(got, "error: ") && strings.Contains(got, text)) {
		t.Errorf("%q: %s, want %s", in, got, want)
	}
}

func TestParsePort(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{"80", "80/tcp"},
		{"80/udp", "80/udp"},
		{"8080:80", "8080:80/tcp"},
		{"8080:80/TCP", "8080:80/tcp"},
		{":80", "80/tcp"},
		{"0:80", "80/tcp"},
		{"127.0.0.1:8080:80", "127.0.0.1:8080:80/tcp"},
		{"127.0.0.1::80", "127.0.0.1::80/tcp"},
		{"0.0.0.0:8080:80", "0.0.0.0:8080:80/tcp"},
		{"[::1]:8080:80", "[::1]:8080:80/tcp"},
		{"[::1]::80/udp", "[::1]::80/udp"},
		{"[::]:8080:80", "[::]:8080:80/tcp"},
		{"5000-5010:6000-6010/udp", "5000-5010:6000-6010/udp"},
		{"5000-5010", "5000-5010/tcp"},
		{"127.0.0.1:5000-5001:5000-5001", "127.0.0.1:5000-5001:5000-5001/tcp"},
		{"1-65535", "1-65535/tcp"},
		{"8000-8001:80", "8000-8001:80/tcp"},
		{"[::1]:1-65535:80/udp", "[::1]:1-65535:80/udp"},
		{"target=80,published=8080,protocol=udp", "8080:80/udp"},
		{"target=80", "80/tcp"},

		{"", "error: want [[IP:]HOST:]CONTAINER"},
		{"8080:", "error: want [[IP:]HOST:]CONTAINER"},
		{"x", `error: "x" is not a port`},
		{"0", "error: from 1 to 65535"},
		{"65536", `error: "65536" is not a port`},
		{"+80", `error: "+80" is not a port`},
		{"-80", "error: "},
		{"80-79", `error: "80-79" is no range`},
		{"80-", "error: "},
		{"8000-8001:80-82", "error: one length"},
		{"8000:80-82", "error: one length"},
		{"80/sctp", "error: the protocol is tcp or udp: sctp"},
		{"80/", "error: unknown protocol"},
		{"80/icmp", "error: unknown protocol"},
		{"localhost:8080:80", `error: "localhost" is not an IP address`},
		{"::1:8080:80", "error: in brackets"},
		{"[127.0.0.1]:8080:80", "error: not an IP address"},
		{"[::1:8080:80", "error: want"},
		{"[::1]:80", "error: want"},
		{"[fe80::1%eth0]:8080:80", "error: not an IP address"},
		{"1.2.3.4:1:2:3", "error: "},
		{"target=80,mode=host", `error: unknown key "mode"`},
		{"published=80", "error: want"},
	} {
		p, err := ParsePort(c.in)
		check(t, c.in, outcome(p, err), c.want)
	}
}

func TestParseExposed(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{"80", "80/tcp"}, {"53/udp", "53/udp"}, {"80-90", "80-90/tcp"},
		{"", "error: want PORT"}, {"0", "error: from 1"}, {"80:80", "error: not a port"}, {"80/sctp", "error: sctp"},
	} {
		p, err := ParseExposed(c.in)
		check(t, c.in, outcome(p, err), c.want)
	}
}

func TestCheckPorts(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{"8080:80 8081:80 8080:80/udp 80 80", ""},
		{"127.0.0.1:8080:80 127.0.0.2:8080:80", ""},
		{"8000-8005:80 8000-8005:81 8000:82", ""},
		{"8080:80 8080:81", "port 8080/tcp of the host is published twice, to 80 and 81"},
		{"8080:80 8080:80", "twice"},
		{"8080:80 127.0.0.1:8080:81", "twice"},
		{"0.0.0.0:8080:80 127.0.0.1:8080:81", "twice"},
		{"0.0.0.0:8080:80 [::]:8080:80", ""},
		{"8000-8010:1-11 8010:80", "port 8010/tcp of the host is published twice, to 11 and 80"},
	} {
		var list []Port
		for _, s := range strings.Fields(c.in) {
			p, err := ParsePort(s)
			if err != nil {
				t.Fatal(err)
			}
			list = append(list, p)
		}
		err := CheckPorts(list)
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.in, err, c.want)
		}
	}
}

func TestChoose(t *testing.T) {
	for _, c := range []struct {
		networks string
		single   Single
		want     string
	}{
		{"", Single{}, "{Mode:none Attachments:[]}"},
		{"none", Single{}, "{Mode:none Attachments:[]}"},
		{"host", Single{}, "{Mode:host Attachments:[]}"},
		{"container:c", Single{}, "{Mode:container:c Attachments:[]}"},
		{"ns:/run/n", Single{}, "{Mode:ns:/run/n Attachments:[]}"},
		{"pasta", Single{}, "{Mode:pasta Attachments:[]}"},
		{"pasta:-T,5201", Single{}, "{Mode:pasta:-T,5201 Attachments:[]}"},
		{"slirp4netns:mtu=1500,enable_ipv6=true", Single{}, "{Mode:slirp4netns:mtu=1500,enable_ipv6=true Attachments:[]}"},
		{"bridge", Single{}, "{Mode:bridge Attachments:[{Network:podman Addresses:[] MAC: Aliases:[] Interface:}]}"},
		{"private", Single{}, "{Mode:bridge Attachments:[{Network:podman Addresses:[] MAC: Aliases:[] Interface:}]}"},
		{"a", Single{IP: "10.1.0.5", MAC: "02-42-AC-11-00-02", Aliases: []string{"x", "y"}}, "{Mode:bridge Attachments:[{Network:a Addresses:[10.1.0.5] MAC:02:42:ac:11:00:02 Aliases:[x y] Interface:}]}"},
		{"a:ip=10.1.0.5,ip6=fd01::5,mac=02:42:ac:11:00:02,alias=x,alias=y,interface_name=net1", Single{}, "{Mode:bridge Attachments:[{Network:a Addresses:[10.1.0.5 fd01::5] MAC:02:42:ac:11:00:02 Aliases:[x y] Interface:net1}]}"},
		{"name=a,ip=10.1.0.5,mac-address=02:42:ac:11:00:02", Single{}, "{Mode:bridge Attachments:[{Network:a Addresses:[10.1.0.5] MAC:02:42:ac:11:00:02 Aliases:[] Interface:}]}"},
		{"a b:alias=z", Single{Aliases: []string{"x"}}, "{Mode:bridge Attachments:[{Network:a Addresses:[] MAC: Aliases:[x] Interface:} {Network:b Addresses:[] MAC: Aliases:[z x] Interface:}]}"},

		{"host a", Single{}, "error: exclude each other"},
		{"a host", Single{}, "error: exclude each other"},
		{"host none", Single{}, "error: exclude each other"},
		{"host host", Single{}, "{Mode:host Attachments:[]}"},
		{"a a", Single{}, `error: network "a" is given twice`},
		{"bridge podman", Single{}, "error: given twice"},
		{"none:x", Single{}, "error: takes no options"},
		{"host:x", Single{}, "error: takes no options"},
		{"container:", Single{}, "error: container:NAME"},
		{"ns:x", Single{}, "error: ns:PATH"},
		{"a/b", Single{}, "error: no name of a network"},
		{"a:", Single{}, "error: unknown option"},
		{"a:ip=x", Single{}, `error: "x" is not an IP`},
		{"a:ip=127.0.0.1", Single{}, "error: that a container can have"},
		{"a:ip6=10.0.0.1", Single{}, "error: not an IPv6"},
		{"a:mac=01:42:ac:11:00:02", Single{}, "error: group"},
		{"a:mac=02:42:ac:11:00", Single{}, "error: not a MAC"},
		{"a:alias=-x", Single{}, "error: not an alias"},
		{"a:interface_name=lo", Single{}, "error: can't be"},
		{"a:interface_name=abcdefghijklmnop", Single{}, "error: interface name"},
		{"a:color=red", Single{}, "error: unknown option"},
		{"a:ip=10.1.0.5", Single{IP: "10.1.0.5"}, "error: given twice"},
		{"a:mac=02:42:ac:11:00:02", Single{MAC: "02:42:ac:11:00:03"}, "error: already"},
		{"bridge", Single{Aliases: []string{"x"}}, "error: knows no names"},
		{"a b", Single{IP: "10.1.0.5"}, "error: --network a:ip=ADDRESS"},
		{"host", Single{IP: "10.1.0.5"}, "error: --ip and --network host exclude"},
		{"container:c", Single{MAC: "02:42:ac:11:00:02"}, "error: exclude"},
		{"none", Single{Aliases: []string{"x"}}, "error: exclude"},
		{"name=host", Single{}, "error: no name of a network"},
		{"slirp4netns:colour=red", Single{}, "error: unknown option"},
		{"slirp4netns:mtu=1", Single{}, "error: from 1280"},
		{"slirp4netns:cidr=10.0.0.0/30", Single{}, "error: at least 128"},
		{"slirp4netns:outbound_addr=::1", Single{}, "error: other family"},
		{"pasta:", Single{}, "error: empty"},
		{"pasta:--netns=/x", Single{}, "error: proa's to set"},
	} {
		got, err := Choose(strings.Fields(c.networks), c.single, ModeNone)
		check(t, c.networks, outcome(got, err), c.want)
	}
}

func TestParseExtraHost(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{"db:10.0.0.1", "db:10.0.0.1"}, {"db=10.0.0.1", "db:10.0.0.1"}, {"db:fd01::1", "db:fd01::1"}, {"db:[fd01::1]", "db:fd01::1"}, {"me:host-gateway", "me:host-gateway"},
		{"db", "error: want NAME:IP"}, {":10.0.0.1", "error: want NAME:IP"}, {"db:", "error: want NAME:IP"}, {"d b:10.0.0.1", "error: want"}, {"db:10.0.0.1\nevil", "error: want"},
	} {
		got, err := ParseExtraHost(c.in)
		check(t, c.in, outcome(got, err), c.want)
	}
}

func TestParseNames(t *testing.T) {
	for _, c := range []struct {
		parse func(*Names, []string) error
		in    string
		want  string
	}{
		{(*Names).ParseServers, "192.0.2.1 fd01::1", ""},
		{(*Names).ParseServers, "none", ""},
		{(*Names).ParseServers, "none 192.0.2.1", "exclude"},
		{(*Names).ParseServers, "dns.example", "invalid name server"},
		{(*Names).ParseServers, "0.0.0.0", "invalid name server"},
		{(*Names).ParseSearch, "example.com a.b.", ""},
		{(*Names).ParseSearch, ".", ""},
		{(*Names).ParseSearch, ". a", "excludes others"},
		{(*Names).ParseSearch, "a..b", "want a domain"},
		{(*Names).ParseOptions, "ndots:2 rotate", ""},
		{(*Names).ParseOptions, "nd\tots", ""}, // strings.Fields: two options
		{(*Names).ParseOptions, "\u00e4", "one option"},
	} {
		err := c.parse(&Names{}, strings.Fields(c.in))
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%q: %v, want %q", c.in, err, c.want)
		}
	}
	if (&Names{}).ParseOptions([]string{"a b"}) == nil {
		t.Error("an option with a space passes")
	}
}

func TestParseEgress(t *testing.T) {
	for _, c := range []struct{ mode, allow, want string }{
		{"", "", "{Deny:false Allow:[]}"},
		{"allow", "", "{Deny:false Allow:[]}"},
		{"deny", "", "{Deny:true Allow:[]}"},
		{"", "Example.com.", "{Deny:true Allow:[{Host:example.com Prefix:invalid Prefix Port:0}]}"},
		{"deny", "*.example.com:443", "{Deny:true Allow:[{Host:*.example.com Prefix:invalid Prefix Port:443}]}"},
		{"deny", "192.0.2.0/24:80 192.0.2.0/24:80", "{Deny:true Allow:[{Host: Prefix:192.0.2.0/24 Port:80}]}"},
		{"deny", "192.0.2.1", "{Deny:true Allow:[{Host: Prefix:192.0.2.1/32 Port:0}]}"},
		{"deny", "[2001:db8::/32]:443", "{Deny:true Allow:[{Host: Prefix:2001:db8::/32 Port:443}]}"},
		{"deny", "2001:db8::1", "{Deny:true Allow:[{Host: Prefix:2001:db8::1/128 Port:0}]}"},

		{"some", "", "error: allow or deny"},
		{"allow", "a", "error: exclude"},
		{"", "a:0", "error: not a port"},
		{"", "a:", "error: port is missing"},
		{"", "a:http", "error: not a port"},
		{"", "192.0.2.1/24", "error: the network is 192.0.2.0/24"},
		{"", "192.0.2.300", "error: want HOST"},
		{"", "*", "error: want HOST"},
		{"", "a.*.b", "error: want HOST"},
		{"", "[::1", "error: want [ADDRESS"},
		{"", "[::1]:", "error: port is missing"},
	} {
		e, err := ParseEgress(c.mode, strings.Fields(c.allow))
		check(t, c.mode+" "+c.allow, outcome(e, err), c.want)
	}
}

func TestParseLink(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{"db", "{Container:db Alias:db}"}, {"db:sql", "{Container:db Alias:sql}"},
		{"", "error: want CONTAINER"}, {":x", "error: want CONTAINER"}, {"db:", "error: want CONTAINER"}, {"db:a b", "error: want CONTAINER"},
	} {
		l, err := ParseLink(c.in)
		check(t, c.in, outcome(l, err), c.want)
	}
}
