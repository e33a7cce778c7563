package nft

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

// Refused is a packet that was refused.
type Refused struct {
	From     netip.Addr
	To       netip.AddrPort // without a port for what is neither TCP nor UDP
	Protocol uint8
}

// nfnetlink_log (linux/netfilter/nfnetlink_log.h).
const (
	messagePacket = unix.NFNL_SUBSYS_ULOG<<8 | 0
	messageConfig = unix.NFNL_SUBSYS_ULOG<<8 | 1
	configCommand = 1
	configMode    = 2
	commandBind   = 1
	copyPacket    = 2
	attrPayload   = 9
)

// Watch calls report for packets that are refused, not more than some in a second, until ctx ends.
func (t *Table) Watch(ctx context.Context, report func(Refused)) error {
	var c *netlink.Conn
	err := t.in(func() (err error) {
		c, err = netlink.Dial(unix.NETLINK_NETFILTER, nil)
		return err
	})
	if err != nil {
		return fmt.Errorf("watching refused packets: %w", err)
	}
	defer c.Close()
	defer context.AfterFunc(ctx, func() { c.Close() })()
	group := binary.BigEndian.AppendUint16([]byte{unix.AF_UNSPEC, 0}, logGroup)
	for _, a := range []netlink.Attribute{
		{Type: configCommand, Data: []byte{commandBind}},
		{Type: configMode, Data: []byte{0, 0, 0, logSize, copyPacket, 0}},
	} {
		b, err := netlink.MarshalAttributes([]netlink.Attribute{a})
		if err != nil {
			return err
		}
		header := netlink.Header{Type: messageConfig, Flags: netlink.Request | netlink.Acknowledge}
		if _, err := c.Execute(netlink.Message{Header: header, Data: append(group[:4:4], b...)}); err != nil {
			return fmt.Errorf("watching refused packets by nfnetlink_log: %w", err)
		}
	}
	for {
		messages, err := c.Receive()
		if ctx.Err() != nil {
			return nil
		}
		if errors.Is(err, unix.ENOBUFS) { // more than were read: the others are lost
			continue
		}
		if err != nil {
			return fmt.Errorf("watching refused packets: %w", err)
		}
		for _, m := range messages {
			if r, ok := refused(m); ok {
				report(r)
			}
		}
	}
}

func refused(m netlink.Message) (Refused, bool) {
	if m.Header.Type != messagePacket || len(m.Data) < 4 {
		return Refused{}, false
	}
	attributes, err := netlink.UnmarshalAttributes(m.Data[4:])
	if err != nil {
		return Refused{}, false
	}
	for _, a := range attributes {
		if a.Type == attrPayload {
			return parse(a.Data)
		}
	}
	return Refused{}, false
}

// parse reads the headers of a packet.
func parse(b []byte) (r Refused, ok bool) {
	var to netip.Addr
	switch {
	case len(b) >= 20 && b[0]>>4 == 4:
		r.From, to = netip.AddrFrom4([4]byte(b[12:16])), netip.AddrFrom4([4]byte(b[16:20]))
		r.Protocol = b[9]
		b = b[min(int(b[0]&0xf)*4, len(b)):]
	case len(b) >= 40 && b[0]>>4 == 6:
		r.From, to = netip.AddrFrom16([16]byte(b[8:24])), netip.AddrFrom16([16]byte(b[24:40]))
		r.Protocol = b[6]
		b = b[40:]
	default:
		return Refused{}, false
	}
	port := uint16(0)
	if (r.Protocol == unix.IPPROTO_TCP || r.Protocol == unix.IPPROTO_UDP) && len(b) >= 4 {
		port = binary.BigEndian.Uint16(b[2:])
	}
	r.To = netip.AddrPortFrom(to, port)
	return r, true
}
