package port

import (
	"net/netip"
	"slices"
	"strings"
	"testing"
)

// Lines as a little-endian machine has them; every architecture that proa is built for is one.
const tcpTable = `  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 101 1 0000000000000000 100 0 0 10 0
   1: 00000000:1F91 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 102 1 0000000000000000 100 0 0 10 0
   2: 0100007F:1F90 0100007F:A000 01 00000000:00000000 00:00000000 00000000  1000        0 103 1 0000000000000000 100 0 0 10 0
`

const tcp6Table = `  sl  local_address                         remote_address                        st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 00000000000000000000000000000000:1F92 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 104 1 0000000000000000 100 0 0 10 0
   1: 00000000000000000000000001000000:1F93 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 105 1 0000000000000000 100 0 0 10 0
`

func TestListening(t *testing.T) {
	for _, c := range []struct {
		table, at string
		want      []string
	}{
		{tcpTable, "127.0.0.1:8080", []string{"101"}},
		{tcpTable, "127.0.0.2:8080", nil},
		{tcpTable, ":8080", []string{"101"}},
		{tcpTable, "127.0.0.1:8081", []string{"102"}},
		{tcpTable, "0.0.0.0:8080", []string{"101"}},
		{tcpTable, ":8082", nil},
		{tcp6Table, "127.0.0.1:8082", []string{"104"}},
		{tcp6Table, "[::1]:8083", []string{"105"}},
		{tcp6Table, "127.0.0.1:8083", nil},
	} {
		at, err := netip.ParseAddrPort(c.at)
		if err != nil {
			at, _ = netip.ParseAddrPort("0.0.0.0" + c.at)
			at = netip.AddrPortFrom(netip.Addr{}, at.Port())
		}
		if got := listening(strings.NewReader(c.table), at, "tcp"); !slices.Equal(got, c.want) {
			t.Errorf("who listens at %s: %v, want %v", c.at, got, c.want)
		}
	}
}

func FuzzListening(f *testing.F) {
	f.Add(tcpTable)
	f.Add(tcp6Table)
	f.Fuzz(func(t *testing.T, table string) {
		for _, inode := range listening(strings.NewReader(table), netip.MustParseAddrPort("127.0.0.1:8080"), "tcp") {
			if !strings.Contains(table, inode) {
				t.Errorf("inode %q is not in the table", inode)
			}
		}
	})
}
