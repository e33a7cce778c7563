package resolver

import (
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// nameservers are the servers a resolv.conf(5) names; what it does not understand it leaves out, as the C library does.
func nameservers(data []byte) []netip.Addr {
	var servers []netip.Addr
	for line := range strings.Lines(string(data)) {
		fields := strings.Fields(line)
		if len(fields) < 2 || fields[0] != "nameserver" || len(servers) == maxServers {
			continue
		}
		if a, err := netip.ParseAddr(fields[1]); err == nil {
			servers = append(servers, a.Unmap())
		}
	}
	return servers
}

// unstable is for how long a file that was just written may change again without its times telling.
const unstable = time.Second

// hostConf follows the host's resolv.conf by a look at each query, as the C library's resolver does: through any chain
// of symbolic links, whatever replaced one of them, and without a thought while nobody asks.
type hostConf struct {
	path string
	port uint16

	mu      sync.Mutex
	seen    stamp
	read    bool // servers are those of seen, and would be read again only when that changes
	servers []netip.AddrPort
}

// stamp tells one state of a file from another.
type stamp struct {
	dev, ino     uint64
	size         int64
	mtime, ctime unix.Timespec
}

// current are the servers the file names now, and whether they are others than at the last call.
func (h *hostConf) current(now time.Time) (servers []netip.AddrPort, changed bool) {
	var st unix.Stat_t
	err := unix.Stat(h.path, &st)
	h.mu.Lock()
	defer h.mu.Unlock()
	s := stamp{st.Dev, st.Ino, st.Size, st.Mtim, st.Ctim}
	if err != nil {
		s = stamp{}
	}
	if h.read && s == h.seen {
		return h.servers, false
	}
	young := err == nil && now.Sub(time.Unix(st.Ctim.Unix())) < unstable
	servers = h.parse()
	if len(servers) == 0 && young {
		return h.servers, false // it is being written
	}
	h.seen, h.read = s, !young
	if changed = !slices.Equal(servers, h.servers); changed {
		h.servers = servers
	}
	return h.servers, changed
}

func (h *hostConf) parse() []netip.AddrPort {
	data, err := os.ReadFile(h.path)
	if err != nil {
		return nil
	}
	var servers []netip.AddrPort
	for _, a := range nameservers(data) {
		servers = append(servers, netip.AddrPortFrom(a, h.port))
	}
	return servers
}
