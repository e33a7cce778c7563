package port

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// process names the process that holds a port, "" where that can't be read: other users' processes don't show what they
// have open.
func process(at netip.AddrPort, protocol string) string {
	inodes := map[string]bool{}
	for _, family := range []string{"", "6"} {
		// The file of the process is that of its first thread, which may be in another network namespace.
		f, err := os.Open("/proc/thread-self/net/" + protocol + family)
		if err != nil {
			continue
		}
		for _, inode := range listening(f, at, protocol) {
			inodes["socket:["+inode+"]"] = true
		}
		f.Close()
	}
	if len(inodes) == 0 {
		return ""
	}
	dirs, _ := filepath.Glob("/proc/[1-9]*/fd")
	for _, dir := range dirs {
		fds, err := os.ReadDir(dir)
		if err != nil {
			continue
		}
		for _, fd := range fds {
			if to, err := os.Readlink(filepath.Join(dir, fd.Name())); err == nil && inodes[to] {
				proc := filepath.Dir(dir)
				name, _ := os.ReadFile(proc + "/comm")
				return fmt.Sprintf("%s, process %s", strings.TrimSpace(string(name)), filepath.Base(proc))
			}
		}
	}
	return ""
}

// The states of a socket that holds its port, as /proc/net/tcp and udp write them.
const (
	tcpListening = "0A"
	udpOpen      = "07"
)

// listening finds in a table of /proc/net the inodes of the sockets that hold the port at.
func listening(table io.Reader, at netip.AddrPort, protocol string) (inodes []string) {
	state := tcpListening
	if protocol == "udp" {
		state = udpOpen
	}
	for lines := bufio.NewScanner(table); lines.Scan(); {
		// sl local_address rem_address st tx_queue:rx_queue tr:tm->when retrnsmt uid timeout inode
		f := strings.Fields(lines.Text())
		if len(f) < 10 || f[3] != state {
			continue
		}
		if local, ok := kernelAddress(f[1]); ok && local.Port() == at.Port() && meet(wildcard(local.Addr()), at.Addr()) {
			inodes = append(inodes, f[9])
		}
	}
	return inodes
}

// wildcard makes :: the address of both families, as most sockets bound to it are.
func wildcard(a netip.Addr) netip.Addr {
	if a == netip.IPv6Unspecified() {
		return netip.Addr{}
	}
	return a
}

// kernelAddress reads "0100007F:1F90": words of four bytes in the machine's order, port in hexadecimal.
func kernelAddress(s string) (netip.AddrPort, bool) {
	host, port, ok := strings.Cut(s, ":")
	n, err := strconv.ParseUint(port, 16, 16)
	if !ok || err != nil || (len(host) != 8 && len(host) != 32) {
		return netip.AddrPort{}, false
	}
	b := make([]byte, 0, 16)
	for ; len(host) > 0; host = host[8:] {
		w, err := strconv.ParseUint(host[:8], 16, 32)
		if err != nil {
			return netip.AddrPort{}, false
		}
		b = binary.NativeEndian.AppendUint32(b, uint32(w))
	}
	a, _ := netip.AddrFromSlice(b)
	return netip.AddrPortFrom(a, uint16(n)), true
}
