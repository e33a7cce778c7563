package resolver

import (
	"bufio"
	"bytes"
	"net/netip"
	"os"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// Conf is what of a resolv.conf(5) matters to containers.
type Conf struct {
	Servers []netip.Addr
	Search  []string
	Options []string
}

// ParseConf reads a resolv.conf; lines it does not understand are left out, as the C library does.
func ParseConf(data []byte) Conf {
	var c Conf
	lines := bufio.NewScanner(bytes.NewReader(data))
	for lines.Scan() {
		line := lines.Text()
		if i := strings.IndexAny(line, "#;"); i >= 0 {
			line = line[:i]
		}
		fields := strings.Fields(line)
		if len(fields) < 2 {
			continue
		}
		switch fields[0] {
		case "nameserver":
			if a, err := netip.ParseAddr(fields[1]); err == nil && len(c.Servers) < maxServers {
				c.Servers = append(c.Servers, a)
			}
		case "domain", "search": // the last one counts
			c.Search = fields[1:]
		case "options":
			c.Options = append(c.Options, fields[1:]...)
		}
	}
	return c
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
	if changed = !equal(servers, h.servers); changed {
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
	for _, a := range ParseConf(data).Servers {
		servers = append(servers, netip.AddrPortFrom(a.Unmap(), h.port))
	}
	return servers
}

func equal(a, b []netip.AddrPort) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i] != b[i] {
			return false
		}
	}
	return true
}
