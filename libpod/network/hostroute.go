package network

import (
	"bufio"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/bits"
	"net/netip"
	"os"
	"strconv"
	"strings"
)

// ThisHost looks at the host: its routes, and where bridges are to be beside its interfaces, those.
func ThisHost(rootless bool) (Host, error) {
	var h Host
	for file, parse := range map[string]func(io.Reader) []HostRoute{"/proc/net/route": parseRoutes4, "/proc/net/ipv6_route": parseRoutes6} {
		f, err := os.Open(file)
		if errors.Is(err, fs.ErrNotExist) { // a kernel without
			continue
		}
		if err != nil {
			return h, fmt.Errorf("reading the host's routes: %w", err)
		}
		h.Routes = append(h.Routes, parse(f)...)
		f.Close()
	}
	if rootless { // bridges are in a namespace of netd's
		return h, nil
	}
	entries, err := os.ReadDir("/sys/class/net")
	if err != nil {
		return h, fmt.Errorf("listing the host's interfaces: %w", err)
	}
	for _, e := range entries {
		h.Interfaces = append(h.Interfaces, e.Name())
	}
	return h, nil
}

// parseRoutes4 reads /proc/net/route: interface, destination, gateway, flags, ..., mask, with addresses as numbers of the
// machine's byte order (fib_route_seq_show in net/ipv4/fib_trie.c).
func parseRoutes4(r io.Reader) []HostRoute {
	var out []HostRoute
	for s := bufio.NewScanner(r); s.Scan(); {
		f := strings.Fields(s.Text())
		if len(f) < 8 {
			continue
		}
		dest, err := strconv.ParseUint(f[1], 16, 32)
		gateway, err2 := strconv.ParseUint(f[2], 16, 32)
		mask, err3 := strconv.ParseUint(f[7], 16, 32)
		if err != nil || err2 != nil || err3 != nil || mask == 0 {
			continue
		}
		var b [4]byte
		binary.NativeEndian.PutUint32(b[:], uint32(dest))
		p := netip.PrefixFrom(netip.AddrFrom4(b), bits.OnesCount32(uint32(mask))).Masked()
		out = append(out, HostRoute{p, f[0], gateway == 0})
	}
	return out
}

// parseRoutes6 reads /proc/net/ipv6_route: destination, its length, source, its length, next hop, metric, references,
// uses, flags, interface. Those that every host has, of fe80::/10, ff00::/8 and loopback, are no network's.
func parseRoutes6(r io.Reader) []HostRoute {
	var out []HostRoute
	for s := bufio.NewScanner(r); s.Scan(); {
		f := strings.Fields(s.Text())
		if len(f) < 10 || f[9] == "lo" {
			continue
		}
		dest, err := hex.DecodeString(f[0])
		length, err2 := strconv.ParseUint(f[1], 16, 8)
		addr, ok := netip.AddrFromSlice(dest)
		if err != nil || err2 != nil || !ok || !addr.Is6() || length == 0 || length > 128 || addr.IsLinkLocalUnicast() || addr.IsMulticast() {
			continue
		}
		p := netip.PrefixFrom(addr, int(length)).Masked()
		out = append(out, HostRoute{p, f[9], strings.Trim(f[4], "0") == ""})
	}
	return out
}
