package serve

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/proa-containers/proa/oci/monitor"
	"golang.org/x/sys/unix"
)

// journalPatience is how long a journal that does not read may hold the container up before its output is dropped.
const journalPatience = 2 * time.Second

// journal sends each line to systemd-journald in its native protocol: a datagram of fields, "NAME=VALUE\n", or where
// the value has line ends "NAME\n", its length in 64 bits little-endian, the value, "\n"
// (systemd.io/JOURNAL_NATIVE_PROTOCOL). Lines wait for their end, up to maxLine: an entry is a line.
type journal struct {
	fd     int
	to     unix.SockaddrUnix
	fields []byte // those of every entry
	held   map[string][]byte
	buf    []byte
	lost   int64
	why    error
}

func openJournal(l monitor.Log) (*journal, error) {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("making a socket: %w", err)
	}
	j := &journal{fd: fd, to: unix.SockaddrUnix{Name: l.Path}, held: map[string][]byte{}}
	if err := unix.Connect(fd, &j.to); err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("connecting to the journal at %s: %w; use --log-driver k8s-file where systemd-journald does not run", l.Path, err)
	}
	patience := unix.NsecToTimeval(int64(journalPatience))
	unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_SNDTIMEO, &patience)
	var names []string
	for name := range l.Attrs {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		j.fields = appendField(j.fields, name, []byte(l.Attrs[name]))
	}
	return j, nil
}

func appendField(buf []byte, name string, value []byte) []byte {
	buf = append(buf, name...)
	if bytes.IndexByte(value, '\n') < 0 {
		buf = append(append(buf, '='), value...)
	} else {
		buf = binary.LittleEndian.AppendUint64(append(buf, '\n'), uint64(len(value)))
		buf = append(buf, value...)
	}
	return append(buf, '\n')
}

func (j *journal) write(stream string, chunk []byte) error {
	var errs error
	for len(chunk) > 0 {
		held := j.held[stream]
		end := bytes.IndexByte(chunk, '\n')
		switch {
		case end >= 0 && len(held)+end <= maxLine:
			if len(held) > 0 {
				held = append(held, chunk[:end]...)
				errs = errors.Join(errs, j.entry(stream, held, false))
				j.held[stream] = held[:0]
			} else {
				errs = errors.Join(errs, j.entry(stream, chunk[:end], false))
			}
			chunk = chunk[end+1:]
		case len(held)+len(chunk) <= maxLine:
			j.held[stream] = append(held, chunk...)
			return errs
		default:
			n := maxLine - len(held)
			held = append(held, chunk[:n]...)
			cut := cutCharacter(held)
			errs = errors.Join(errs, j.entry(stream, held[:len(held)-cut], true))
			j.held[stream] = append(held[:0], held[len(held)-cut:]...)
			chunk = chunk[n:]
		}
	}
	return errs
}

// priority is the syslog priority of a stream, as Docker's and Podman's.
func priority(stream string) string {
	if stream == "stderr" {
		return "3"
	}
	return "6"
}

func (j *journal) entry(stream string, line []byte, partial bool) error {
	if j.lost > 0 {
		note := fmt.Sprintf("proa: %d bytes of output were lost here: %v", j.lost, j.why)
		if j.send("stderr", []byte(note), false) != nil {
			j.lost += int64(len(line))
			return j.why
		}
		j.lost = 0
	}
	err := j.send(stream, line, partial)
	if err != nil {
		j.lost, j.why = int64(len(line)), err
	}
	return err
}

func (j *journal) send(stream string, line []byte, partial bool) error {
	b := append(j.buf[:0], j.fields...)
	b = appendField(b, "PRIORITY", []byte(priority(stream)))
	if partial {
		b = append(b, "CONTAINER_PARTIAL_MESSAGE=true\n"...)
	}
	b = appendField(b, "MESSAGE", line)
	j.buf = b
	err := j.datagram(b)
	if err == unix.ECONNREFUSED || err == unix.ENOTCONN || err == unix.ECONNRESET {
		// The journal was restarted: its socket is another one.
		if err = unix.Connect(j.fd, &j.to); err == nil {
			err = j.datagram(b)
		}
	}
	return err
}

// datagram sends b, in a sealed memory file when it is too large for the socket's buffer.
func (j *journal) datagram(b []byte) error {
	for {
		err := unix.Sendto(j.fd, b, unix.MSG_NOSIGNAL, nil)
		switch err {
		case unix.EINTR:
			continue
		case unix.EMSGSIZE, unix.ENOBUFS:
			return j.memfd(b)
		}
		return err
	}
}

func (j *journal) memfd(b []byte) error {
	fd, err := unix.MemfdCreate("journal entry", unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	if _, err := unix.Write(fd, b); err != nil {
		return err
	}
	if _, err := unix.FcntlInt(uintptr(fd), unix.F_ADD_SEALS, unix.F_SEAL_SHRINK|unix.F_SEAL_GROW|unix.F_SEAL_WRITE|unix.F_SEAL_SEAL); err != nil {
		return err
	}
	return unix.Sendmsg(j.fd, nil, unix.UnixRights(fd), nil, unix.MSG_NOSIGNAL)
}

func (j *journal) release() {
	j.buf = nil
	for stream, held := range j.held {
		if len(held) == 0 {
			delete(j.held, stream)
		}
	}
}

func (j *journal) close() error {
	var errs error
	for stream, held := range j.held {
		if len(held) > 0 {
			errs = errors.Join(errs, j.entry(stream, held, true))
		}
	}
	return errors.Join(errs, unix.Close(j.fd))
}
