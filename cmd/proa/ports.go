package main

import (
	"cmp"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"

	"github.com/proa-containers/proa/libpod"
)

// portsText is Docker's list of a running container's ports: the published ones with the host's, neighbours together,
// then those that are only exposed.
func portsText(l libpod.Listed) string {
	if l.Status.PID == 0 {
		return ""
	}
	bound := slices.Clone(l.Bound)
	slices.SortFunc(bound, func(a, b libpod.Bound) int {
		return cmp.Or(a.Host.Addr().Compare(b.Host.Addr()), cmp.Compare(a.Protocol, b.Protocol), cmp.Compare(a.Host.Port(), b.Host.Port()))
	})
	var out []string
	for i := 0; i < len(bound); {
		j := i + 1
		for j < len(bound) && follows(bound[j-1], bound[j]) {
			j++
		}
		first, last := bound[i], bound[j-1]
		host := net.JoinHostPort(first.Host.Addr().String(), portRange(first.Host.Port(), last.Host.Port()))
		out = append(out, fmt.Sprintf("%s->%s/%s", host, portRange(first.Port, last.Port), first.Protocol))
		i = j
	}
	for _, p := range l.Exposed {
		for n := range max(p.Count, 1) {
			port := p.Container + n
			if !slices.ContainsFunc(bound, func(b libpod.Bound) bool { return b.Port == port && b.Protocol == p.Protocol }) {
				out = append(out, fmt.Sprintf("%d/%s", port, p.Protocol))
			}
		}
	}
	return strings.Join(out, ", ")
}

// follows tells whether b is the next port after a on both sides.
func follows(a, b libpod.Bound) bool {
	return b.Host.Addr() == a.Host.Addr() && b.Protocol == a.Protocol && b.Port == a.Port+1 && b.Host.Port() == a.Host.Port()+1
}

func portRange(first, last uint16) string {
	if first == last {
		return strconv.Itoa(int(first))
	}
	return fmt.Sprintf("%d-%d", first, last)
}
